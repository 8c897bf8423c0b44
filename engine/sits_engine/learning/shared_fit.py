"""Training of a pixel-set network as plain data, for other processes and for the mark of a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sits_engine.context import JobContext
from sits_engine.device import Device
from sits_engine.learning.checkpoint import Checkpoint
from sits_engine.learning.processes import ALONE, Processes
from sits_engine.learning.supervised import FitOptions, FitResult, fit
from sits_engine.learning.transforms import Sampling
from sits_engine.models.card import BandCard
from sits_engine.models.registry import build
from sits_engine.samples.pixel_sets import PixelSets

#: What `fit` looks at; names and places of samples stay with process 0.
ARRAYS = ("values", "valid", "offsets", "positions", "labels")


@dataclass
class Task:
    """What to train, on what and how: the arguments of `fit` but for device and processes."""

    architecture: str
    hyperparameters: dict[str, Any]
    train: PixelSets
    validation: PixelSets
    bands: list[BandCard]
    options: FitOptions

    @property
    def facts(self) -> dict[str, Any]:
        """All but the samples, JSON-serialisable."""
        return {
            "architecture": self.architecture,
            "hyperparameters": self.hyperparameters,
            "bands": [band.model_dump() for band in self.bands],
            "classes": list(self.train.classes),
            "options": asdict(self.options),
        }

    @property
    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The samples."""
        sides = (("train", self.train), ("validation", self.validation))
        return {f"{side}/{name}": getattr(sets, name) for side, sets in sides for name in ARRAYS}

    @classmethod
    def of(cls, facts: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]) -> Task:
        """The task of such facts and arrays."""
        bands = [BandCard(**band) for band in facts["bands"]]
        names, classes = tuple(band.name for band in bands), tuple(facts["classes"])
        train, validation = (_sets(arrays, side, names, classes) for side in ("train", "validation"))
        how = facts["options"]
        options = FitOptions(**{**how, "sampling": Sampling(**how["sampling"])})
        return cls(facts["architecture"], facts["hyperparameters"], train, validation, bands, options)

    def run(
        self,
        device: Device,
        ctx: JobContext,
        progress: Callable[[float], None] = lambda fraction: None,
        *,
        processes: Processes = ALONE,
        checkpoint: Path | None = None,
    ) -> FitResult:
        """`fit`; process 0 lets the others, which are in `tasks.help_out`, do the same.

        Args:
            checkpoint: file of the state after each epoch; only a run of this very task goes on from it.
        """
        if processes.rank == 0:
            processes.call("fit", self.facts, self.arrays)
        return fit(
            lambda: build(self.architecture, self.hyperparameters),
            self.train,
            self.validation,
            self.bands,
            self.options,
            device,
            ctx,
            progress,
            processes=processes,
            checkpoint=Checkpoint.of(checkpoint, self.facts, self.arrays.values()),
        )


def _sets(
    arrays: dict[str, npt.NDArray[Any]], side: str, bands: tuple[str, ...], classes: tuple[str, ...]
) -> PixelSets:
    given = {name: arrays[f"{side}/{name}"] for name in ARRAYS}
    n = len(given["labels"])
    return PixelSets(
        bands=bands,
        classes=classes,
        ids=np.arange(n).astype(np.str_),
        xy=np.full((n, 2), np.nan),
        region=np.zeros(n, np.int16),
        blocks=np.full(n, -1, np.int64),
        **given,
    )
