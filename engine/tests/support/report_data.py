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
from sits_engine.learning.adaptation.summary import (
    AdaptationReportData,
    AdaptEpoch,
    ComparisonReportData,
    ComparisonRow,
    LabelledCheck,
    Reason,
    ShiftCurves,
    ShiftReportData,
    Verdict,
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


def shift_curves(peak=31, width=18.0, count=200, **changes):
    days = np.arange(-60, 61)
    hill = np.exp(-(((days - peak) / width) ** 2))
    spread = np.random.default_rng(3)

    def resampled(best, deviation):
        return np.clip(np.rint(spread.normal(best, deviation, 50)).astype(np.int64), -60, 60)

    fields = {
        "shifts": days,
        "scores": {"IS": 0.3 + 0.6 * hill, "AM": 1.1 - 0.7 * np.roll(hill, 1), "ENT": 0.9 - 0.4 * hill},
        "best": {"IS": peak, "AM": min(60, peak + 1), "ENT": peak},
        "resampled": {"IS": resampled(peak, 2), "AM": resampled(peak + 1, 3), "ENT": resampled(peak, 4)},
        "estimator": "IS",
        "shift": peak,
        "n_sets": count,
    }
    return ShiftCurves(**(fields | changes))


def seasons(count=3, early=0, peaks=None):
    """Mean profiles with one green peak a class, `early` days before those of the source."""
    days = np.arange(60.0, 300.0, 10.0)
    peaks = np.linspace(120, 220, count) if peaks is None else np.asarray(peaks)
    green = 0.15 + 0.6 * np.exp(-(((days[None] + early - peaks[:, None]) / 35) ** 2))
    mean = np.stack([np.full_like(green, 0.1), 0.1 * (1 + green) / (1 - green)], -1).astype(np.float32)
    return Profiles(days, BANDS, mean, mean * 0.1, 2023)


def shift_report(**changes):
    fields = {
        "title": "Shift of Fergana",
        "source_title": "Kashkadarya",
        "target_title": "Fergana <i>east</i>",
        "season_year": 2023,
        "curves": shift_curves(),
        "source_profiles": seasons(),
        "target_profile": seasons(1, early=31, peaks=[160]),
        "provenance": {"model": "kashkadarya.sitsmodel", "series": ["fergana.json"]},
        "parameters": {"estimator": "IS", "max_shift": 60},
        "notes": ["2 parcels held no pixel."],
    }
    return ShiftReportData(**(fields | changes))


def adapt_epochs(count=3, number=6, self_training=True):
    shares = np.random.default_rng(1).dirichlet(np.ones(count), number)
    return [
        AdaptEpoch(
            epoch=i + 1,
            shift=31 - i if self_training else 0,
            source_loss=0.8 / (i + 1),
            target_loss=0.4 / (i + 1) if self_training else float("nan"),
            pseudo_labels=200 + 30 * i if self_training else 0,
            pseudo_seen=500 if self_training else 0,
            confidence=1 - 0.3 / (i + 1),
            class_shares=shares[i].tolist(),
            agreement=0.9 - 0.02 * i,
            learning_rate=1e-4,
        )
        for i in range(number)
    ]


def adaptation(names=NAMES, colors=COLORS, number=150, **changes):
    count = len(names)
    draw = np.random.default_rng(5)
    before = draw.integers(0, count, number)
    after = np.where(draw.random(number) < 0.3, draw.integers(0, count, number), before)
    matrix = np.zeros((count, count), dtype=np.int64)
    np.add.at(matrix, (before, after), 1)
    xy = np.column_stack([70 + draw.random(number), 40 + 0.6 * draw.random(number)])
    xy[:3] = np.nan
    target = seasons(count, early=31)
    target.mean[-1] = np.nan
    fields = {
        "title": "Crops of Fergana",
        "method": "timematch",
        "classes": names,
        "colors": colors,
        "source_title": "Kashkadarya",
        "target_title": "Fergana",
        "curves": shift_curves(),
        "shift": 31,
        "epochs": adapt_epochs(count),
        "source_profiles": seasons(count),
        "target_profiles": target,
        "shares_source": np.full(count, 1 / count),
        "shares_before": np.bincount(before, minlength=count) / max(number, 1),
        "shares_after": np.bincount(after, minlength=count) / max(number, 1),
        "changes": matrix,
        "xy": xy,
        "before": before,
        "after": after,
        "confidence_before": draw.uniform(0.4, 0.9, number).astype(np.float32),
        "confidence_after": draw.uniform(0.6, 1.0, number).astype(np.float32),
        "verdict": Verdict(
            "better",
            "The adapted model is likely better here than the source model.",
            [
                Reason(1, "All estimators agree on the shift within 1 day."),
                Reason(-1, "The share of maize <b>fell</b> to a tenth."),
                Reason(0, "The classes keep their shares on the whole."),
            ],
            {"inception_gain": 0.42, "drift": float("nan")},
        ),
        "provenance": {"model": "kashkadarya.sitsmodel"},
        "parameters": {"method": "timematch", "epochs": 6},
        "notes": ["2 parcels held no pixel."],
    }
    return AdaptationReportData(**(fields | changes))


def labelled(count=3, before=0.4, after=0.7):
    scores = {"source": before, "shifted": (before + after) / 2, "adapted": after}
    return LabelledCheck(
        n_sets=120,
        left_out=7,
        scores={key: {"macro_f1": value, "accuracy": value + 0.05} for key, value in scores.items()},
        per_class={key: [*([value] * (count - 1)), None] for key, value in scores.items()},
    )


#: Macro-F1 of the methods of a comparison, and the days that they shift by.
METHOD_SCORES = {
    "source": (0.20, None), "timematch": (0.64, 31), "fixmatch": (0.22, 0), "shift": (0.52, 31),
    "mmd": (0.3, None), "dann": (0.18, None), "cdan": (0.25, None), "jumbot": (0.33, None),
    "alda": (0.1, None), "target": (0.94, None),
}  # fmt: skip


def comparison(names=NAMES, seeds=3, methods=METHOD_SCORES, **changes):
    draw = np.random.default_rng(7)
    rows = []
    for method, (score, shift) in methods.items():
        for seed in range(1, seeds + 1):
            value = float(score + draw.normal(0, 0.02))
            per_class = [float(np.clip(value + draw.normal(0, 0.1), 0, 1)) for _ in names]
            per_class[-1] = None
            rows.append(ComparisonRow(method, seed, value, value + 0.05, per_class, shift, 120.0 * seed))
    fields = {
        "title": "Kashkadarya to Fergana",
        "source_title": "Kashkadarya",
        "target_title": "Fergana",
        "classes": names,
        "support": [*([40] * (len(names) - 1)), 0],
        "rows": rows,
        "counts": {"source_train": 800, "source_validation": 100, "target_train": 700, "target_test": 250},
        "provenance": {"source": "kashkadarya.zarr"},
        "parameters": {"epochs": 10},
    }
    return ComparisonReportData(**(fields | changes))
