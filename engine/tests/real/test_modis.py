"""MODIS series of Mato Grosso: train on a table, look at the labelled points of the Sinop image."""

from __future__ import annotations

import numpy as np
import pytest

from sits_engine import device
from sits_engine.context import JobContext
from sits_engine.jobs.build_time_series import BuildTimeSeries
from sits_engine.jobs.train_source_model import TrainSourceModel
from sits_engine.models.inference import Predictor
from sits_engine.samples.footprints import inside_pixels
from sits_engine.samples.parcels import Series
from sits_engine.samples.vectors import on_grid, read_labelled
from sits_engine.series.time_series import TimeSeries
from sits_engine.series.types import Window

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
    series = TimeSeries.open(output)
    predictor = Predictor.open(tmp_path / "model.safetensors", device.select("cpu"))
    points = on_grid(
        read_labelled(str(folder / "sinop_2013_2014/points.gpkg"), "label"), series.grid, "Sinop"
    )
    found = [
        predictor.card.class_names[classify(predictor, series, point)] for point in points.frame.geometry
    ]
    right = np.array(found) == points.frame["code"].to_numpy()
    print(list(zip(points.frame["code"], found, strict=True)))
    assert len(right) == 18
    assert right.sum() >= 13


def classify(predictor: Predictor, series: Series, point: object) -> int:
    """Class of the pixel under a point, read and classified as `mapcrops` does."""
    (pixel,) = inside_pixels(point, series.grid)
    window = Window(int(pixel) // series.grid.width, int(pixel) % series.grid.width, 1, 1)
    cube = series.read(window, ["NDVI", "EVI"])
    probabilities = predictor.predict_pixels(
        cube.values[:, :, :, 0], cube.valid[:, :, 0], cube.scale, cube.offset, series.positions
    )
    return int(probabilities[0].argmax())
