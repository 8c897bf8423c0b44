from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from support.published import pixels, write_tile

from sits_engine.errors import Cancelled, InputError
from sits_engine.samples import published
from sits_engine.samples.published import PublishedOptions, read_published_pair
from sits_engine.samples.published_splits import published_sides

DENMARK, FRANCE = "denmark/32VNH/2017", "france/30TXT/2017"


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path, PublishedOptions]:
    """Source: 10 meadow, 8 corn, 4 unnamed, 2 rye; target: 6 meadow, 5 corn, 3 sunflower."""
    source = write_tile(tmp_path, DENMARK, [251] * 10 + [5] * 8 + [999] * 4 + [15] * 2)
    target = write_tile(tmp_path, FRANCE, ["PPH"] * 6 + ["MIS"] * 5 + ["TRN"] * 3)
    (tmp_path / "dk.csv").write_text("code,class\n251,meadow\n5,corn\n15,winter_rye\n")
    (tmp_path / "fr.csv").write_text("code,class\nPPH,meadow\nMIS,corn\nTRN,sunflowers\n")
    return source, target, PublishedOptions(tmp_path / "dk.csv", tmp_path / "fr.csv", min_parcels=3)


def test_a_pair_with_common_classes(pair: tuple[Path, Path, PublishedOptions]) -> None:
    found = read_published_pair(*pair)
    assert found.source.classes == found.target.classes == ("corn", "meadow", "unknown")
    assert found.source.counts.tolist() == [8, 10, 6]
    # sunflowers are no class of the source: unknown
    assert found.target.counts.tolist() == [5, 6, 3]
    assert found.titles == (DENMARK, FRANCE)
    assert found.season_years == (2017, 2017)
    assert set(found.source.region) == {0}
    assert set(found.target.region) == {1}
    assert found.source.positions[3].tolist() == [4, 59, 170, 364]
    assert found.source.valid.all()
    assert np.isnan(found.source.xy).all()
    assert found.source.blocks.tolist() == [i % 9 for i in range(24)]
    assert found.source.ids[0] == "1000"
    # DN / 10000, (S, T, C)
    lo, hi = found.source.offsets[5:7]
    np.testing.assert_allclose(
        found.source.values[lo:hi], pixels(5, 3).transpose(2, 0, 1) / 10_000, rtol=1e-6
    )


def test_published_sides(pair: tuple[Path, Path, PublishedOptions]) -> None:
    source, target, options = pair
    found = read_published_pair(source, target, dataclasses.replace(options, fold=1))
    sides = published_sides([(DENMARK, 24), (FRANCE, 14)], 1)
    np.testing.assert_array_equal(found.source_side, sides[DENMARK])
    np.testing.assert_array_equal(found.target_side, sides[FRANCE])


def test_unknown_dropped_moves_no_other_parcel(pair: tuple[Path, Path, PublishedOptions]) -> None:
    source, target, options = pair
    every = read_published_pair(source, target, options)
    closed = read_published_pair(source, target, dataclasses.replace(options, unknown="drop"))
    assert closed.target.classes == ("corn", "meadow")
    assert closed.source.counts.tolist() == [8, 10]
    assert closed.target.counts.tolist() == [5, 6]
    kept = every.target.labels != 2
    np.testing.assert_array_equal(closed.target_side, every.target_side[kept])
    np.testing.assert_array_equal(closed.target.ids, every.target.ids[kept])
    assert any("3 parcels of no class" in note for note in closed.notes)


@pytest.mark.parametrize("split", ["parcels", "blocks"])
def test_own_splits_of_a_target_do_not_depend_on_the_source(
    pair: tuple[Path, Path, PublishedOptions], tmp_path: Path, split: str
) -> None:
    source, target, options = pair
    options = dataclasses.replace(options, split=split)  # type: ignore[arg-type]
    first = read_published_pair(source, target, options)
    other = write_tile(tmp_path, "austria/33UVP/2017", [251] * 12 + [5] * 5 + [999])
    second = read_published_pair(other, target, options)
    np.testing.assert_array_equal(first.target_side, second.target_side)
    assert set(first.target_side) == {0, 1, 2}
    if split == "blocks":
        blocks = first.target.blocks
        assert all(len(set(first.target_side[blocks == b])) == 1 for b in set(blocks))


def test_fewer_pixels_are_the_same_whatever_else_is_read(
    pair: tuple[Path, Path, PublishedOptions],
) -> None:
    source, target, options = pair
    few = dataclasses.replace(options, max_pixels=2)
    found = read_published_pair(source, target, few)
    assert found.source.n_pixels.tolist() == [min(2, 1 + i % 3) for i in range(24)]
    closed = read_published_pair(source, target, dataclasses.replace(few, unknown="drop"))
    np.testing.assert_array_equal(found.source.subset(np.arange(18)).values, closed.source.values)
    last_digits = np.round(found.source.values[3:5, 0, 0] * 10_000).astype(int) % 10
    assert 0 <= last_digits[0] < last_digits[1] <= 2


def test_what_memory_does_not_hold_is_cut_and_said(
    pair: tuple[Path, Path, PublishedOptions], monkeypatch: pytest.MonkeyPatch
) -> None:
    # 38 parcels, 4 dates, 41 bytes, held twice: 12,464 bytes for one pixel each; two fit into 0.4 * 60 kB
    monkeypatch.setattr(published.psutil, "virtual_memory", lambda: SimpleNamespace(total=60_000))
    found = read_published_pair(*pair)
    assert found.source.n_pixels.max() == 2
    assert any("At most 2 pixels of a parcel are kept instead of all" in note for note in found.notes)


def test_the_mapping_of_another_country(pair: tuple[Path, Path, PublishedOptions]) -> None:
    source, target, options = pair
    with pytest.raises(InputError, match=r"dk\.csv names no crop code of france/30TXT/2017.*MIS, PPH"):
        read_published_pair(source, target, dataclasses.replace(options, class_mapping_target=None))


def test_cancelled_while_reading(pair: tuple[Path, Path, PublishedOptions]) -> None:
    def stop(fraction: float) -> None:
        if fraction > 0.3:
            raise Cancelled

    with pytest.raises(Cancelled):
        read_published_pair(*pair, progress=stop)
