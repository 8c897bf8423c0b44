from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from support.field_windows import field_windows

from sits_engine.errors import InputError
from sits_engine.learning.segmentation.sides import split_windows
from sits_engine.learning.segmentation.targets import HIDDEN


def grid_windows(n=36, **options):
    """Windows on a square of land, a tenth of a degree wide."""
    windows = field_windows(n=n, **options)
    across = int(np.ceil(np.sqrt(n)))
    height, width = windows.size
    windows.rows[:], windows.cols[:] = np.arange(n) // across * height, np.arange(n) % across * width
    windows.xy = np.stack([5 + windows.cols * 1e-4, 50 - windows.rows * 1e-4], 1)
    return windows


def test_blocks_keep_windows_whole_and_give_each_side_its_share():
    windows = grid_windows()
    sides = split_windows(windows, seed=1)
    assert sides.kind == "blocks"
    assert sides.block_size > 0
    assert not sides.hidden
    flat = sides.side.reshape(len(windows), -1)
    assert (flat == flat[:, :1]).all()
    assert (flat[:, 0] == sides.split).all()
    shares = sides.counts() / sides.counts().sum(axis=0)
    assert shares[0].min() > 0.4
    assert shares[1:].min() > 0.02
    assert np.array_equal(sides.counts().sum(axis=0), windows.counts)
    assert np.array_equal(split_windows(windows, seed=1).split, sides.split)


def test_blocks_are_wider_than_two_windows_where_there_is_land_enough():
    windows = grid_windows(n=144)
    window = 10.0 * windows.size[0]
    assert split_windows(windows).block_size < 2 * window
    sides = split_windows(windows, pixel_size=10.0)
    assert sides.kind == "blocks"
    assert sides.block_size >= 2 * window
    assert sides.notes == []
    assert (sides.counts() > 0).all()
    few = split_windows(grid_windows(), pixel_size=10.0)  # a quarter of the land
    assert few.kind == "blocks"
    assert few.block_size < 2 * window
    assert "give more land" in few.notes[0]
    assert "scores are too good" in few.notes[0]


def test_a_block_size_below_a_window_is_a_warning():
    windows = grid_windows(n=144)
    window = 10.0 * windows.size[0]
    narrow = split_windows(windows, block_size=window - 1, pixel_size=10.0)
    assert narrow.block_size == window - 1  # as asked for
    assert narrow.notes[0].startswith(f"BLOCK_SIZE is {window - 1:g} m, and a window is {window:g} m wide")
    assert split_windows(windows, block_size=window, pixel_size=10.0).notes == []
    unknown = split_windows(windows, block_size=window - 1)
    assert not any("BLOCK_SIZE" in note for note in unknown.notes)


@pytest.mark.parametrize(
    ("lacking", "words"), [(1, "This class gets no score."), (2, "These classes get no")]
)
def test_classes_without_test_pixels_are_named_in_good_grammar(monkeypatch, lacking, words):
    windows = grid_windows()
    windows.labels[(windows.labels < lacking) & (np.arange(36) >= 20)[:, None, None]] = -1
    split = np.where(np.arange(36) < 20, 0, 1 + np.arange(36) % 2)
    from sits_engine.learning.segmentation import sides as module

    monkeypatch.setattr(module, "assign_groups", lambda counts, seed: split)
    monkeypatch.setattr(module, "_blocks", lambda *given: (np.arange(36), None))
    notes = split_windows(windows).notes
    assert "The test side has no pixel of crop 0" in notes[-1]
    assert words in notes[-1]


def test_parts_share_images_and_hide_other_labels():
    windows = grid_windows()
    sides = split_windows(windows)
    parts = [sides.part(number) for number in range(3)]
    assert all(part.values is windows.values for part in parts)
    labels = np.stack([part.labels for part in parts])
    assert ((labels != HIDDEN).sum(axis=0) == 1).all()
    assert np.array_equal(labels.max(axis=0), windows.labels)


def test_windows_of_one_place_and_overlapping_windows_stay_together():
    windows = grid_windows()
    windows.xy[1::2] = windows.xy[::2]  # two seasons of each place
    windows.region[1::2] = 1
    sides = split_windows(windows, block_size=1.0)
    assert np.array_equal(sides.split[::2], sides.split[1::2])
    windows = grid_windows()
    windows.rows[1::2], windows.cols[1::2] = windows.rows[::2] + 3, windows.cols[::2] + 3
    windows.cols *= 3
    windows.cols[1::2] = windows.cols[::2] + 3
    windows.rows[1::2] = windows.rows[::2]
    sides = split_windows(windows, block_size=1.0)
    assert np.array_equal(sides.split[::2], sides.split[1::2])
    assert set(sides.split) == {0, 1, 2}


def test_without_place_windows_go_one_by_one():
    windows = dataclasses.replace(grid_windows(), xy=np.full((36, 2), np.nan))
    sides = split_windows(windows)
    assert sides.kind == "windows"
    assert sides.block_size is None
    assert np.bincount(sides.split).tolist() == pytest.approx([23, 5, 7], abs=4)


def test_one_image_is_cut_into_tiles_and_says_so():
    windows = field_windows(n=1, size=32, scale=2, field=4)
    sides = split_windows(windows)
    assert sides.kind == "tiles"
    assert sides.hidden
    assert "There is 1 window" in sides.notes[0]
    assert "too good" in sides.notes[0]
    assert (sides.counts() > 0).all()
    assert sides.side.shape == windows.labels.shape
    # tiles of 8 pixels of the images = 16 of the labels
    tiles = sides.side.reshape(1, 4, 16, 4, 16).transpose(0, 1, 3, 2, 4).reshape(16, -1)
    assert (tiles == tiles[:, :1]).all()


def test_one_place_has_one_side_also_where_windows_overlap():
    windows = field_windows(n=2, size=24, field=4)
    windows.cols[1] = windows.cols[0] + 10
    sides = split_windows(windows)
    assert sides.kind == "tiles"
    assert np.array_equal(sides.side[0][:, 10:], sides.side[1][:, :14])


def test_two_seasons_of_one_land_have_one_side_inside_windows_too():
    windows = field_windows(n=4, size=24, field=4)
    for name in ("rows", "cols", "xy"):
        getattr(windows, name)[2:] = getattr(windows, name)[:2]
    windows.region[2:] = 1
    sides = split_windows(windows, kind="inside")
    assert np.array_equal(sides.side[:2], sides.side[2:])
    assert len(np.unique(sides.side[0])) > 1
    windows.xy[2:, 0] += 1  # elsewhere: tiles of its own
    apart = split_windows(windows, kind="inside", seed=1)
    assert not np.array_equal(apart.side[:2], apart.side[2:])


def test_inside_is_a_choice():
    windows = grid_windows()
    sides = split_windows(windows, kind="inside")
    assert sides.kind == "tiles"
    assert sides.notes[0].startswith("As asked for")
    assert len(np.unique(sides.side[0])) >= 1
    assert any(len(np.unique(side)) > 1 for side in sides.side)


def test_blocks_that_leave_training_without_a_class_give_way_to_tiles(monkeypatch):
    windows = grid_windows()
    from sits_engine.learning.segmentation import sides as module

    real = module.assign_groups
    calls = []

    def first_takes_all(counts, seed):
        calls.append(len(counts))
        if len(calls) == 1:
            return np.full(len(counts), 2)
        return real(counts, seed)

    monkeypatch.setattr(module, "assign_groups", first_takes_all)
    sides = split_windows(windows)
    assert sides.kind == "tiles"
    assert "would leave training without crop 0" in sides.notes[0]
    assert (sides.counts()[0] > 0).all()


def test_too_few_labels_for_any_split():
    windows = field_windows(n=1, size=12)
    windows.labels[:] = -1
    windows.labels[0, 0, :2] = [0, 1]
    with pytest.raises(InputError, match="1 tile of"):
        split_windows(windows)
