"""The sentence that says what limited a map."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
from support.maps import BANDS, write_model, write_series
from support.memory_series import series as memory_series

from sits_engine.mapping import produce
from sits_engine.mapping.bottleneck import network_of, sentence, storage
from sits_engine.mapping.pipeline import Plan
from sits_engine.mapping.timings import Timings
from sits_engine.models.card import FastCard
from sits_engine.models.model_file import load_fast, load_model, read_card, save_model
from sits_engine.series.time_series import TimeSeries

READING = Timings(10, reading=9, starved=7.1, computing=2.4, blocked=0.5, read_processor=12, processors=2)
IDLE = Timings(10, reading=9, starved=7.1, computing=2.4, blocked=0.5, read_processor=1, processors=2)
CROWDED = replace(IDLE, machine=0.9)
STARTING = replace(READING, elapsed=50, starting=40)
COMPUTING = Timings(10, reading=2, starved=1, computing=8.5, blocked=0.5, processors=2)
WRITING = Timings(10, reading=2, starved=1, computing=2, blocked=7, processors=2)
CARD = Timings(10, starved=1, computing=8.5, blocked=0.5, processors=2, card=True)


@pytest.mark.parametrize(
    ("timings", "stored", "network", "begins", "ends"),
    [
        (
            READING,
            "jpeg2000",
            "pixels",
            "Reading took 71 % of the time (decoding JPEG",
            "(CLIP_FOLDER).",
        ),
        (
            READING,
            "remote",
            "pixels",
            "Reading took 71 % of the time (images from a",
            "near the data.",
        ),
        (READING, "resampled", "words", "Reading took 71 % of the time (resampling", "(CLIP_FOLDER)."),
        (
            READING,
            "strips",
            "pixels",
            "Reading took 71 % of the time (images in strips",
            "(CLIP_FOLDER).",
        ),
        (READING, "tiles", "pixels", "Reading took 71 % of the time (decompressing", "use more processors."),
        (
            IDLE,
            "tiles",
            "pixels",
            "Reading took 71 % of the time (waiting for the disk)",
            "a faster, local disk.",
        ),
        (IDLE, "resampled", "pixels", "Reading took 71 % of the time", "from a slow disk), computing 24 %"),
        (CROWDED, "tiles", "pixels", "Reading took 71 % of the time (waiting for proc", "those are idle."),
        (CROWDED, "strips", "pixels", "Reading took 71 % of the time", "beside other programs), computing"),
        (STARTING, "tiles", "fast", "Starting took 80 % of the time (pre", "Of the rest, reading took 71 %."),
        (COMPUTING, "tiles", "pixels", "Computing took 85 % of the time (", "in training (FAST), or use"),
        (
            COMPUTING,
            "tiles",
            "both",
            "Computing took 85 %",
            ": map with FAST, the fast network in the model's",
        ),
        (COMPUTING, "tiles", "fast", "Computing took 85 %", "use more processors."),
        (COMPUTING, "tiles", "segments", "Computing took 85 %", "lower OVERLAP, or use a graphics card."),
        (COMPUTING, "tiles", "words", "Computing took 85 %", "fewer STEPS, or use a graphics card."),
        (WRITING, "tiles", "pixels", "Writing took 70 % of the time (storing", "a faster, local disk."),
        (
            CARD,
            "tiles",
            "words",
            "Computing took 85 % of the time (the network on the g",
            "input 10 % of the time.",
        ),
    ],
)
def test_each_cause_has_its_way_out(timings, stored, network, begins, ends):
    said = sentence(timings, stored, network)
    assert said.startswith(begins)
    assert ends in said
    assert said.endswith(".")


@pytest.mark.parametrize(("width", "found"), [("standard", "pixels"), ("small", "pixels"), ("fast", "fast")])
def test_a_network_is_fast_by_all_of_its_widths(tmp_path, width, found):
    card = read_card(write_model(tmp_path / "m.safetensors", width=width))
    assert network_of(None, card) == found


def test_a_model_that_holds_a_fast_network_is_mapped_with_it(tmp_path):
    plain = write_model(tmp_path / "m.safetensors")
    student, own = load_model(write_model(tmp_path / "f.safetensors", width="fast"))
    both = tmp_path / "both.safetensors"
    save_model(both, *load_model(plain), (student, FastCard(hyperparameters=own.hyperparameters)))
    assert network_of(None, read_card(both)) == "both"
    assert network_of(None, load_fast(both)[1]) == "fast"


def test_all_shares_are_told():
    assert ", computing 24 % and writing 5 %: " in sentence(READING, "jpeg2000", "pixels")


def changed(series, **band):
    """The series with other facts of its first scene's bands."""
    first = series.scenes[0][0]
    scene = replace(first, bands=tuple(replace(one, **band) for one in first.bands))
    return replace(series, scenes=((scene,), *series.scenes[1:]))


def test_how_images_are_stored(tmp_path):
    series = TimeSeries.open(write_series(tmp_path, height=70, width=400))
    assert storage(series, BANDS) == "tiles"
    assert storage(changed(series, href="https://there.test/a.tif"), BANDS) == "remote"
    coarse = series.grid.transform * series.grid.transform.scale(2)
    assert storage(changed(series, grid=replace(series.grid, transform=coarse)), BANDS) == "resampled"
    assert storage(changed(series, href=str(tmp_path / "gone.tif")), BANDS) == "unknown"
    assert storage(memory_series(), ["B04"]) == "unknown"


def test_strips_and_jpeg2000(tmp_path):
    series = TimeSeries.open(write_series(tmp_path, height=70, width=400))
    values = np.zeros((1, 70, 400), "uint16")
    for name, driver, kind in (("s.tif", "GTiff", "strips"), ("j.jp2", "JP2OpenJPEG", "jpeg2000")):
        profile = {"driver": driver, "count": 1, "height": 70, "width": 400, "dtype": "uint16"}
        profile["transform"] = series.grid.transform
        with rasterio.open(tmp_path / name, "w", **profile) as image:
            image.write(values)
        assert storage(changed(series, href=str(tmp_path / name)), BANDS) == kind


def test_two_readers_where_images_come_from_a_server(tmp_path, monkeypatch):
    series = TimeSeries.open(write_series(tmp_path))
    seen = []
    monkeypatch.setattr(produce, "run_tiles", lambda work, tiles, how, keep, tick: seen.append(how.readers))
    for images in (series, changed(series, href="/vsicurl/https://there.test/a.tif")):
        request = SimpleNamespace(predictor=None, series=images, plan=Plan(1, 4096), work=None)
        produce.run_here(request, [], None, None)
    assert seen == [1, 2]
