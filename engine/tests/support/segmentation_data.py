"""Data of a segmentation report made up for tests: fields with crops, a map that is wrong near borders."""

import numpy as np
from support.report_data import COLORS, NAMES, reliability

from sits_engine.learning.segmentation.boundary import boundary
from sits_engine.learning.segmentation.scores import Tally
from sits_engine.learning.segmentation.summary import (
    BorderRow,
    Example,
    PretrainRow,
    SegmentationReportData,
    SegmentClassRow,
    SegmentEpochRow,
    ZoneRow,
)

SIDE = 48


def fields(rng, scale=1):
    """(H, W) classes of straight fields of three crops, some land unlabelled (-1)."""
    side = SIDE * scale
    down, across = np.mgrid[:side, :side] / scale
    turned = down * 0.94 + across * 0.34
    block = (turned // 11).astype(int) * 7 + ((across - 0.3 * down) // 14).astype(int)
    crop = rng.integers(0, 3, block.max() - block.min() + 1)[block - block.min()]
    crop[(turned % 11 < 1.2) & (turned // 11 % 2 == 0)] = -1  # tracks
    return crop.astype(np.int16)


def example(seed, scale=1):
    rng = np.random.default_rng(seed)
    truth = fields(rng, scale)
    found = np.where(truth < 0, 0, truth)
    found = np.where(boundary(truth) & (rng.random(truth.shape) < 0.5), np.roll(found, 1, 0), found)
    green = np.array([[120, 140, 70], [70, 120, 60], [190, 170, 110], [150, 140, 130]])
    picture = green[truth[::scale, ::scale]] + rng.normal(0, 8, (SIDE, SIDE, 3))
    similarity = np.where(boundary(truth), 0.2, 0.9) + rng.normal(0, 0.05, truth.shape)
    return Example(
        f"row {48 * seed}, column 96",
        picture.clip(0, 255).astype(np.uint8),
        "12 July: B08, B04, B03",
        truth,
        found.astype(np.int16),
        similarity.clip(-1, 1).astype(np.float32),
    )


def segmentation(scale=1, **changes):
    examples = [example(seed, scale) for seed in range(4)]
    tally = Tally(3)
    tally.add(np.stack([e.truth for e in examples]), np.stack([e.found for e in examples]))
    confusion = tally.confusion["all"]
    rows = []
    for i, name in enumerate(NAMES):
        right, said, true = confusion[i, i], confusion[:, i].sum(), confusion[i].sum()
        share = {"precision": right / said, "recall": right / true}
        rows.append(
            SegmentClassRow(
                name,
                COLORS[i],
                [str(i)],
                31 + i,
                {"train": 40_000, "validation": 9_000, "test": int(true)},
                iou=float(right / (said + true - right)),
                f1=float(2 * right / (said + true)),
                **{key: float(value) for key, value in share.items()},
            )
        )
    zones = [tally.zone(name) for name in ("all", "boundary", "interior")]
    places = np.stack(np.meshgrid(np.linspace(4, 4.2, 9), np.linspace(50, 50.1, 9)), -1).reshape(-1, 2)
    made = {
        "title": "Training of a segmentation model",
        "provenance": {"series": ["a.json"], "parcels": ["fields.gpkg"], "seed": 3},
        "parameters": {"architecture": "unet3df", "cscl": True, "window": 48},
        "classes": rows,
        "pretraining": [
            PretrainRow(i, 1e-3, -0.02 * i, -0.018 * i, min(0.95, 0.2 * i), 0.3 - 0.12 * i)
            for i in range(1, 8)
        ],
        "epochs": [
            SegmentEpochRow(i, 1e-3, 1.2 / i, 1.3 / i, 0.8 - 0.5 / i, 0.9 - 0.4 / i) for i in range(1, 13)
        ],
        "best_epoch": 11,
        "confusion": confusion,
        "scores": tally.as_scores()
        | {"calibration_error": 0.02, "calibration_error_before": 0.09, "test_calibration_error": 0.03},
        "zones": [
            ZoneRow(name, zone.pixels, zone.accuracy, zone.miou, zone.macro_f1)
            for name, zone in zip(("all", "boundary", "interior"), zones, strict=True)
        ],
        "borders": [
            BorderRow(distance, counts.precision, counts.recall, counts.f1, counts.found, counts.true)
            for distance, counts in tally.borders.items()
        ],
        "temperature": 1.2,
        "reliability_before": reliability(0.1),
        "reliability_after": reliability(),
        "examples": examples,
        "similarity_of": "cosines of the query and key of the pre-trained head",
        "xy": places,
        "split": np.arange(81) // 9 % 3,
        "split_kind": "blocks",
        "block_size": 1000.0,
        "scale": scale,
        "pixel_size": 10.0 / scale,
        "notes": ["3 windows held no label."],
    }
    return SegmentationReportData(**(made | changes))
