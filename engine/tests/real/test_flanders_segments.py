"""Sentinel-2 patch with crop parcels of Flanders: parcels to a segmentation model, its map and polygons."""

from __future__ import annotations

import json

import geopandas as gpd
import pytest

from sits_engine.context import JobContext
from sits_engine.jobs.build_time_series import BuildTimeSeries
from sits_engine.jobs.map_crops import MapCrops
from sits_engine.jobs.train_segmentation_model import TrainSegmentationModel
from sits_engine.outputs import numbers_beside

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def patch(real_data, tmp_path_factory):
    """(series, parcels) of one patch of 64 x 64 pixels."""
    folder = real_data("s2_flanders_lpis_patches") / "patch_0000280849BAC91C_2019"
    series = tmp_path_factory.mktemp("flanders") / "patch.json"
    BuildTimeSeries.parse({"input_folder": str(folder / "images"), "output": str(series)}).run(JobContext())
    return series, folder / "parcels_from_raster.gpkg"


@pytest.mark.parametrize(
    ("options", "least"),
    [
        # learned: half of the labelled pixels are grass
        ({"architecture": "unet3df", "epochs": 12, "cscl": True, "cscl_epochs": 3, "batch_size": 4}, 0.7),
        # a transformer needs longer than a test may take: it runs, that is all
        ({"architecture": "tsvit", "epochs": 1, "steps_per_epoch": 2, "batch_size": 2, "scale": "2"}, 0.0),
    ],
    ids=["unet3df", "tsvit"],
)
def test_from_parcels_to_polygons(patch, tmp_path, options, least) -> None:
    series, parcels = patch
    job = {"series": str(series), "device": "cpu"}
    trained = TrainSegmentationModel.parse(
        {
            **job,
            "parcels": [str(parcels)],
            "field": "ct_name",
            "width": "small",
            "window": 24,
            "steps_per_epoch": 8,
            "min_pixels": 60,
            "split": "inside",
            "output": str(tmp_path / "model.safetensors"),
            "report": str(tmp_path / "report.html"),
            **options,
        }
    ).run(JobContext())
    print(trained.scores)
    assert trained.scores["accuracy"] >= least
    numbers = json.loads(numbers_beside(tmp_path / "report.html").read_text("utf-8"))
    assert numbers["split"]["kind"] == "tiles"  # one patch has too few windows for blocks
    mapped = MapCrops.parse(
        {
            **job,
            "model": str(tmp_path / "model.safetensors"),
            "output": str(tmp_path / "map.tif"),
            "output_polygons": str(tmp_path / "polygons.gpkg"),
        }
    ).run(JobContext())
    scale = int(options.get("scale", 1))
    assert mapped.scores["pixels"] == (64 * scale) ** 2
    polygons = gpd.read_file(tmp_path / "polygons.gpkg")
    assert polygons["area_ha"].sum() == pytest.approx(64 * 64 / 100, rel=0.02)
    assert set(polygons["class"]) <= {row["name"] for row in numbers["classes"]}
