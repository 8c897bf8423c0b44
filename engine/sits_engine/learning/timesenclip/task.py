"""Training of a satellite encoder as plain data, for other processes and for the mark of a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import TypeAdapter

from sits_engine.context import JobContext
from sits_engine.device import Device
from sits_engine.learning.checkpoint import Checkpoint
from sits_engine.learning.processes import ALONE, Processes
from sits_engine.learning.timesenclip.batches import PairedPlaces
from sits_engine.learning.timesenclip.fit import PhotoFit, fit_photos
from sits_engine.learning.timesenclip.options import PhotoOptions, PhotoSettings
from sits_engine.models.card import BandCard
from sits_engine.models.timesenclip.encoder import SatelliteEncoder
from sits_engine.samples.composites import Composites

Ints = npt.NDArray[np.int64]


@dataclass
class PhotoTask:
    """What to train, on what and how: the arguments of `fit_photos` but for device and processes."""

    pairs: PairedPlaces
    train: Ints
    validation: Ints
    bands: list[BandCard]
    options: PhotoOptions
    settings: PhotoSettings

    @property
    def facts(self) -> dict[str, Any]:
        """All but images and photos, JSON-serialisable."""
        return {
            "bands": [band.model_dump() for band in self.bands],
            "options": asdict(replace(self.options, provenance={}, parameters={})),
            "settings": asdict(self.settings),
        }

    @property
    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Images, vectors of photos, and sides; where places lie stays with process 0."""
        return {
            "values": self.pairs.composites.values,
            "valid": self.pairs.composites.valid,
            "vectors": self.pairs.vectors,
            "offsets": self.pairs.offsets,
            "train": self.train,
            "validation": self.validation,
        }

    @classmethod
    def of(cls, facts: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]) -> PhotoTask:
        """The task of such facts and arrays."""
        bands = [BandCard(**band) for band in facts["bands"]]
        n = len(arrays["values"])
        composites = Composites(
            tuple(band.name for band in bands),
            arrays["values"],
            arrays["valid"],
            np.full((n, 2), np.nan),
            np.arange(n),
        )
        return cls(
            PairedPlaces(composites, arrays["vectors"], arrays["offsets"]),
            arrays["train"],
            arrays["validation"],
            bands,
            TypeAdapter(PhotoOptions).validate_python(facts["options"]),
            TypeAdapter(PhotoSettings).validate_python(facts["settings"]),
        )

    def run(
        self,
        device: Device,
        ctx: JobContext,
        progress: Callable[[float], None] = lambda share: None,
        *,
        processes: Processes = ALONE,
        checkpoint: Path | None = None,
    ) -> PhotoFit:
        """`fit_photos` of a fresh network; process 0 lets the others, in `tasks.help_out`, do the same.

        Args:
            checkpoint: file of the state after each epoch; only a run of this very task goes on from it.
        """
        if processes.rank == 0:
            processes.call("photos", self.facts, self.arrays)
        torch.manual_seed(self.options.seed)
        module = SatelliteEncoder(**self.settings.hyperparameters)
        if not self.options.published:
            module.start_with_calendar()
        return fit_photos(
            module.to(device.torch),
            self.pairs,
            self.train,
            self.validation,
            self.bands,
            self.options,
            self.settings,
            device,
            ctx,
            progress=progress,
            processes=processes,
            checkpoint=Checkpoint.of(checkpoint, self.facts, self.arrays.values()),
        )
