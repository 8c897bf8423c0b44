"""The map job with segmentation models: seams, finer grids, polygons, parcels, resuming, bad input."""

import re

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from support.crop_maps import read, run
from support.maps import BANDS, CLASSES, CORNER, DAYS, parcels_file, write_model, write_series
from support.segmenters import Mean, segment_card

from sits_engine.context import JobContext
from sits_engine.device import select
from sits_engine.errors import Cancelled, InputError, ModelError
from sits_engine.mapping.class_map import ClassMap
from sits_engine.models import registry
from sits_engine.models.model_file import save_model
from sits_engine.models.segment_inference import SegmentPredictor
from sits_engine.series.time_series import TimeSeries

X, Y = CORNER


def make(n_bands=3, n_classes=3, window=16, n_dates=5, scale=1):
    return Mean(n_bands, n_classes, scale)


@pytest.fixture(scope="module", autouse=True)
def tiny_network():
    """The tests' own network as an architecture of the registry."""
    patch = pytest.MonkeyPatch()
    patch.setattr(registry, "ARCHITECTURES", {**registry.ARCHITECTURES, "mean": make})
    patch.setattr(registry, "SEGMENTERS", {**registry.SEGMENTERS, "mean": make})
    yield
    patch.undo()


def write_segmenter(path, scale=1, window=16, n_dates=5, **changes):
    card = segment_card(window=window, n_dates=n_dates, scale=scale, **changes)
    save_model(path, Mean(scale=scale), card)
    return path


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    """70 x 90 pixels, a corner clouded for good."""
    return write_series(tmp_path_factory.mktemp("séries"), dark=(slice(60, 70), slice(0, 20)))


@pytest.fixture(scope="module")
def worlds(series):
    return {s: (series, write_segmenter(series.parent / f"m{s}.safetensors", s)) for s in (1, 2, 4)}


def expected(world):
    """(K, H * s, W * s) by the predictor on the whole cube, without tiles, threads or files."""
    opened = TimeSeries.open(world[0])
    cube = opened.read(opened.grid.whole, BANDS)
    predictor = SegmentPredictor.open(world[1], select("cpu"))
    return predictor.predict_cube(cube.values, cube.valid, cube.scale, cube.offset, opened.positions)


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_map_on_its_grid_is_the_models_answer(worlds, tmp_path, scale):
    world = worlds[scale]
    result = run(world, output=tmp_path / "map.tif", probabilities=tmp_path / "p.tif")
    p = expected(world)
    top = p.max(axis=0)
    classes = np.where(top > 0, p.argmax(axis=0) + 1, 0)
    assert len(np.unique(classes)) == 4
    with rasterio.open(tmp_path / "map.tif") as image:
        found = image.read()
        assert image.transform.almost_equals(
            rasterio.transform.from_origin(X, Y, 10 / scale, 10 / scale), 1e-9
        )
        assert image.shape == (70 * scale, 90 * scale)
        assert image.tags()["SITS_SEASON_START"] == "2023-03-01"
    assert (found[0] == classes).mean() > 0.999
    assert np.abs(found[1] - np.where(top > 0, np.clip(np.rint(100 * top), 1, 100), 0)).max() <= 1
    assert (found[:, 60 * scale :, : 20 * scale] == 0).all()
    shares = read(tmp_path / "p.tif")
    assert (shares[:, top == 0] == 255).all()
    assert np.abs(shares - 100 * p)[:, top > 0].max() <= 0.51
    assert result.scores["pixels"] == (found[0] > 0).sum()
    assert result.scores["areas"] == {
        name: pytest.approx((found[0] == i + 1).sum() / (100 * scale**2), abs=1e-4)
        for i, name in enumerate(CLASSES)
    }
    assert [c.name for c in ClassMap.open(tmp_path / "map.tif").classes] == list(CLASSES)


@pytest.mark.parametrize("scale", [1, 2])
def test_tiles_of_any_size_give_one_map(worlds, tmp_path, scale):
    for size in (32, 50, 256):
        run(worlds[scale], output=tmp_path / f"{size}.tif", tile_size=size)
    one, *others = (read(tmp_path / f"{size}.tif") for size in (32, 50, 256))
    for other in others:
        np.testing.assert_array_equal(one[0], other[0])
        assert np.abs(one[1].astype(int) - other[1]).max() <= 1
        assert (one[1] != other[1]).mean() < 1e-3  # a confidence that lies between two percents


@pytest.mark.parametrize("scale", [1, 2])
def test_regions_keep_the_pixels_of_the_whole_map(worlds, tmp_path, scale):
    world = worlds[scale]
    run(world, output=tmp_path / "whole.tif")
    # smaller than a window: what lies around it is read, nothing is mirrored
    ctx = JobContext()
    run(world, ctx, output=tmp_path / "part.tif", extent=f"{X + 110},{X + 200},{Y - 150},{Y - 70}")
    assert ctx.warnings == []
    whole, part = read(tmp_path / "whole.tif"), read(tmp_path / "part.tif")
    assert part.shape[1:] == (8 * scale, 9 * scale)
    np.testing.assert_array_equal(part[0], whole[0, 7 * scale : 15 * scale, 11 * scale : 20 * scale])
    circle = shapely.Point(X + 450, Y - 350).buffer(223)
    gpd.GeoDataFrame(geometry=[circle], crs="EPSG:32631").to_crs("EPSG:4326").to_file(tmp_path / "r.gpkg")
    run(world, output=tmp_path / "circle.tif", region=tmp_path / "r.gpkg")
    with rasterio.open(tmp_path / "circle.tif") as image:
        found, transform = image.read(1), image.transform
    pixel = 10 / scale
    rows, cols = np.indices(found.shape)
    inside = shapely.contains_xy(
        circle, transform.c + pixel * (cols + 0.5), transform.f - pixel * (rows + 0.5)
    )
    top, left = round((Y - transform.f) / pixel), round((transform.c - X) / pixel)
    there = whole[0, top : top + found.shape[0], left : left + found.shape[1]]
    assert ((found > 0) == (inside & (there > 0))).mean() > 0.999
    assert (found == np.where(inside, there, 0)).mean() > 0.999
    # no finer pixel of the circle is lost at the edge of the map
    assert inside.sum() * pixel**2 == pytest.approx(circle.area, rel=0.01)


def test_images_smaller_than_a_window_are_mapped_and_it_is_said(tmp_path):
    small = write_series(tmp_path / "s", height=9, width=70, block=16)
    model = write_segmenter(tmp_path / "m.safetensors", window=32)
    ctx = JobContext()
    run((small, model), ctx, output=tmp_path / "map.tif", tile_size=32)
    assert [w for w in ctx.warnings if "70 x 9 pixels, smaller than the windows of 32 x 32" in w]
    assert len(ctx.warnings) == 1
    found = read(tmp_path / "map.tif")
    assert found.shape[1:] == (9, 70)
    assert (found[0] > 0).mean() > 0.9


def test_cancelled_run_goes_on_and_gives_the_same_bytes(worlds, tmp_path):
    run(worlds[2], output=tmp_path / "a" / "map.tif", workers=1, min_mapping_unit=0.02)
    ctx = JobContext(lambda kind, fields: ctx.cancel() if fields.get("percent", 0) > 40 else None)
    with pytest.raises(Cancelled):
        run(worlds[2], ctx, output=tmp_path / "b" / "map.tif", workers=1, min_mapping_unit=0.02)
    assert len(list((tmp_path / "b" / ".map.tif.work").glob("tile-*.npz"))) > 0
    said = []
    again = JobContext(lambda kind, fields: said.append(fields.get("text", "")))
    run(worlds[2], again, output=tmp_path / "b" / "map.tif", workers=2, min_mapping_unit=0.02)
    assert any(re.search("finished tiles? of an interrupted run", text) for text in said)
    assert (tmp_path / "a" / "map.tif").read_bytes() == (tmp_path / "b" / "map.tif").read_bytes()
    # the unit counts pixels of the finer grid: 0.02 ha are 8 of 25 m2
    from scipy import ndimage

    found = read(tmp_path / "a" / "map.tif")[0]
    for value in (1, 2, 3):
        labels, count = ndimage.label(found == value)
        assert count == 0 or np.bincount(labels.ravel())[1:].min() >= 8


def test_polygons_are_the_patches_of_the_map(worlds, tmp_path):
    result = run(
        worlds[2], output=tmp_path / "map.tif", output_polygons=tmp_path / "p.gpkg", min_mapping_unit=0.02
    )
    found = read(tmp_path / "map.tif")
    frame = gpd.read_file(tmp_path / "p.gpkg")
    assert result.outputs["output_polygons"] == str(tmp_path / "p.gpkg")
    assert result.scores["polygons"] == len(frame) > 3
    assert frame["area_ha"].min() >= 0.02
    for i, name in enumerate(CLASSES):
        own = frame[frame["class"] == name]
        assert (own["value"] == i + 1).all()
        assert own["n_pixels"].sum() == (found[0] == i + 1).sum()
        assert own["area_ha"].sum() == pytest.approx(result.scores["areas"][name], abs=0.01)
        mean = np.average(own["confidence"], weights=own["n_pixels"])
        assert mean == pytest.approx(found[1][found[0] == i + 1].mean(), abs=0.1)
    assert frame.geometry.area.sum() == pytest.approx((found[0] > 0).sum() * 25)


def test_polygons_of_a_model_of_pixels(series, tmp_path):
    model = write_model(tmp_path / "m.safetensors")
    result = run((series, model), output=tmp_path / "m.tif", output_polygons=tmp_path / "p.gpkg")
    frame = gpd.read_file(tmp_path / "p.gpkg")
    assert frame["n_pixels"].sum() == result.scores["pixels"]


@pytest.mark.parametrize("scale", [1, 2])
def test_parcels_get_the_mean_of_their_pixels(worlds, tmp_path, scale):
    source = parcels_file(tmp_path / "parcels.gpkg")
    for size in (32, 256):
        result = run(
            worlds[scale],
            parcels=source,
            output_parcels=tmp_path / f"{size}.gpkg",
            tile_size=size,
            id_field="name",
        )
    frame, other = (gpd.read_file(tmp_path / f"{size}.gpkg") for size in (32, 256))
    assert frame.drop(columns="geometry").equals(other.drop(columns="geometry"))
    assert result.scores["parcels"] == 4
    assert result.scores["parcels_classified"] == 3
    assert frame["class"].isna().tolist() == [False, False, False, True]  # never clear
    assert frame["n_dates"].tolist()[3] == 0
    assert frame["n_dates"][:3].between(1, len(DAYS)).all()
    p = expected(worlds[scale])
    tiny = p[:, 10 * scale : 11 * scale, 60 * scale : 61 * scale].mean(axis=(1, 2))
    assert frame["class"][2] == CLASSES[tiny.argmax()]
    assert frame["confidence"][2] == pytest.approx(100 * tiny.max(), abs=0.06)
    # all of its 18 x 18 inner pixels
    assert frame["n_pixels"].tolist()[0] == 18 * 18
    field = p[:, 6 * scale : 24 * scale, 6 * scale : 24 * scale].mean(axis=(1, 2))
    assert frame["confidence"][0] == pytest.approx(100 * field.max(), abs=0.06)


def windows_seen(monkeypatch):
    """Counts the windows that the network sees from now on."""
    seen = []
    infer = SegmentPredictor._infer

    def counting(self, view, places, **how):
        seen.extend(places)
        return infer(self, view, places, **how)

    monkeypatch.setattr(SegmentPredictor, "_infer", counting)
    return seen


@pytest.mark.parametrize("scale", [1, 2])
def test_map_and_parcels_run_the_network_once(worlds, tmp_path, monkeypatch, scale):
    source = parcels_file(tmp_path / "parcels.gpkg")
    seen = windows_seen(monkeypatch)
    run(worlds[scale], output=tmp_path / "alone.tif")
    once = len(seen)
    run(worlds[scale], parcels=source, output_parcels=tmp_path / "alone.gpkg")
    assert len(seen) > once
    seen.clear()
    both = {"output": tmp_path / "map.tif", "output_parcels": tmp_path / "p.gpkg"}
    result = run(worlds[scale], parcels=source, **both)
    assert len(seen) == once
    assert result.scores["parcels_classified"] == 3
    np.testing.assert_array_equal(read(tmp_path / "map.tif"), read(tmp_path / "alone.tif"))
    same_parcels(tmp_path / "p.gpkg", tmp_path / "alone.gpkg")
    # nothing of the work is left
    assert not list(tmp_path.glob(".*.work"))


def same_parcels(one, other):
    one, other = gpd.read_file(one), gpd.read_file(other)
    numbers = ["confidence", "runner_up_confidence"]
    assert one.drop(columns=["geometry", *numbers]).equals(other.drop(columns=["geometry", *numbers]))
    np.testing.assert_allclose(one[numbers], other[numbers], atol=0.11)


def test_parcels_that_reach_beyond_the_mapped_region_get_all_their_pixels(worlds, tmp_path, monkeypatch):
    source = parcels_file(tmp_path / "parcels.gpkg")
    # the region cuts the first parcel: its inner point lies inside, a part of its pixels doesn't
    outline = gpd.read_file(source).to_crs("EPSG:32631").geometry[0]
    west, south, east, north = outline.bounds
    cuts = {"extent": f"{west + 30},{east + 50},{south - 50},{north - 30}"}
    triangle = shapely.Polygon([(west + 20, south - 40), (east + 60, south - 40), (east + 60, north + 60)])
    gpd.GeoDataFrame(geometry=[triangle.union(outline.centroid.buffer(30))], crs="EPSG:32631").to_file(
        tmp_path / "r.gpkg"
    )
    for name, where in (("extent", cuts), ("region", {"region": tmp_path / "r.gpkg"})):
        alone, both = tmp_path / f"{name}_alone.gpkg", tmp_path / f"{name}_both.gpkg"
        run(worlds[1], parcels=source, output_parcels=alone, **where)
        seen = windows_seen(monkeypatch)
        run(worlds[1], parcels=source, output=tmp_path / f"{name}.tif", output_parcels=both, **where)
        same_parcels(both, alone)
        assert gpd.read_file(both)["class"].notna().any()
        assert seen
    # pixels of parcels outside of the polygons are measured, not mapped
    with rasterio.open(tmp_path / "region.tif") as image:
        found, transform = image.read(1), image.transform
    rows, cols = np.nonzero(found)
    x, y = transform * (cols + 0.5, rows + 0.5)
    assert shapely.contains_xy(triangle.union(outline.centroid.buffer(30)), x, y).all()


def test_an_interrupted_run_with_parcels_goes_on(worlds, tmp_path):
    source = parcels_file(tmp_path / "parcels.gpkg")
    whole = {"output": tmp_path / "a.tif", "output_parcels": tmp_path / "a.gpkg"}
    run(worlds[1], parcels=source, **whole)
    ctx = JobContext(lambda kind, fields: ctx.cancel() if fields.get("percent", 0) > 40 else None)
    again = {"output": tmp_path / "b.tif", "output_parcels": tmp_path / "b.gpkg"}
    with pytest.raises(Cancelled):
        run(worlds[1], ctx, parcels=source, **again)
    assert not (tmp_path / "b.tif").exists()
    said = []
    run(worlds[1], JobContext(lambda kind, f: said.append(f.get("text", ""))), parcels=source, **again)
    assert any(re.search("finished tiles? of an interrupted run", text) for text in said)
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()
    assert gpd.read_file(whole["output_parcels"]).equals(gpd.read_file(again["output_parcels"]))


def test_overlap_of_windows(worlds, tmp_path, monkeypatch):
    seen = windows_seen(monkeypatch)
    counts = {}
    for overlap in (0, 50, 75, None):
        seen.clear()
        given = {} if overlap is None else {"overlap": overlap}
        run(worlds[1], output=tmp_path / f"{overlap}.tif", tile_size=256, **given)
        counts[overlap] = len(seen)
    # windows of 16 pixels on 70 x 90: a lattice of 16, 8 or 4, and one that ends with the image
    assert counts[0] == 5 * 6
    assert counts[50] == counts[None] == 8 * 11 < counts[75]
    np.testing.assert_array_equal(read(tmp_path / "50.tif"), read(tmp_path / "None.tif"))
    assert (read(tmp_path / "0.tif") != read(tmp_path / "50.tif")).any()


@pytest.mark.parametrize("overlap", [-1, 91, "half"])
def test_an_overlap_out_of_range_is_named(worlds, tmp_path, overlap):
    with pytest.raises(InputError, match="Parameter OVERLAP: ") as caught:
        run(worlds[1], output=tmp_path / "m.tif", overlap=overlap)
    assert str(overlap) in caught.value.message


def test_overlap_for_a_model_of_pixels_is_not_used_and_it_is_said(series, tmp_path):
    model = write_model(tmp_path / "m.safetensors")
    ctx = JobContext()
    run((series, model), ctx, output=tmp_path / "m.tif", overlap=75)
    assert [w for w in ctx.warnings if w.startswith("OVERLAP is for segmentation models")]
    ctx = JobContext()
    run((series, model), ctx, output=tmp_path / "m.tif")
    assert ctx.warnings == []


def test_super_resolution_of_another_pixel_size_is_refused(series, tmp_path):
    model = write_segmenter(tmp_path / "m.safetensors", 2, provenance={"resolution": 20.0})
    with pytest.raises(ModelError) as caught:
        run((series, model), output=tmp_path / "m.tif")
    assert "maps of 10 m from images of 20 m; the series" in caught.value.message
    assert "has pixels of 10 m" in caught.value.message
    assert "pixel size of 20 m" in caught.value.advice
    assert not (tmp_path / "m.tif").exists()
    ctx = JobContext()
    same = write_segmenter(tmp_path / "s.safetensors", 1, provenance={"resolution": 20.0})
    run((series, same), ctx, output=tmp_path / "m.tif")
    assert any("trained on images of 20 m, the series" in text for text in ctx.warnings)
    ctx = JobContext()
    fits = write_segmenter(tmp_path / "f.safetensors", 2, provenance={"resolution": 10.0})
    run((series, fits), ctx, output=tmp_path / "m.tif")
    assert ctx.warnings == []


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"output_polygons": "p.gpkg", "output_parcels": "o.gpkg", "parcels": "i.gpkg"}, "without OUTPUT"),
        ({"output": "m.tif", "output_polygons": "p.shp"}, r"must end in \.gpkg"),
        (
            {"output": "m.tif", "output_polygons": "p.gpkg", "output_parcels": "p.gpkg", "parcels": "i.gpkg"},
            "same file",
        ),
    ],
)
def test_bad_input(worlds, tmp_path, monkeypatch, params, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=words):
        run(worlds[1], **params)


def test_a_network_of_the_registry_from_file_to_map(series, tmp_path):
    """TSViT small with random weights, twice finer: the contract between networks and maps."""
    numbers = registry.segmentation_hyperparameters(
        "tsvit", 3, 3, n_dates=4, scale=2, window=16, width="small"
    )
    module = registry.build("tsvit", numbers)
    card = segment_card(scale=2).model_copy(update={"architecture": "tsvit", "hyperparameters": numbers})
    save_model(tmp_path / "t.safetensors", module, card)
    extent = f"{X + 300},{X + 500},{Y - 300},{Y - 100}"
    run((series, tmp_path / "t.safetensors"), output=tmp_path / "map.tif", extent=extent)
    found = read(tmp_path / "map.tif")
    assert found.shape[1:] == (40, 40)
    assert (found[0] > 0).mean() > 0.99
