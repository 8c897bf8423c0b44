"""From ticked windows to masks, a classifier, and a segmentation model trained on the masks."""

import json
from dataclasses import replace

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from support.two_regions import CROPS, write_region

from sits_engine.context import JobContext
from sits_engine.errors import Cancelled, InputError
from sits_engine.jobs import job_class
from sits_engine.mapping.class_map import ClassMap
from sits_engine.models.model_file import load_model

CORNER = (600000.0, 5600000.0)
QUICK = {
    "epochs": 2,
    "batch_size": 8,
    "n_dates": 4,
    "device": "cpu",
    "seed": 3,
}


@pytest.fixture(scope="module")
def region(tmp_path_factory):
    """50 x 50 pixels, fields of 5 x 5; the windows of 8 x 8 are ticked from the parcels."""
    series = write_region(tmp_path_factory.mktemp("région"), CORNER, 0, 1)
    job_class("label-windows").parse(
        {
            "series": str(series),
            "window": 8,
            "parcels": str(series.parent / "parcels.gpkg"),
            "field": "crop",
            "mark_done": True,
            "output": str(series.parent / "windows.gpkg"),
        }
    ).run(JobContext())
    return series


def make(region, folder, ctx=None, **changes):
    given = {
        "series": str(region),
        "windows": str(region.parent / "windows.gpkg"),
        "output": str(folder / "masks.tif"),
        **QUICK,
        **changes,
    }
    given = {key: value for key, value in given.items() if value is not None}
    return job_class("pseudo-masks").parse(given).run(ctx or JobContext())


@pytest.fixture(scope="module")
def made(region, tmp_path_factory):
    folder = tmp_path_factory.mktemp("masques")
    result = make(region, folder, output_model=str(folder / "modèle"))
    return folder, result


def test_masks_classes_model_and_numbers(region, made) -> None:
    folder, result = made
    with rasterio.open(folder / "masks.tif") as image:
        values, percent = image.read()
        assert image.transform.c == CORNER[0]
        assert image.nodata == 0
    assert values.shape == (50, 50)
    # 6 x 6 windows of 8 pixels; the rest is unlabelled
    assert (values[48:] == 0).all()
    assert (values[:48, :48] > 0).all()
    assert values.max() <= len(CROPS) + 1
    assert ((percent > 0) == (values > 0)).all()
    assert percent.max() <= 100
    found = ClassMap.open(folder / "masks.tif")
    assert [c.name for c in found.classes] == [*sorted(CROPS), "background"]
    lines = (folder / "masks_classes.csv").read_text("utf-8").splitlines()
    assert lines[0] == "code,class,color"
    assert lines[-1] == f"{len(CROPS) + 1},background,#a0a0a0"
    _, card = load_model(folder / "modèle.safetensors")
    assert card.architecture == "exact"
    assert card.class_names == sorted(CROPS)
    assert card.hyperparameters["dim"] == 64
    numbers = json.loads((folder / "masks_numbers.json").read_text("utf-8"))
    assert len(numbers["epochs"]) == 2
    assert numbers["polygons"]["used"] == result.scores["n_polygons"] == 36
    assert numbers["polygons"]["held_out"] == 4
    assert numbers["threshold"]["value"] == result.scores["threshold"]
    assert sum(row["pixels"] for row in numbers["classes"]) == 48 * 48
    # a pixel's crop is one of those that are ticked in its window
    ticks = gpd.read_file(region.parent / "windows.gpkg", layer="windows").drop(
        columns=["window", "done", "geometry"]
    )
    for i, row in enumerate(ticks.to_numpy(bool)):
        own = values[i // 6 * 8 :, i % 6 * 8 :][:8, :8]
        assert set(np.unique(own).tolist()) <= {*(np.flatnonzero(row) + 1).tolist(), len(CROPS) + 1}


def test_pixel_labels_change_no_mask(region, made, tmp_path) -> None:
    folder, _ = made
    parcels = {"parcels": str(region.parent / "parcels.gpkg"), "field": "crop"}
    result = make(region, tmp_path, **parcels)
    assert (tmp_path / "masks.tif").read_bytes() == (folder / "masks.tif").read_bytes()
    numbers = json.loads((tmp_path / "masks_numbers.json").read_text("utf-8"))
    assert numbers["pixel_labels"]["reference"] == "parcels.gpkg"
    counts = np.array(numbers["pixel_labels"]["confusion"]["counts"])
    assert counts.sum() == numbers["pixel_labels"]["pixels"] > 2000
    assert counts[-1].sum() == 0  # parcels say nothing of land without crops
    assert result.scores["accuracy"] == pytest.approx(np.trace(counts) / counts.sum(), abs=1e-5)


def test_labels_of_a_raster_mean_crops_by_their_names(region, made, tmp_path) -> None:
    folder, _ = made
    result = make(region, tmp_path, labels=str(folder / "masks.tif"))
    # the masks themselves as truth
    assert result.scores["miou"] == 1.0
    assert result.scores["accuracy"] == 1.0
    with pytest.raises(InputError, match=r"No label of parcels.gpkg means a ticked crop"):
        make(region, tmp_path, parcels=str(region.parent / "parcels.gpkg"), field="plot")


def test_a_segmentation_model_learns_from_the_masks(region, tmp_path) -> None:
    # fields fill this region: sharpening leaves no background
    folder = tmp_path
    make(region, folder, refine=False)
    result = (
        job_class("train-segmentation")
        .parse(
            {
                "series": str(region),
                "labels": str(folder / "masks.tif"),
                "class_table": str(folder / "masks_classes.csv"),
                "architecture": "unet3d",
                "width": "small",
                "window": 8,
                "n_dates": 4,
                "epochs": 1,
                "steps_per_epoch": 1,
                "min_pixels": 1,
                "device": "cpu",
                "output": str(tmp_path / "s.safetensors"),
            }
        )
        .run(JobContext())
    )
    _, card = load_model(tmp_path / "s.safetensors")
    assert "background" in card.class_names
    assert result.scores["n_windows"] > 20


def test_a_classifier_of_windows_makes_no_map(region, made, tmp_path) -> None:
    job = {
        "series": str(region),
        "model": str(made[0] / "modèle.safetensors"),
        "output": str(tmp_path / "map.tif"),
    }
    with pytest.raises(InputError, match="makes no maps") as caught:
        job_class("map").parse(job).run(JobContext())
    assert "segmentation model" in caught.value.advice


def test_options_of_the_masks(region, tmp_path) -> None:
    result = make(
        region, tmp_path, threshold=0.9, background="unlabelled", maps="plain", affinity=False,
        prototype_mode="gradient", held_out=0,
    )  # fmt: skip
    with rasterio.open(tmp_path / "masks.tif") as image:
        assert (image.read(1)[:48, :48] == 0).any()
    assert "background" not in (tmp_path / "masks_classes.csv").read_text("utf-8")
    assert result.scores["threshold"] == 0.9
    assert result.scores["map_macro"] is None
    doubtful = make(region, tmp_path, least_confidence=0.5)
    numbers = json.loads((tmp_path / "masks_numbers.json").read_text("utf-8"))
    assert numbers["pixels"]["unlabelled"] > 0
    assert doubtful.scores["mean_confidence"] >= 0.5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"window": 9}, "patches of 2 x 2"),
        ({"output": "masks.png"}, "must end in .tif"),
        ({"parcels": "p.gpkg"}, "without FIELD"),
        ({"parcels": "p.gpkg", "field": "x", "labels": "l.tif"}, "both given"),
        ({"labels": "none.tif"}, "Label raster not found"),
        ({"windows": "none.gpkg"}, "none.gpkg"),
        ({"window": 64}, "64"),
        ({"bands": "B99"}, "B99"),
    ],
)
def test_bad_input(region, tmp_path, changes, message) -> None:
    with pytest.raises(InputError, match=message):
        make(region, tmp_path, **changes)
    assert list(tmp_path.iterdir()) == []


def test_cancelled_runs_leave_nothing(region, tmp_path) -> None:
    class Tired(JobContext):
        def progress(self, fraction, phase=None):
            if phase and phase.startswith("Learning"):
                self.cancel()
            super().progress(fraction, phase)

    with pytest.raises(Cancelled):
        make(region, tmp_path, Tired())
    assert list(tmp_path.iterdir()) == []


def test_crops_that_sharpening_would_lose_are_named(region, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(
        "sits_engine.learning.exact.run.sharpened", lambda masks, *_, **__: replace(masks, kept=(1,))
    )
    result = make(region, tmp_path, epochs=1, report=str(tmp_path / "r.html"))
    name = json.loads((tmp_path / "r_numbers.json").read_text(encoding="utf-8"))["classes"][1]["name"]
    sentence = f"Sharpening would have lost {name}: the masks drawn before it stay. Look at them."
    assert sentence in result.warnings


def test_an_interrupted_run_goes_on_and_leaves_only_its_outputs(region, made, tmp_path) -> None:
    def interrupt(kind, fields) -> None:
        if kind == "progress" and fields["phase"] == "Sharpening the masks":
            ctx.cancel()

    ctx = JobContext(interrupt)
    with pytest.raises(Cancelled) as caught:
        make(region, tmp_path, ctx)
    assert "The state after epoch 2 is kept in masks.resume.safetensors" in caught.value.advice
    assert [path.name for path in tmp_path.iterdir()] == ["masks.resume.safetensors"]
    said = []
    make(region, tmp_path, JobContext(lambda kind, fields: said.append(fields.get("text"))))
    assert "Going on with training after epoch 2, where an earlier run was interrupted." in said
    assert not list(tmp_path.glob("*.resume*"))
    assert (tmp_path / "masks.tif").read_bytes() == (made[0] / "masks.tif").read_bytes()


def test_an_interrupted_run_is_forgotten_on_wish(region, tmp_path) -> None:
    (tmp_path / "masks.resume.safetensors").write_bytes(b"of an earlier run")
    said = []
    ctx = JobContext(lambda kind, fields: said.append(fields.get("text") or ""))
    make(region, tmp_path, ctx, resume=False, epochs=1, refine=False)
    assert not any("masks.resume.safetensors" in line for line in said)
    assert not list(tmp_path.glob("*.resume*"))
