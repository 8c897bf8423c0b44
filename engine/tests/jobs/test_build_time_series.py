import datetime
import json

import numpy as np
import pytest
import rasterio
from imagery import DATES, UTM32, ramp, write_folder, write_image

from sits_engine.context import JobContext
from sits_engine.errors import Cancelled, EngineError, InputError
from sits_engine.jobs.build_time_series import BuildTimeSeries
from sits_engine.series.time_series import TimeSeries


def build(tmp_path, ctx=None, **params):
    params = {"output": str(tmp_path / "out é" / "series.json"), **params}
    return BuildTimeSeries.parse(params).run(ctx or JobContext())


def test_folder_to_series_and_report(tmp_path):
    write_folder(tmp_path / "images")
    messages = []
    ctx = JobContext(lambda kind, fields: messages.append((kind, fields)))
    report = tmp_path / "rapport é.html"
    result = build(tmp_path, ctx, input_folder=str(tmp_path / "images"), report=str(report))
    assert result.scores == {"dates": 5, "scenes": 5, "bands": 3, "clear_median": 5.0}
    assert set(result.outputs) == {"output", "report"}
    assert "<svg" in report.read_text(encoding="utf-8") or "<img" in report.read_text(encoding="utf-8")
    percents = [fields["percent"] for kind, fields in messages if kind == "progress"]
    assert percents == sorted(percents)
    assert percents[-1] == 100
    series = TimeSeries.open(tmp_path / "out é" / "series.json")
    assert series.read(series.grid.whole, series.bands).valid.all()


def test_loaded_layers(tmp_path):
    write_folder(tmp_path / "images")
    layers = [f"{path}|layerid=0" for path in sorted((tmp_path / "images").iterdir())]
    assert build(tmp_path, layers=layers).scores["dates"] == 5
    assert build(tmp_path, layers=";".join(layers[:3])).scores["dates"] == 3
    with pytest.raises(InputError, match=r"Image not found: .*nothing_20190101"):
        build(tmp_path, layers=[*layers, str(tmp_path / "nothing_20190101.tif")])


def test_dates_and_extent(tmp_path):
    write_folder(tmp_path / "images")
    build(
        tmp_path,
        input_folder=str(tmp_path / "images"),
        start_date="2019-04-01",
        end_date="2019-06-05",
        extent="600022,600071,5599931,5599989 [EPSG:32631]",
    )
    series = TimeSeries.open(tmp_path / "out é" / "series.json")
    assert [d.month for d in series.dates] == [4, 5, 6]
    assert series.grid.bounds == (600020, 5599930, 600080, 5599990)


def test_clipped_copy(tmp_path):
    write_folder(tmp_path / "images")
    copy = {"clip_folder": str(tmp_path / "clip"), "clip_compression": "ZSTD"}
    build(tmp_path, input_folder=str(tmp_path / "images"), **copy)
    with rasterio.open(tmp_path / "clip" / f"{DATES[0]}.tif") as file:
        assert file.compression.name == "zstd"
    series = TimeSeries.open(tmp_path / "out é" / "series.json")
    assert {s.hrefs()[0] for scenes in series.scenes for s in scenes} == {
        str(tmp_path / "clip" / f"{d}.tif") for d in DATES
    }


def test_several_coordinate_systems_are_said(tmp_path):
    write_folder(tmp_path / "images")
    write_image(
        tmp_path / "images" / "S2_20190801.tif", ramp(3, 40, 40), crs=UTM32, corner=(174400.0, 5606500.0)
    )
    result = build(tmp_path, input_folder=str(tmp_path / "images"))
    assert any("EPSG:32632 beside EPSG:32631" in text for text in result.warnings)


def test_a_band_that_some_images_lack_is_left_out_with_a_warning(tmp_path):
    write_folder(tmp_path / "images")
    write_image(tmp_path / "images" / "S2_20190305.tif", ramp(2, 12, 16), ["B02", "B04"])
    result = build(tmp_path, input_folder=str(tmp_path / "images"))
    assert result.scores["bands"] == 2
    assert any("B08 is missing in 1 of 5 images" in text for text in result.warnings)


def test_duplicates_are_said(tmp_path):
    write_folder(tmp_path / "images")
    write_image(tmp_path / "images" / "S2_20190305_again.tif", ramp(3, 12, 16))
    result = build(tmp_path, input_folder=str(tmp_path / "images"))
    assert result.scores["scenes"] == 5
    assert any("2019-03-05 is there twice" in text for text in result.warnings)


def test_own_mask_and_numbers(tmp_path):
    for date in DATES:
        values = ramp(2, 4, 4)
        values[1] = 0
        values[1, 0, :2] = 3
        write_image(tmp_path / "i" / f"x{date:%d%m%Y}.tif", values, None, nodata=None)
    build(
        tmp_path,
        input_folder=str(tmp_path / "i"),
        date_pattern="%d%m%Y",
        bands="red, clouds",
        mask_band="clouds",
        mask_values="3, 4",
        scale=0.001,
        season_year=2020,
    )
    series = TimeSeries.open(tmp_path / "out é" / "series.json")
    cube = series.read(series.grid.whole, ["B04"])
    assert cube.valid[0].sum() == 14
    assert np.unique(cube.scale).tolist() == [np.float32(0.001)]
    assert series.season_year == 2020


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({}, "None of INPUT_FOLDER, LAYERS and STAC"),
        ({"input_folder": "a", "stac": "b"}, "More than one of"),
        ({"input_folder": "{images}", "output": "{images}/x.txt"}, "OUTPUT must end in .json"),
        (
            {"input_folder": "{images}", "start_date": "2020-01-01", "end_date": "2019-01-01"},
            "lies after END_DATE",
        ),
        ({"input_folder": "{images}", "start_date": "2020-01-01"}, "lies within the dates"),
        ({"input_folder": "{images}", "start_date": "2019-06-01"}, "too short: 2 dates"),
        ({"input_folder": "{images}", "extent": "0,1,0,1 [EPSG:32631]"}, "doesn't touch the images"),
        ({"input_folder": "{images}", "mask_band": "QA"}, "mask band 'QA' is not in the images"),
        ({"input_folder": "{images}", "crs": "nonsense"}, "no coordinate reference system"),
        ({"input_folder": "{images}", "resolution": -1}, "RESOLUTION"),
        ({"input_folder": "{images}", "max_cloud": 200}, "MAX_CLOUD"),
        ({"input_folder": "{images}/none"}, "not found"),
        ({"stac": "{images}/none.json"}, "not found"),
    ],
)
def test_bad_input(tmp_path, params, reason):
    write_folder(tmp_path / "images")
    images = str(tmp_path / "images")
    filled = {k: v.replace("{images}", images) if isinstance(v, str) else v for k, v in params.items()}
    with pytest.raises(InputError, match=reason):
        build(tmp_path, **filled)


def test_output_in_the_place_of_a_folder(tmp_path):
    write_folder(tmp_path / "images")
    (tmp_path / "f").write_text("")
    with pytest.raises(EngineError) as error:
        build(tmp_path, input_folder=str(tmp_path / "images"), output=str(tmp_path / "f" / "x.json"))
    assert error.value.code == "OUTPUT_NOT_WRITABLE"


def test_cancelled_leaves_nothing(tmp_path):
    write_folder(tmp_path / "images")
    ctx = JobContext()
    ctx.cancel()
    with pytest.raises(Cancelled):
        build(tmp_path, ctx, input_folder=str(tmp_path / "images"))
    assert not list((tmp_path / "out é").iterdir())


def test_the_key_is_written_nowhere(tmp_path):
    write_folder(tmp_path / "images")
    job = BuildTimeSeries.parse(
        {
            "input_folder": str(tmp_path / "images"),
            "output": str(tmp_path / "s.json"),
            "auth_header": "Bearer s3cr3t",
        }
    )
    job.run(JobContext())
    assert "s3cr3t" not in repr(job)
    assert "s3cr3t" not in (tmp_path / "s.json").read_text()


def test_item_collection_of_another_tool(tmp_path):
    """A collection without anything of ours, one asset a band, becomes a series of ours."""
    items = []
    for date in DATES:
        write_image(tmp_path / f"{date}_r.tif", ramp(1, 4, 4), None)
        when = datetime.datetime.combine(date, datetime.time(10), datetime.UTC).isoformat()
        asset = {"href": f"./{date}_r.tif", "eo:bands": [{"name": "red", "common_name": "red"}]}
        items.append(
            {
                "type": "Feature",
                "stac_version": "1.0.0",
                "id": str(date),
                "geometry": None,
                "properties": {"datetime": when, "eo:cloud_cover": 80 if date == DATES[0] else 5},
                "assets": {"red": asset},
                "links": [],
            }
        )
    (tmp_path / "foreign.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    result = build(tmp_path, stac=str(tmp_path / "foreign.json"), max_cloud=50)
    assert result.scores["dates"] == 4
    assert TimeSeries.open(tmp_path / "foreign.json").bands == ("B04",)


def test_an_input_is_never_overwritten(tmp_path):
    write_folder(tmp_path / "images")
    images = sorted((tmp_path / "images").iterdir())
    before = {path: path.read_bytes() for path in images}
    build(tmp_path, input_folder=str(tmp_path / "images"), output=str(tmp_path / "first.json"))
    first = (tmp_path / "first.json").read_bytes()
    for given in (
        {"input_folder": str(tmp_path / "images"), "report": str(images[0])},
        {"layers": [str(path) for path in images], "report": str(images[1])},
        {"stac": str(tmp_path / "first.json"), "output": str(tmp_path / "first.json")},
    ):
        with pytest.raises(InputError, match="is an input of this run"):
            build(tmp_path, **given)
    assert {path: path.read_bytes() for path in images} == before
    assert (tmp_path / "first.json").read_bytes() == first
    assert not (tmp_path / "out é" / "series.json").exists()
