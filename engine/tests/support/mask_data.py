"""Data of a report on masks made up for tests: windows of fields, maps of ticked crops, masks."""

import numpy as np
from scipy import ndimage

from sits_engine.learning.exact.summary import (
    Activation,
    ExactClassRow,
    ExactEpochRow,
    PseudoMaskReportData,
    Thumbnail,
    TruthScores,
)

NAMES = ["wheat", "maize <b>&</b> $x$", "гречиха", "meadow", "background"]
COLORS = ["#d9a520", "#f2e205", "#2f8f5b", "#a5d66b", "#c8c8c8"]
GREEN = np.array([[190, 160, 70], [60, 130, 60], [160, 60, 90], [110, 160, 70], [150, 140, 130]])
SIDE = 24


def thumbnail(seed, truth=True, ticked=None):
    """Stripes of crops; maps are smoothed truth."""
    rng = np.random.default_rng(seed)
    down, across = np.mgrid[:SIDE, :SIDE]
    field = ((down * 0.9 + across * 0.4) // 8).astype(int) * 3 + (across // 11)
    crop = rng.choice(ticked or [0, 1, 2, 3, 4], field.max() + 1)[field].astype(np.int16)
    picture = (GREEN[crop] + rng.normal(0, 9, (SIDE, SIDE, 3))).clip(0, 255).astype(np.uint8)
    there = [int(k) for k in np.unique(crop) if k < 4]
    maps = []
    for k in there:
        soft = ndimage.gaussian_filter((crop == k) + rng.normal(0, 0.25, crop.shape), 1.6)
        maps.append(((soft - soft.min()) / np.ptp(soft)).astype(np.float32))
    scores = np.stack([*maps, np.full(crop.shape, 0.3, np.float32)])
    mask = np.array([*there, 4], dtype=np.int16)[scores.argmax(0)]
    mask[:2, :9] = -1
    ordered = np.sort(scores, axis=0)
    return Thumbnail(
        f"window {7 * seed}, row {48 * seed}, column 96",
        picture,
        "12 July: B08, B04, B03",
        [Activation(NAMES[k], COLORS[k], values) for k, values in zip(there, maps, strict=True)],
        mask,
        (1 - ordered[-2] / ordered[-1]).astype(np.float32),
        crop if truth else None,
    )


def pseudo_masks(truth=True, **changes):
    thumbnails = [thumbnail(seed, truth) for seed in (1, 5)]
    confusion = np.array(
        [
            [5200, 300, 120, 90, 400],
            [260, 4100, 80, 60, 300],
            [90, 70, 1500, 310, 210],
            [60, 40, 220, 2600, 380],
            [300, 260, 190, 330, 9100],
        ]
    )
    rows = []
    for i, (name, color) in enumerate(zip(NAMES, COLORS, strict=True)):
        right, said, true = confusion[i, i], confusion[:, i].sum(), confusion[i].sum()
        crop = i < 4
        rows.append(
            ExactClassRow(
                name,
                color,
                i + 1,
                [160, 120, 12, 190][i] if crop else None,
                [160, 120, 12, 190][i] if crop else None,
                int(said) * 5,
                float(said / confusion.sum()),
                [0.93, 0.9, None, 0.71][i] if crop else None,
                *(
                    (float(right / (said + true - right)), float(right / said), float(right / true))
                    if truth
                    else ()
                ),
                unsharpened_iou=0.55 if truth else None,
                plain_iou=0.4 if truth else None,
                held=[9, 8, 0, 12][i] if crop else None,
            )
        )
    accuracy = float(np.trace(confusion) / confusion.sum())
    made = {
        "title": "Masks from ticks",
        "provenance": {"series": ["a.json"], "windows": "windows.gpkg"},
        "parameters": {"effort": "standard", "window": 24},
        "classes": rows,
        "epochs": [
            ExactEpochRow(
                i, 1e-3, 2.0 / i + 0.3, 1.0 / i + 0.1, 0.9 / i + 0.15, 0.9 / i + 0.12,
                6.2 - 0.1 * i if i > 5 else None, 0.2 / i, 0.9 - 0.6 / i, 0.92 - 0.5 / i,
            )
            for i in range(1, 21)
        ],
        "contrast_from": 6,
        "n_polygons": 220,
        "n_windows": 231,
        "n_held": 22,
        "n_pixels": int(confusion.sum()) * 5,
        "ticks": np.array([9, 40, 88, 70, 13]),
        "threshold": 0.3,
        "threshold_words": "It is the fixed default for these maps; it was not fitted to any pixel label.",
        "maps": "clues",
        "affinity": True,
        "confidence": np.array([900, 1200, 1600, 2100, 3000, 4800, 6000, 8100, 9000, 7000]),
        "unlabelled": 0,
        "thumbnails": thumbnails,
        "scores": {"map_macro": 0.85, "map_micro": 0.88, "mean_confidence": 0.62, "accuracy": accuracy},
        "truth": TruthScores(
            "parcels.gpkg", int(confusion.sum()), {"accuracy": accuracy, "miou": 0.71, "macro_f1": 0.82},
            {"accuracy": 0.7, "miou": 0.61, "macro_f1": 0.73},
            {"accuracy": 0.6, "miou": 0.44, "macro_f1": 0.58}, confusion, True,
        )
        if truth
        else None,
        "pixel_size": 10.0,
        "seconds": {"training": 512.0, "masks": 14.0},
        "notes": ["3 windows reach out of the images."],
    }  # fmt: skip
    return PseudoMaskReportData(**(made | changes))
