"""Sentinel-2 patch with crop parcels of Flanders: from labels and images to a model that maps pixels."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pytest

from sits_engine import device
from sits_engine.context import JobContext
from sits_engine.jobs.assess_map import AssessMap
from sits_engine.jobs.build_time_series import BuildTimeSeries
from sits_engine.jobs.map_crops import MapCrops
from sits_engine.jobs.train_source_model import TrainSourceModel
from sits_engine.learning.run import predict
from sits_engine.models.inference import Predictor
from sits_engine.samples.parcels import ParcelOptions, collect
from sits_engine.samples.vectors import read_labelled
from sits_engine.series.time_series import TimeSeries

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
#: Parcels that training doesn't see, one of each class that has three of more than a few pixels.
HELD = (3, 5, 17)


def test_train_on_part_and_recognise_the_others(real_data, tmp_path) -> None:
    folder = real_data("s2_flanders_lpis_patches") / "patch_0000280849BAC91C_2019"
    output = tmp_path / "patch.json"
    BuildTimeSeries.parse({"input_folder": str(folder / "images"), "output": str(output)}).run(JobContext())
    parcels = gpd.read_file(folder / "parcels_from_raster.gpkg")
    held = parcels["parcel_id"].isin(HELD)
    parcels[~held].to_file(tmp_path / "learn.gpkg")
    parcels[held].to_file(tmp_path / "held.gpkg")
    TrainSourceModel.parse(
        {
            "series": [str(output)],
            "parcels": [str(tmp_path / "learn.gpkg")],
            "field": "ct_name",
            "min_parcels": 2,
            "split": "parcels",
            "effort": "quick",
            "width": "small",
            "output": str(tmp_path / "model.safetensors"),
            "report": str(tmp_path / "report.html"),
            "device": "cpu",
        }
    ).run(JobContext())
    series = TimeSeries.open(output)
    predictor = Predictor.open(tmp_path / "model.safetensors", device.select("cpu"))
    sets, _ = collect(
        series,
        read_labelled(str(tmp_path / "held.gpkg"), "ct_name", "parcel_id"),
        series.match_bands(predictor.card.band_names),
        ParcelOptions(max_pixels=400),
    )
    truth = np.array(sets.classes)[sets.labels]
    names = np.array(predictor.card.class_names)
    of_sets = names[predict(predictor, sets).argmax(1)]
    print(dict(zip(sets.ids, zip(truth, of_sets, strict=True), strict=True)))
    assert (of_sets == truth).mean() >= 0.75
    scale = np.ones(sets.values.shape[1:], dtype=np.float32)
    of_pixels = predictor.predict_pixels(
        sets.values.transpose(1, 2, 0), sets.valid.T, scale, 0 * scale, sets.positions[0]
    )
    right = names[of_pixels.argmax(1)] == truth[sets.owner()]
    print("pixels right", right.mean())
    assert right.mean() >= 0.75
    job = {"series": str(output), "model": str(tmp_path / "model.safetensors"), "device": "cpu"}
    MapCrops.parse({**job, "output": str(tmp_path / "map.tif")}).run(JobContext())
    reference = {"reference": str(tmp_path / "held.gpkg"), "field": "ct_name"}
    assessed = AssessMap.parse(
        {**reference, "map": str(tmp_path / "map.tif"), "report": str(tmp_path / "assessment.html")}
    ).run(JobContext())
    print(assessed.scores)
    assert assessed.scores["overall_accuracy"] >= 0.7
    assert assessed.scores["parcel_n"] == len(HELD)
