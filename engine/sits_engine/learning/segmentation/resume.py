"""By what a training of a segmentation model knows that the states of an interrupted one are its own."""

from __future__ import annotations

from dataclasses import asdict
from itertools import chain
from pathlib import Path

from sits_engine import __version__
from sits_engine.learning.checkpoint import Checkpoint, mark_of
from sits_engine.learning.segmentation.options import SegmentSettings
from sits_engine.models.card import BandCard
from sits_engine.samples.classes import ClassInfo
from sits_engine.samples.windows import WindowSet


def checkpoints_of(
    paths: tuple[Path, Path] | None,
    settings: SegmentSettings,
    bands: list[BandCard],
    classes: list[ClassInfo],
    train: WindowSet,
    held: WindowSet,
) -> tuple[Checkpoint | None, Checkpoint | None]:
    """Of pre-training and fine-tuning, for a run with these very windows, sides and settings."""
    if paths is None:
        return None, None
    plain = {
        "version": __version__,
        "settings": asdict(settings),
        "bands": [band.model_dump() for band in bands],
        "classes": [one.name for one in classes],
    }
    # one by one: the windows may lie in a store that is larger than the memory
    images = (array[i] for i in range(len(train)) for array in (train.values, train.valid))
    mark = mark_of(plain, chain(images, (train.positions, train.labels, held.labels)))
    before, after = paths
    return Checkpoint(before, mark, "pre-training"), Checkpoint(after, mark)
