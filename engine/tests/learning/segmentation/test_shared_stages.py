"""The states of an interrupted training are taken up by a run of the same stages only."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from support.segment_together import stages


def mark_of(one) -> str:
    before, after = one.checkpoints((Path("before"), Path("after")))
    assert (before.path, before.what) == (Path("before"), "pre-training")
    assert (after.path, after.mark) == (Path("after"), before.mark)
    return before.mark


def changed(name, part):
    one = stages("tsvit")
    array = getattr(getattr(one, part), name)
    array.flat[0] = 1 - array.flat[0]
    return one


def test_the_mark_is_that_of_windows_sides_and_settings() -> None:
    first = stages("tsvit")
    others = [
        dataclasses.replace(first, turning="none"),
        dataclasses.replace(first, settings=dataclasses.replace(first.settings, epochs=3)),
        dataclasses.replace(first, bands=first.bands[::-1]),
        changed("values", "train"),
        changed("valid", "train"),
        changed("positions", "train"),
        changed("labels", "train"),
        changed("labels", "held"),
    ]
    assert mark_of(first) == mark_of(stages("tsvit"))
    assert len({mark_of(first), *map(mark_of, others)}) == len(others) + 1


def test_without_files_nothing_is_kept() -> None:
    assert stages("tsvit").checkpoints(None) == (None, None)
