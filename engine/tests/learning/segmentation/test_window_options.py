from __future__ import annotations

import pytest
from support.field_windows import field_windows

from sits_engine.errors import InputError
from sits_engine.learning.segmentation.classes import assign_classes
from sits_engine.learning.segmentation.options import SegmentOptions, settle
from sits_engine.samples.classes import ClassTable


def settled(size=24, dates=20, usable=50, hidden=False, **options):
    windows = field_windows(n=2, size=size, dates=dates)
    return settle(SegmentOptions(**options), windows, usable, hidden=hidden)


def test_defaults_follow_network_data_and_effort():
    tsvit = settled()
    assert (tsvit.n_dates, tsvit.window, tsvit.cscl_epochs) == (20, 24, 0)
    assert tsvit.finetune.recipe.optimiser == "adamw"
    unet = settled(architecture="unet3df", size=30, cscl=True, effort="quick", hidden=True)
    assert (unet.n_dates, unet.window) == (16, 28)
    assert unet.cscl_epochs == unet.epochs == 12
    assert unet.contrast.hidden
    assert settled(size=64, architecture="unet3d").window == 48
    assert settled(usable=10_000, effort="thorough").steps_per_epoch == 400
    assert settled(usable=3).steps_per_epoch == 12
    assert unet.as_json()["cscl"]["kernel"] == 3
    assert "cscl" not in tsvit.as_json()


def test_published_recipe():
    unet = settled(architecture="unet3df", published=True, cscl=True)
    assert unet.pretrain.recipe.learning_rate == 1e-4
    assert (unet.pretrain.recipe.every, unet.finetune.recipe.every) == (1, 2)


def test_windows_that_do_not_fit():
    with pytest.raises(InputError, match="WINDOW is 32 pixels; the windows are 24 x 24"):
        settled(window=32)
    with pytest.raises(InputError, match="window of 22 pixels"):
        settled(window=22, architecture="unet3d")
    with pytest.raises(InputError, match="too small"):
        settled(size=2, architecture="unet3d")


def test_classes_with_few_pixels_become_unknown():
    windows = field_windows(n=4)
    windows.labels[windows.labels == 1] = -1
    windows.labels[0, 0, :5] = 1
    left, infos, notes = assign_classes(windows, min_pixels=10)
    assert left.classes == ("crop 0", "crop 2") == tuple(info.name for info in infos)
    assert infos[1].codes == ("crop 2",)
    assert "crop 1 (5)" in notes[-1]
    assert ((left.labels >= 0) == (windows.labels >= 0) & (windows.labels != 1)).all()
    assert (left.labels[windows.labels == 2] == 1).all()
    everything, _, none = assign_classes(windows, min_pixels=5)
    assert len(everything.classes) == 3
    assert none == []
    with pytest.raises(InputError, match="at least 100000 labelled pixels: crop"):
        assign_classes(windows, min_pixels=100_000)


def test_class_table_joins_codes():
    table = ClassTable("t.csv", {"crop 0": "cereal", "crop 1": "cereal", "crop 2": "maize"}, {})
    windows = field_windows(n=3)
    left, infos, _ = assign_classes(windows, table=table, min_pixels=5)
    assert left.classes == ("cereal", "maize")
    assert infos[0].codes == ("crop 0", "crop 1")
    assert left.counts[0] == windows.counts[:2].sum()
