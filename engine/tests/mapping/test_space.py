"""What a map is said to take on a disk is enough, and not far too much."""

import contextlib
import dataclasses
import sqlite3

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import shapely
from support.disks import mounted
from support.maps import BANDS, CORNER, grid

from sits_engine.errors import EngineError
from sits_engine.mapping.classify import TileResult
from sits_engine.mapping.cog import BandInfo, Layers
from sits_engine.mapping.journal import Journal
from sits_engine.mapping.parcels import find_parcels, write_parcels
from sits_engine.mapping.pipeline import Plan
from sits_engine.mapping.produce import MapRequest, produce
from sits_engine.mapping.space import Later, parcel_bytes, polygon_bytes, space_of
from sits_engine.models.card import BandCard, ClassCard, ModelCard
from sits_engine.samples.region import Region, make_region

K = 10
CARD = ModelCard(
    architecture="pseltae",
    hyperparameters={},
    bands=[BandCard(name=name, mean=0.18, std=0.1) for name in BANDS],
    classes=[ClassCard(name=f"crop {i}", color="#d9a01c", codes=[str(i)]) for i in range(K)],
    season_year=2023,
    positions=[50, 60],
)
NUMBERS = Layers([BandInfo("similarity", np.nan) for _ in range(3)], "float32")


def request_in(folder, side=768, tile=128, **options):
    """A map of noise in this folder."""
    where = grid(side, side)
    region = Region(where, where.whole)
    output = folder / "map.tif"
    # `noise` stands in for series and predictor
    return MapRequest(None, BANDS, region, None, CARD, tile, Plan(1, 10), output, **options)


def noise(request, tiles, keep, tick):
    """A model that is never sure: its percents hardly shrink."""
    random = np.random.default_rng(0)
    for tile in tiles:
        shape = tile.height, tile.width
        patches = random.integers(1, K, (-(-tile.height // 8), -(-tile.width // 8)))
        classes = np.kron(patches, np.ones((8, 8)))[: tile.height, : tile.width].astype(np.uint8)
        percent = np.clip(random.normal(40, 6, (K, *shape)), 1, 100).astype(np.uint8)
        beside = None
        if request.probabilities is not None:
            beside = percent if request.layers is None else random.random((3, *shape)).astype(np.float32)
        keep(tile, TileResult(classes, percent[0], beside))


@pytest.mark.parametrize(("side", "tile"), [(768, 128), (260, 256), (160, 64), (40, 64)])
@pytest.mark.parametrize(
    ("shares", "options"),
    [
        (False, {}),
        (False, {"min_mapping_unit": 0.05}),
        (True, {}),
        (True, {"min_mapping_unit": 0.05}),
        (True, {"layers": NUMBERS}),
    ],
)
def test_a_disk_of_the_size_that_is_asked_for_is_enough(tmp_path, side, tile, shares, options):
    """Also of maps smaller than the blocks of their files, which are written whole."""

    def request(folder):
        shares_file = folder / "shares.tif" if shares else None
        return request_in(folder, side, tile, probabilities=shares_file, **options)

    planned = space_of(request(tmp_path))
    with mounted(tmp_path / "disk", f"size={int(planned.needed) + 4096}") as disk:
        journal = Journal.open(disk / "work", "key")
        produce(request(disk), journal, lambda done, phase: None, noise)
        journal.remove()
        kept = sum(path.stat().st_size for path in disk.iterdir())
        names_and_styles = 2**17  # of two files, and what remains of their last blocks
        assert kept <= planned.kept < 1.6 * kept + names_and_styles


def test_outputs_on_other_disks_are_counted_there(tmp_path):
    request = request_in(tmp_path, probabilities=tmp_path / "other" / "new" / "shares.tif")
    alone = space_of(request)
    assert [disk.files for disk in alone.disks] == [("map.tif", "shares.tif")]
    with mounted(tmp_path / "other", "size=1m") as other:
        later = [Later(other / "p.gpkg", 2.0**19), Later(tmp_path / "q.gpkg", 2.0**18)]
        apart = space_of(dataclasses.replace(request, later=later))
        here, there = apart.disks
        assert (here.folder, here.files) == (tmp_path, ("map.tif", "q.gpkg"))
        assert (there.folder, there.files) == (other / "new", ("shares.tif", "p.gpkg"))
        assert there.free <= 2**20 < here.free
        assert here.kept + there.kept == pytest.approx(alone.kept + 2**19 + 2**18)
        with pytest.raises(EngineError, match=r"other/new \(shares.tif, p.gpkg\) while.*1.0 MiB are free"):
            apart.check()


def test_parcels_of_the_region_are_judged_by_their_layer(tmp_path):
    x, y = CORNER
    shapes = [shapely.Point(x + 5 + 50 * i, y - 100).buffer(20) for i in range(200)]
    frame = gpd.GeoDataFrame({"name": [f"field {i}" for i in range(200)]}, geometry=shapes, crs="EPSG:32631")
    every, some = (make_region(grid(100, side)) for side in (1000, 100))
    for name in ("p.gpkg", "p.shp", "p.geojson"):
        source = tmp_path / name
        frame.to_crs(4326).to_file(source)
        for region in (every, some):
            parcels = find_parcels(str(source), region, None)
            n = len(parcels.frame)
            assert n == (200 if region is every else 20)
            write_parcels(tmp_path / "out.gpkg", parcels, CARD, np.full((n, K), 1 / K), np.ones(n, int))
            written = (tmp_path / "out.gpkg").stat().st_size
            assert written <= parcel_bytes(str(source), region, K) < 4 * written
    assert parcel_bytes(str(tmp_path / "none.gpkg"), every, K) == 0
    source = str(tmp_path / "p.gpkg")
    alone = parcel_bytes(source, every, K)
    with contextlib.closing(sqlite3.connect(source)) as file, file:
        file.execute("CREATE TABLE tiles (image BLOB)")  # of a raster in the same file
        file.executemany("INSERT INTO tiles VALUES (?)", [(bytes(2**20),)] * 8)
    assert parcel_bytes(source, every, K) < 2 * alone


@pytest.mark.parametrize("name", ["p.gpkg", "p.shp", "p.geojson", "p.fgb"])
def test_parcels_are_counted_in_batches_whatever_filters_them(tmp_path, monkeypatch, name):
    x, y = CORNER
    shapes = [shapely.Point(x + 5 + 50 * i, y - 100).buffer(20) for i in range(200)]
    frame = gpd.GeoDataFrame({"number": range(200)}, geometry=shapes, crs="EPSG:32631")
    frame.to_file(tmp_path / name)
    source = f'{tmp_path / name}|subset="number" >= 150'
    every = make_region(grid(100, 1000))
    at_once = parcel_bytes(source, every, K)
    parcels = find_parcels(source, every, None)
    write_parcels(tmp_path / "out.gpkg", parcels, CARD, np.full((50, K), 1 / K), np.ones(50, int))
    assert (tmp_path / "out.gpkg").stat().st_size <= at_once < parcel_bytes(str(tmp_path / name), every, K)
    rows = []

    @contextlib.contextmanager
    def watched(*arguments, **options):
        with open_arrow(*arguments, **options) as (facts, batches):
            yield facts, (batch for batch in batches if not rows.append(batch.num_rows))

    open_arrow = pyogrio.open_arrow
    monkeypatch.setattr(pyogrio, "open_arrow", watched)
    monkeypatch.setattr("sits_engine.mapping.space.BATCH", 16)
    assert parcel_bytes(source, every, K) == pytest.approx(at_once, rel=0.01)
    assert sum(rows) == 50
    assert max(rows) == 16


def test_tiles_that_are_done_and_polygons_count(tmp_path):
    request = request_in(tmp_path)
    assert space_of(request, 0.5).needed < space_of(request).needed
    patches = Later(tmp_path / "p.gpkg", polygon_bytes(request))
    drawn = space_of(dataclasses.replace(request, later=[patches]))
    assert drawn.kept == patches.bytes + space_of(request).kept
    assert drawn.needed == drawn.kept  # of so large a file that the tiles before it don't matter
