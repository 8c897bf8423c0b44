"""Report data made up for tests."""

import datetime

import numpy as np

from sits_engine.evaluation.summary import (
    AdjustedAccuracy,
    AdjustedClass,
    AssessmentReportData,
    ClassScores,
    Interval,
    Thumbnail,
)
from sits_engine.learning.summary import ClassRow, EpochRow, Profiles, Reliability, TrainingReportData
from sits_engine.models.card import BandCard, ClassCard, ModelCard
from sits_engine.series.summary import Profile, SeriesReportData

NAMES = ["wheat", "maize <b>&</b> $x$", "гречиха"]
COLORS = ["#d9a520", "#e8731a", "#2f8f5b"]
CONFUSION = np.array([[40, 5, 0], [8, 30, 2], [1, 0, 14]])  # rows = truth
BANDS = ("B04", "B08")
POSITIONS = np.array([60.0, 120.0, 180.0, 240.0])


def reliability(error=0.02):
    edges = np.linspace(0, 1, 6)
    values = np.array([np.nan, 0.3, 0.5, 0.7, 0.9])
    return Reliability(edges, np.array([0, 5, 10, 25, 60]), values, values - error, error)


def profiles(count=3):
    mean = np.full((count, 4, 2), 0.1, dtype=np.float32)
    mean[:, :, 1] = np.linspace(0.1, 0.5, 4)
    mean[-1, 2] = np.nan
    return Profiles(POSITIONS, BANDS, mean, mean * 0.1, 2023)


def training(names=NAMES, colors=COLORS, confusion=CONFUSION, **changes):
    count = len(names)
    rows = []
    for i, name in enumerate(names):
        right = confusion[i, i]
        precision = right / confusion[:, i].sum() if confusion[:, i].sum() else None
        recall = right / confusion[i].sum() if confusion[i].sum() else None
        f1 = 2 * precision * recall / (precision + recall) if precision and recall else None
        tested = int(confusion[i].sum())
        rows.append(
            ClassRow(
                name,
                colors[i],
                [str(i)],
                {"train": 50, "validation": 9, "test": tested},
                999,
                precision,
                recall,
                f1,
            )
        )
    total = max(int(confusion.sum()), 1)
    fields = {
        "title": "Crops",
        "provenance": {"series": ["a.json"], "seed": 3},
        "parameters": {"epochs": 2, "mask_clouds": True},
        "classes": rows,
        "epochs": [EpochRow(i, 1e-3, 1.0 / i, 1.1 / i, 0.3 * i, 0.35 * i) for i in (1, 2)],
        "best_epoch": 2,
        "confusion": confusion,
        "scores": {"macro_f1": 0.84, "accuracy": float(np.trace(confusion) / total), "kappa": 0.7,
                   "weighted_f1": 0.84, "calibration_error": 0.021, "calibration_error_before": 0.08,
                   "test_calibration_error": 0.034},
        "temperature": 1.3,
        "reliability_before": reliability(0.1),
        "reliability_after": reliability(),
        "profiles": profiles(count),
        "xy": np.array([[4.0, 50.0], [4.1, 50.1], [np.nan, np.nan]]),
        "split": np.array([0, 2, 1]),
        "labels": np.array([0, 1, 2]),
        "split_kind": "blocks",
        "block_size": 1000.0,
        "notes": ["3 parcels were too small."],
    }  # fmt: skip
    return TrainingReportData(**(fields | changes))


def assessment(probability=True, adjusted=True, **changes):
    by_map = CONFUSION.T.copy()
    rows = [
        ClassScores(
            name,
            color,
            int(by_map[i].sum()),
            int(by_map[:, i].sum()),
            by_map[i, i] / by_map[i].sum(),
            by_map[i, i] / by_map[:, i].sum(),
            0.8 + 0.01 * i,
        )
        for i, (name, color) in enumerate(zip(NAMES, COLORS, strict=True))
    ]
    areas = [
        AdjustedClass(
            name, color, 1234.5, Interval(1300.4, 88.2), 40, Interval(0.9, 0.05), Interval(0.8, np.nan)
        )
        for name, color in zip(NAMES, COLORS, strict=True)
    ]
    fields = {
        "title": "Accuracy of crops.tif",
        "unit": "points",
        "classes": NAMES,
        "colors": COLORS,
        "confusion": by_map,
        "overall_accuracy": 0.84,
        "macro_f1": 0.83,
        "weighted_f1": 0.84,
        "kappa": 0.74,
        "per_class": rows,
        "n_compared": 100,
        "n_unmapped": 4,
        "unmatched": {"hops": 3},
        "adjusted": AdjustedAccuracy(Interval(0.862, 0.031), areas, 5000.0, probability, "Stratified points.")
        if adjusted
        else None,
        "thumbnail": Thumbnail(
            np.array([[0, 1], [2, 3]], dtype=np.uint8), (6e5, 5e6, 6.1e5, 5.01e6), "EPSG:32631"
        ),
        "reference_xy": np.array([[6.02e5, 5.002e6], [6.08e5, 5.008e6]]),
        "reference_right": np.array([True, False]),
        "provenance": {"Map": "crops.tif"},
    }
    return AssessmentReportData(**(fields | changes))


def series(**changes):
    dates = tuple(datetime.date(2023, month, 1) for month in (3, 4, 5, 9))
    values = np.array([[0.1, 0.2], [0.1, 0.4], [np.nan, np.nan], [0.1, 0.3]], dtype=np.float32)
    fields = {
        "title": "Region A",
        "dates": dates,
        "bands": BANDS,
        "clear_share": np.array([1.0, 0.6, 0.2, 1.0]),
        "data_share": np.array([1.0, 1.0, 1.0, 0.7]),
        "clear_count": np.array([[0, 1], [3, 4]], dtype=np.int32),
        "profiles": [Profile("<i>P1</i>", 1.0, 2.0, values)],
        "scenes": [{"id": "s", "date": "2023-03-01", "crs": "EPSG:32631", "resolution": 10.0,
                    "cloud_cover": 12.4, "files": 1}],
        "facts": [("Dates", "4")],
    }  # fmt: skip
    return SeriesReportData(**(fields | changes))


def card(**changes):
    fields = {
        "architecture": "pse-ltae",
        "hyperparameters": {"n_head": 16},
        "bands": [BandCard(name=b, mean=0.1, std=0.05) for b in BANDS],
        "classes": [ClassCard(name=n, color=c) for n, c in zip(NAMES, COLORS, strict=True)],
        "season_year": 2023,
        "positions": POSITIONS.tolist(),
        "profiles": profiles().as_json(),
        "provenance": {"series": ["a.json"]},
        "scores": {"accuracy": 0.84, "macro_f1": 0.8},
    }
    return ModelCard(**(fields | changes))
