"""Small files and dictionaries in the layouts of PASTIS, T31TFM-1618 and MTLCC."""

import json
from pathlib import Path

import numpy as np

#: In order of the file, not of time; PASTIS.
PASTIS_DATES = [20180917, 20181012, 20190121, 20190610, 20190315, 20191102]


def t31tfm_sample(seed=0, dates=5, side=12, endings=("",)) -> dict:
    """A window of T31TFM-1618; `side` is a multiple of 6."""
    rng = np.random.default_rng(seed)
    bands = [*(f"B{i:02d}" for i in range(1, 13)), "B8A"]
    pixels = {"B02": 1, "B03": 1, "B04": 1, "B08": 1, "B01": 6, "B09": 6, "B10": 6}
    sample: dict = {
        band: rng.integers(
            200, 9000, (dates, side // pixels.get(band, 2), side // pixels.get(band, 2))
        ).astype(np.uint16)
        for band in bands
    }
    sample |= {"doy": np.sort(rng.choice(np.arange(1, 366), dates, replace=False)), "year": np.int64(2017)}
    for ending in endings:
        fine = side * int(ending[2:] or 1)
        labels = np.zeros((fine, fine), np.int16)
        labels[1:5, 1:5], labels[1:5, 5:9], labels[6:10, 1:5], labels[6:10, 6:10] = 1, 73, 4, 25
        ids = labels.astype(np.int64) * 10**10
        full, part = np.zeros_like(labels), np.zeros_like(labels)
        full[1, 1], part[2, 5] = 1, 1
        ratios = (labels > 0) * 0.75
        entries = {"labels": labels, "ids": ids, "full_ass": full, "part_ass": part, "ratios": ratios}
        sample |= {name + ending: array for name, array in entries.items()}
    return sample


def mtlcc_sample(seed=0, dates=4, side=24, year=2016) -> dict:
    """A window of MTLCC."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((side, side), np.int8)
    labels[:8, :8], labels[:8, 8:], labels[10:, :4] = 1, 26, 4
    return {
        "x10": rng.integers(0, 9000, (dates, side, side, 4)).astype(np.int16),
        "x20": rng.integers(0, 9000, (dates, side // 2, side // 2, 6)).astype(np.int16),
        "x60": rng.integers(0, 9000, (dates, side // 6, side // 6, 3)).astype(np.int16),
        "day": np.sort(rng.choice(np.arange(1, 366), dates, replace=False)).astype(np.int16),
        "year": np.full(dates, year, np.int16),
        "labels": np.repeat(labels[None], dates, axis=0),
    }


def write_pastis(folder: Path, *, side=32, folds=(1, 2, 4), parcel_ids=True) -> dict[int, np.ndarray]:
    """An archive of small patches; returns the labels of each."""
    rng = np.random.default_rng(7)
    (folder / "DATA_S2").mkdir(parents=True)
    (folder / "ANNOTATIONS").mkdir()
    features, written = [], {}
    for number, fold in enumerate(folds):
        patch = 10000 + 7 * number
        labels = rng.integers(0, 20, (side // 8, side // 8)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
        images = rng.integers(-50, 9000, (len(PASTIS_DATES), 10, side, side)).astype(np.int16)
        np.save(folder / "DATA_S2" / f"S2_{patch}.npy", images)
        np.save(folder / "ANNOTATIONS" / f"TARGET_{patch}.npy", np.stack([labels, labels * 0, labels * 0]))
        if parcel_ids:
            ids = np.where(
                labels > 0,
                np.arange((side // 8) ** 2).reshape(side // 8, -1).repeat(8, 0).repeat(8, 1) + 5,
                0,
            )
            np.save(folder / "ANNOTATIONS" / f"ParcelIDs_{patch}.npy", ids.astype(np.int64))
        x, y = 840000 + 2000 * number, 6600000
        ring = [[x, y], [x + 1280, y], [x + 1280, y + 1280], [x, y + 1280], [x, y]]
        features.append(
            {
                "type": "Feature",
                "properties": {
                    "ID_PATCH": patch,
                    "Fold": fold,
                    "dates-S2": {str(i): day for i, day in enumerate(PASTIS_DATES)},
                },
                "geometry": {"type": "MultiPolygon", "coordinates": [[ring]]},
            }
        )
        written[patch] = labels
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::2154"}}
    tree = {"type": "FeatureCollection", "crs": crs, "features": features[::-1]}
    (folder / "metadata.geojson").write_text(json.dumps(tree), encoding="utf-8")
    return written
