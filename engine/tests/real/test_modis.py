"""MODIS series of Mato Grosso: train on a table, map the Sinop image, look at its labelled points."""

from __future__ import annotations

import numpy as np
import pytest

from sits_engine.context import JobContext
from sits_engine.evaluation.reference import values_at
from sits_engine.jobs.build_time_series import BuildTimeSeries
from sits_engine.jobs.map_crops import MapCrops
from sits_engine.jobs.train_source_model import TrainSourceModel
from sits_engine.mapping.class_map import ClassMap
from sits_engine.samples.vectors import on_grid, read_labelled

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def test_thirteen_of_eighteen_points(real_data, tmp_path) -> None:
    folder = real_data("modis_mato_grosso")
    output = tmp_path / "sinop.json"
    images = folder / "sinop_2013_2014" / "images"
    BuildTimeSeries.parse({"input_folder": str(images), "output": str(output)}).run(JobContext())
    job = TrainSourceModel.parse(
        {
            "labelled_series": str(folder / "mt_9classes_series.csv.gz"),
            "labels_table": str(folder / "mt_9classes_samples.csv"),
            "field": "label",
            "bands": "ndvi,evi",
            "output": str(tmp_path / "model.safetensors"),
            "device": "cpu",
        }
    )
    result = job.run(JobContext())
    print(result.scores)
    assert result.scores["n_parcels"] == 2115
    assert result.scores["n_classes"] == 9
    assert result.scores["macro_f1"] > 0.85
    job = {"series": str(output), "model": str(tmp_path / "model.safetensors"), "device": "cpu"}
    MapCrops.parse({**job, "output": str(tmp_path / "map.tif")}).run(JobContext())
    crop_map = ClassMap.open(tmp_path / "map.tif")
    points = on_grid(
        read_labelled(str(folder / "sinop_2013_2014/points.gpkg"), "label"), crop_map.grid, "Sinop"
    )
    names = [one.name for one in crop_map.classes]
    found = [names[i] for i in values_at(crop_map, points.frame.geometry.to_numpy())]
    right = np.array(found) == points.frame["code"].to_numpy()
    print(list(zip(points.frame["code"], found, strict=True)))
    assert len(right) == 18
    assert right.sum() >= 13
