"""What a map is said to take on a disk is enough, and not far too much."""

import dataclasses

import numpy as np
import pytest
from support.disks import mounted
from support.maps import BANDS, grid

from sits_engine.mapping.classify import TileResult
from sits_engine.mapping.cog import BandInfo, Layers
from sits_engine.mapping.journal import Journal
from sits_engine.mapping.pipeline import Plan
from sits_engine.mapping.produce import MapRequest, produce
from sits_engine.mapping.space import Later, polygon_bytes, space_of
from sits_engine.models.card import BandCard, ClassCard, ModelCard
from sits_engine.samples.region import Region

SIDE, K = 768, 10
CARD = ModelCard(
    architecture="pseltae",
    hyperparameters={},
    bands=[BandCard(name=name, mean=0.18, std=0.1) for name in BANDS],
    classes=[ClassCard(name=f"crop {i}", color="#d9a01c", codes=[str(i)]) for i in range(K)],
    season_year=2023,
    positions=[50, 60],
)
NUMBERS = Layers([BandInfo("similarity", np.nan) for _ in range(3)], "float32")


def request_in(folder, **options):
    """A map of noise in this folder."""
    where = grid(SIDE, SIDE)
    region = Region(where, where.whole)
    output = folder / "map.tif"
    # `noise` stands in for series and predictor
    return MapRequest(None, BANDS, region, None, CARD, 128, Plan(1, 10), output, **options)


def noise(request, tiles, keep, tick):
    """A model that is never sure: its percents hardly shrink."""
    random = np.random.default_rng(0)
    for tile in tiles:
        shape = tile.height, tile.width
        classes = np.kron(random.integers(1, K, (16, 16)), np.ones((8, 8))).astype(np.uint8)
        percent = np.clip(random.normal(40, 6, (K, *shape)), 1, 100).astype(np.uint8)
        beside = None
        if request.probabilities is not None:
            beside = percent if request.layers is None else random.random((3, *shape)).astype(np.float32)
        keep(tile, TileResult(classes, percent[0], beside))


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
def test_a_disk_of_the_size_that_is_asked_for_is_enough(tmp_path, shares, options):
    def request(folder):
        return request_in(folder, probabilities=folder / "shares.tif" if shares else None, **options)

    planned = space_of(request(tmp_path))
    with mounted(tmp_path / "disk", f"size={int(planned.needed) + 4 * 4096}") as disk:
        journal = Journal.open(disk / "work", "key")
        produce(request(disk), journal, lambda done, phase: None, noise)
        journal.remove()
        kept = sum(path.stat().st_size for path in disk.iterdir())
        assert kept <= planned.kept < 1.6 * kept


def test_tiles_that_are_done_and_polygons_count(tmp_path):
    request = request_in(tmp_path)
    assert space_of(request, 0.5).needed < space_of(request).needed
    patches = Later(tmp_path / "p.gpkg", polygon_bytes(request))
    drawn = space_of(dataclasses.replace(request, later=[patches]))
    assert drawn.kept == patches.bytes + space_of(request).kept
    assert drawn.needed == drawn.kept  # of so large a file that the tiles before it don't matter
