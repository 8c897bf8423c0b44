"""Both stages of a segmentation model's training as plain data, for the other processes that take part."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter
from torch import nn

from sits_engine.context import JobContext
from sits_engine.device import Device
from sits_engine.learning.checkpoint import Checkpoint, mark_of
from sits_engine.learning.processes import ALONE, Arrays, Processes
from sits_engine.learning.segmentation.batches import Cutter, Cutting
from sits_engine.learning.segmentation.fit import (
    FitResult,
    PretrainResult,
    Progress,
    finetune,
    pretrain,
)
from sits_engine.learning.segmentation.flips import Turning
from sits_engine.learning.segmentation.images import receive_images, send_images
from sits_engine.learning.segmentation.options import SegmentSettings
from sits_engine.learning.segmentation.validation import Validation
from sits_engine.models.card import BandCard
from sits_engine.models.registry import build
from sits_engine.samples.windows import WindowSet


@dataclass
class Stages:
    """What to train, on what and how.

    Attributes:
        settings: see there.
        turning: symmetries of crops in training.
        bands: normalisation.
        train, held: windows with the labels of training and of validation; they have their images in common.
    """

    settings: SegmentSettings
    turning: Turning
    bands: list[BandCard]
    train: WindowSet
    held: WindowSet

    @property
    def facts(self) -> dict[str, Any]:
        """All but the windows, JSON-serialisable."""
        return {
            "settings": asdict(self.settings),
            "turning": self.turning,
            "bands": [band.model_dump() for band in self.bands],
            "classes": list(self.train.classes),
            "scale": self.train.scale,
        }

    @property
    def arrays(self) -> Arrays:
        """Of the windows all but the images; places and parcels stay with process 0."""
        return {
            "positions": self.train.positions,
            "labels": self.train.labels,
            "held": self.held.labels,
        }

    def checkpoints(self, paths: tuple[Path, Path] | None) -> tuple[Checkpoint | None, Checkpoint | None]:
        """Of pre-training and fine-tuning, for these very stages; None without files."""
        if paths is None:
            return None, None
        # one by one: the windows may lie in a store that is larger than the memory
        images = (part[i] for i in range(len(self.train)) for part in (self.train.values, self.train.valid))
        mark = mark_of(self.facts, chain(images, self.arrays.values()))
        return Checkpoint(paths[0], mark, "pre-training"), Checkpoint(paths[1], mark)

    def on(self, device: Device, processes: Processes = ALONE) -> Training:
        """The stages on a device; process 0 asks the others, in `tasks.help_out`, to do the same."""
        if processes.rank == 0 and processes.size > 1:
            processes.call("segment", self.facts, self.arrays)
            send_images(self.train, processes)
        cutting = Cutting(self.settings.window, self.settings.n_dates, self.turning)
        cutters = [Cutter(part, self.bands, cutting, device.torch) for part in (self.train, self.held)]
        held = cutters[1] if len(cutters[1].usable) else None
        torch.manual_seed(self.settings.finetune.seed)
        module = build(self.settings.architecture, self.settings.hyperparameters).to(device.torch)
        validation = Validation(held, len(self.train.classes), device)
        return Training(self.settings, module, cutters[0], validation, device, processes)


@dataclass
class Training:
    """Both stages on a device."""

    settings: SegmentSettings
    module: nn.Module
    cutter: Cutter
    validation: Validation
    device: Device
    processes: Processes

    def pretrain(
        self,
        ctx: JobContext,
        progress: Progress = lambda share: None,
        checkpoint: Checkpoint | None = None,
    ) -> PretrainResult:
        """Stage 0."""
        return pretrain(
            self.module,
            self.cutter,
            self.validation,
            self.settings.contrast,
            self.settings.pretrain,
            self.device,
            ctx,
            progress,
            processes=self.processes,
            checkpoint=checkpoint,
        )

    def finetune(
        self,
        ctx: JobContext,
        progress: Progress = lambda share: None,
        checkpoint: Checkpoint | None = None,
    ) -> FitResult:
        """Stage 2."""
        return finetune(
            self.module,
            self.cutter,
            self.validation,
            self.settings.finetune,
            self.device,
            ctx,
            progress,
            processes=self.processes,
            checkpoint=checkpoint,
        )


def take_part(
    facts: dict[str, Any], arrays: dict[str, Any], device: Device, ctx: JobContext, processes: Processes
) -> None:
    """Train as process 0 does, which called with these facts and arrays."""
    with _received(facts, arrays, processes) as stages:
        training = stages.on(device, processes)
        if stages.settings.cscl_epochs:
            training.pretrain(ctx)
        training.finetune(ctx)


@contextmanager
def _received(facts: dict[str, Any], arrays: dict[str, Any], processes: Processes) -> Iterator[Stages]:
    """The stages of process 0."""
    bands = [BandCard(**band) for band in facts["bands"]]
    labels, n = arrays["labels"], len(arrays["labels"])

    def unknown(kind: type) -> Any:
        return np.broadcast_to(kind(0), labels.shape)

    with receive_images(processes) as (values, valid):
        train = WindowSet(
            bands=tuple(band.name for band in bands),
            values=values,
            valid=valid,
            positions=arrays["positions"],
            labels=labels,
            parcels=unknown(np.int32),
            mixed=unknown(np.uint8),
            covered=unknown(np.float32),
            scale=facts["scale"],
            classes=tuple(facts["classes"]),
            xy=np.full((n, 2), np.nan),
            region=np.zeros(n, np.int16),
            rows=np.zeros(n, np.int32),
            cols=np.zeros(n, np.int32),
        )
        settings = TypeAdapter(SegmentSettings).validate_python(facts["settings"])
        yield Stages(settings, facts["turning"], bands, train, replace(train, labels=arrays["held"]))
