"""Plan map: what a map takes, said before; and the numbers hold against the map itself."""

import json
from collections import namedtuple

import numpy as np
import pytest
import rasterio
from support.disks import mounted
from support.maps import CORNER, DAYS, write_model, write_series

from sits_engine.context import JobContext
from sits_engine.errors import EngineError, InputError
from sits_engine.jobs.map_crops import MapCrops
from sits_engine.jobs.plan_map import PlanMap
from sits_engine.series.item_collection import Document, write_document
from sits_engine.series.time_series import TimeSeries

X, Y = CORNER


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plan")
    series = write_series(folder, height=200, width=260)
    return folder, series, write_model(folder / "m.safetensors")


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """One spot is enough here."""
    monkeypatch.setattr("sits_engine.mapping.estimate.ENOUGH", 0.1)


def planned(place, launching=0.0, **inputs):
    _, series, model = place
    said = []
    ctx = JobContext(lambda kind, fields: said.append(fields["text"]) if kind == "log" else None)
    ctx.launching = launching
    params = {"series": str(series), "model": str(model), "device": "cpu", "tile_size": 64, **inputs}
    return PlanMap.parse(params).run(ctx), " ".join(said)


@pytest.mark.parametrize("below", [".", "maps"])
@pytest.mark.parametrize("name", ["folder", "probabilities_folder"])
def test_a_file_is_no_folder_for_the_map(place, tmp_path, name, below):
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(InputError, match=f"{file} is no folder"):
        planned(place, **{name: str(file / below)})


def test_plan_of_a_series(place, tmp_path):
    result, said = planned(place, output=str(tmp_path / "plan.json"), folder=str(tmp_path))
    scores = result.scores
    assert (scores["pixels"], scores["dates"], scores["tiles"]) == (200 * 260, len(DAYS), 4 * 5)
    assert 0 < scores["seconds_once"] < scores["seconds"]
    assert 0 < scores["seconds_low"] <= scores["seconds"] <= scores["seconds_high"]
    assert scores["disk_needed"] > scores["disk_kept"] > 0
    assert scores["disk_free"] > 0
    assert scores["peak_memory"] > 2**26
    assert scores["storage"] == "tiles"
    assert "copy" not in scores
    assert sum(scores["busy"].values()) == pytest.approx(1, abs=0.01)
    assert json.loads((tmp_path / "plan.json").read_text())["tiles"] == 20
    assert said.startswith("52000 pixels, ")
    assert "20 tiles of at most 64 x 64 pixels" in said
    assert scores["bottleneck"] in said
    assert "Starting, opening the files and preparing the network take" in said
    assert "will take" in scores["bottleneck"]
    assert f"Disk space in {tmp_path}" in said
    assert not (tmp_path / "map.tif").exists()


def test_bytes_are_those_of_the_blocks_of_the_region(place):
    """All blocks: nearly the sizes of the files. A quarter of the blocks: about a quarter of the bytes."""
    folder = place[0]
    every = planned(place)[0].scores
    files = sum(path.stat().st_size for path in (folder / "images").glob("*.tif"))
    assert every["bytes_exact"]
    assert 0.9 * files < every["bytes_to_read"] <= files
    part = planned(place, extent=f"{X},{X + 1280},{Y - 1280},{Y}")[0].scores
    with rasterio.open(next((folder / "images").glob("*.tif"))) as image:
        sizes = {
            (row, col): int(image.get_tag_item(f"BLOCK_SIZE_{col}_{row}", "TIFF", bidx=1))
            for row in range(4)
            for col in range(5)
        }
        assert image.block_shapes[0] == (64, 64)
    share = sum(size for (row, col), size in sizes.items() if row < 2 and col < 2) / sum(sizes.values())
    assert part["bytes_to_read"] / every["bytes_to_read"] == pytest.approx(share, rel=0.1)
    assert part["tiles"] == 4


def test_polygons_count_their_own_pixels(place, tmp_path):
    import geopandas as gpd
    import shapely

    square = shapely.box(X, Y - 640, X + 640, Y)
    path = tmp_path / "r.gpkg"
    gpd.GeoDataFrame(
        geometry=[square, shapely.box(X + 1950, Y - 1500, X + 2050, Y - 1400)], crs=32631
    ).to_file(path)
    result, said = planned(place, region=str(path))
    assert result.scores["pixels"] == 64 * 64 + 100
    assert result.scores["tiles"] == 2
    assert "of them outside" in said
    assert "about 4196 pixels" in said


def test_a_unit_that_no_map_takes_is_refused_in_its_words(place, tmp_path):
    _, series, model = place
    params = {"series": str(series), "model": str(model), "device": "cpu", "min_mapping_unit": 1000}
    with pytest.raises(InputError, match=r"unit of 1000 ha is .* at most 1024") as planning:
        planned(place, min_mapping_unit=1000)
    with pytest.raises(InputError) as mapping:
        MapCrops.parse(params | {"output": str(tmp_path / "map.tif")}).run(JobContext())
    assert str(planning.value) == str(mapping.value)


def test_a_disk_too_small_is_refused(place, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")(10, 10, 1000)
    monkeypatch.setattr("sits_engine.mapping.space.shutil.disk_usage", lambda path: usage)
    with pytest.raises(EngineError) as error:
        planned(place, folder=str(tmp_path), probabilities=True)
    assert error.value.code == "DISK_FULL"
    assert str(tmp_path) in error.value.message
    assert "1000 bytes are free" in error.value.message
    assert f" MiB in {tmp_path} (map.tif, probabilities.tif) while" in error.value.message


def test_each_disk_is_named_absolutely(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with mounted(tmp_path / "small", "size=64k"):
        scores = planned(place, folder="large", probabilities_folder=str(tmp_path))[0].scores
        assert [disk["files"] for disk in scores["disks"]] == [["map.tif", "probabilities.tif"]]
        with pytest.raises(EngineError) as error:
            planned(place, folder="large", probabilities_folder="small/new")
        assert f"{tmp_path / 'small' / 'new'} (probabilities.tif) while" in error.value.message
        assert "64.0 KiB are free" in error.value.message
        with pytest.raises(EngineError) as error:
            planned(place, folder="small", probabilities_folder="large")
        assert f"{tmp_path / 'small'} (map.tif) while" in error.value.message


def test_the_folder_may_not_exist_yet(place, tmp_path):
    """The map makes it; its disk is that of the nearest folder above it."""
    result, said = planned(place, folder=str(tmp_path / "new" / "maps"))
    assert result.scores["disk_free"] > 0
    assert f"Disk space in {tmp_path / 'new' / 'maps'}" in said
    assert not (tmp_path / "new").exists()


def test_probabilities_and_finer_patches_need_more(place):
    plain = planned(place)[0].scores["disk_needed"]
    assert planned(place, probabilities=True)[0].scores["disk_needed"] > plain
    assert planned(place, min_mapping_unit=0.1)[0].scores["disk_needed"] > plain


def test_the_start_and_the_end_of_the_process_count(place):
    assert 1300 < planned(place, launching=1000.0)[0].scores["seconds_once"] < 1400


def test_one_is_not_many(place):
    said = planned(place, extent=f"{X},{X + 640},{Y - 640},{Y}")[1]
    assert " bands: 1 tile of at most" in said
    assert "judged by 1 tile. " in said


def test_inputs_are_checked(place, tmp_path):
    with pytest.raises(InputError, match="is an input of this run"):
        planned(place, output=str(place[1]))


def jpeg2000(place, folder):
    """The same series as JPEG 2000, a file a band."""
    from dataclasses import replace

    series = TimeSeries.open(place[1])
    scenes = []
    for (scene,) in series.scenes:
        bands = []
        for band in scene.bands:
            path = folder / f"{scene.date}-{band.name}.jp2"
            with rasterio.open(band.href) as source:
                profile = {**source.profile, "driver": "JP2OpenJPEG", "count": 1, "nodata": None}
                for key in ("compress", "tiled", "blockxsize", "blockysize", "interleave"):
                    profile.pop(key, None)
                with rasterio.open(path, "w", QUALITY="100", REVERSIBLE="YES", **profile) as image:
                    image.write(source.read(band.index), 1)
            bands.append(replace(band, href=str(path), index=1))
        scenes.append(replace(scene, bands=tuple(bands)))
    path = folder / "jp2.json"
    write_document(path, Document(scenes=scenes, title="jp2", grid=series.grid, mask_band="SCL"))
    return path


def test_jpeg2000_names_decoding_and_offers_the_copy(place, tmp_path, monkeypatch):
    folder, _, model = place

    def cheap(self, values, valid, scale, offset, positions):
        return np.full((values.shape[2], 3), 1 / 3, np.float32)

    monkeypatch.setattr("sits_engine.models.inference.Predictor.predict_pixels", cheap)
    series = jpeg2000(place, tmp_path)
    result, said = planned((folder, series, model))
    assert "Reading will take" in said
    assert "decoding JPEG 2000" in said
    assert "CLIP_FOLDER" in said
    copy = result.scores["copy"]
    assert copy["bytes"] > 0
    assert copy["seconds_to_make"] > 0
    assert copy["times_as_fast"] > 1
    assert not result.scores["bytes_exact"]
    mapped = MapCrops.parse(
        {"series": str(series), "model": str(model), "output": str(tmp_path / "map.tif"), "device": "cpu"}
    ).run(JobContext())
    assert "Reading took" in mapped.scores["bottleneck"]
    assert "decoding JPEG 2000" in mapped.scores["bottleneck"]
    assert mapped.scores["busy"]["reading"] > 0.5


def test_a_slow_disk_is_named(place, tmp_path, monkeypatch):
    import time

    read = TimeSeries.read

    def late(self, *arguments, **options):
        time.sleep(0.3)
        return read(self, *arguments, **options)

    monkeypatch.setattr(TimeSeries, "read", late)
    monkeypatch.setattr("sits_engine.mapping.timings._machine_seconds", lambda: (0.0, 0.0))  # nobody else
    inputs = {"series": str(place[1]), "model": str(place[2]), "output": str(tmp_path / "map.tif")}
    scores = MapCrops.parse({**inputs, "device": "cpu", "tile_size": 64}).run(JobContext()).scores
    assert scores["bottleneck"].startswith("Reading took")
    assert "waiting for the disk" in scores["bottleneck"]
    assert "put the files on a faster, local disk" in scores["bottleneck"]
