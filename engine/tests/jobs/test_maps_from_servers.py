"""Maps of images on a server: the same as of local files, and what happens where some can't be read."""

import json

import pytest
import rasterio
from support.maps import DAYS, write_model, write_series
from support.object_server import serving

from sits_engine.context import JobContext
from sits_engine.errors import Cancelled, EngineError
from sits_engine.jobs.build_time_series import BuildTimeSeries
from sits_engine.jobs.map_crops import MapCrops
from sits_engine.series import remote
from sits_engine.series.time_series import TimeSeries

BAD = f"S2_{DAYS[2]}.tif"


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """(series, model, map of local files)."""
    folder = tmp_path_factory.mktemp("local")
    series, model = write_series(folder), write_model(folder / "m.safetensors")
    made = mapped(series, model, folder / "map.tif")
    return series, model, made[0].read_bytes()


@pytest.fixture
def served(local, tmp_path, monkeypatch):
    """(server, a series built from the item collection that lies on it)."""
    monkeypatch.setattr(remote, "PAUSE", 0.01)
    with serving(local[0].parent) as server:
        path = tmp_path / "series.json"
        BuildTimeSeries.parse({"stac": server.url + "series.json?sig=geheim", "output": str(path)}).run(
            JobContext()
        )
        # GDAL keeps what was fetched for the summary, by address: such tiny files would need no server now
        path.write_text(path.read_text().replace(server.url, server.url + "/"))
        yield server, path


def mapped(series, model, output, ctx=None, **options):
    """(map, warnings) of a series, in tiles of 32 pixels."""
    ctx = ctx or JobContext()
    params = {"series": str(series), "model": str(model), "output": str(output), "tile_size": 32}
    MapCrops.parse({**params, "device": "cpu", **options}).run(ctx)
    ctx.finish()
    return output, ctx.warnings


def test_the_map_is_the_same_as_of_local_files(local, served, tmp_path):
    server, path = served
    hrefs = [band.href for scenes in TimeSeries.open(path).scenes for band in scenes[0].bands]
    assert all(href.startswith(server.url) for href in hrefs)
    server.once[BAD] = [503, "reset", 429]
    output, _ = mapped(path, local[1], tmp_path / "map.tif")
    assert output.read_bytes() == local[2]
    assert server.once[BAD] == []


def test_an_unreadable_image_stops_a_map_and_is_named(local, served, tmp_path):
    server, path = served
    server.always[BAD] = 404
    with pytest.raises(EngineError, match=rf"{BAD}: HTTP 404 .* of S2_{DAYS[2]} \(2023-05-20\)") as error:
        mapped(path, local[1], tmp_path / "map.tif")
    assert "UNREADABLE" in error.value.advice
    assert not (tmp_path / "map.tif").exists()


def test_what_is_left_out_stands_in_warnings_and_metadata(local, served, tmp_path):
    server, path = served
    server.always[BAD] = 404
    output, warnings = mapped(path, local[1], tmp_path / "map.tif", unreadable="missing")
    (said,) = [one for one in warnings if "left out" in one]
    # 70 x 90 pixels in tiles of 32
    assert f"Image S2_{DAYS[2]} of 2023-05-20 can't be read (HTTP 404, " in said
    assert "left out of 9 windows (6300 pixels)" in said
    with rasterio.open(output) as image:
        assert image.tags()["SITS_IMAGES_LEFT_OUT"] == f"S2_{DAYS[2]}"
    assert "geheim" not in said + json.dumps(warnings)
    again, _ = mapped(path, local[1], tmp_path / "again.tif", unreadable="missing")
    assert again.read_bytes() == output.read_bytes()


def test_a_map_that_goes_on_after_an_outage_has_every_image(local, served, tmp_path):
    server, path = served
    server.always[BAD] = 404
    ctx = JobContext(lambda kind, fields: ctx.cancel() if fields.get("percent", 0) > 30 else None)
    with pytest.raises(Cancelled):
        mapped(path, local[1], tmp_path / "map.tif", ctx, unreadable="missing")
    assert server.tries(BAD)
    server.always.clear()
    output, warnings = mapped(path, local[1], tmp_path / "map.tif", unreadable="missing")
    assert output.read_bytes() == local[2]
    assert not [one for one in warnings if "left out" in one]
