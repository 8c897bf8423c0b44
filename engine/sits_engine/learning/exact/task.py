"""Training of Exact's classifier as plain data, for other processes and for the mark of a checkpoint."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import TypeAdapter

from sits_engine.context import JobContext
from sits_engine.device import Device
from sits_engine.learning.checkpoint import Checkpoint
from sits_engine.learning.exact.batches import BagCutter
from sits_engine.learning.exact.fit import ExactFit, Held, Progress, fit_exact
from sits_engine.learning.exact.options import ExactSettings
from sits_engine.learning.processes import ALONE, Processes
from sits_engine.models.card import BandCard
from sits_engine.models.exact.classifier import ExactClassifier
from sits_engine.samples.bags import Bags
from sits_engine.samples.windows import WindowSet

Ints = npt.NDArray[np.int64]


@dataclass
class ExactTask:
    """What to train, on what and how.

    Attributes:
        bags: all windows and their ticks.
        train, held: (n,) windows to train on, and those of polygons that only the curve sees.
        bands: normalisation.
        settings: see there.
        turning: flip and turn windows in training.
        seed: same seed on a CPU, same network.
    """

    bags: Bags
    train: Ints
    held: Ints
    bands: list[BandCard]
    settings: ExactSettings
    turning: bool
    seed: int

    @property
    def facts(self) -> dict[str, Any]:
        """All but the windows, JSON-serialisable."""
        return {
            "classes": list(self.bags.classes),
            "bands": [band.model_dump() for band in self.bands],
            "settings": asdict(self.settings),
            "turning": self.turning,
            "seed": self.seed,
        }

    @property
    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Windows, ticks and sides; names and places stay with process 0."""
        bags, windows = self.bags, self.bags.windows
        return {
            "values": windows.values,
            "valid": windows.valid,
            "positions": windows.positions,
            "present": bags.present,
            "bag": bags.bag,
            "inside": bags.inside,
            "train": self.train,
            "held": self.held,
        }

    @classmethod
    def of(cls, facts: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]) -> ExactTask:
        """The task of such facts and arrays."""
        bands = [BandCard(**band) for band in facts["bands"]]
        classes, shape = tuple(facts["classes"]), arrays["inside"].shape
        windows = WindowSet(
            bands=tuple(band.name for band in bands),
            values=arrays["values"],
            valid=arrays["valid"],
            positions=arrays["positions"],
            labels=np.full(shape, -1, np.int16),
            parcels=np.zeros(shape, np.int32),
            mixed=np.zeros(shape, np.uint8),
            scale=1,
            classes=classes,
            xy=np.full((shape[0], 2), np.nan),
            region=np.zeros(shape[0], np.int16),
            rows=np.zeros(shape[0], np.int32),
            cols=np.zeros(shape[0], np.int32),
        )
        ids = np.arange(arrays["bag"].max() + 1).astype(np.str_)
        bags = Bags(windows, classes, arrays["present"], arrays["bag"], arrays["inside"], ids)
        settings = TypeAdapter(ExactSettings).validate_python(facts["settings"])
        sides = arrays["train"], arrays["held"]
        return cls(bags, *sides, bands, settings, facts["turning"], facts["seed"])

    def cutter(self, device: Device, index: Ints | None = None) -> BagCutter:
        """Of all windows, unturned; or of those to train on."""
        return BagCutter(
            self.bags,
            self.bands,
            self.settings.n_dates,
            int(self.settings.hyperparameters["patch"]),
            device.torch,
            turning=index is not None and self.turning,
            index=index,
        )

    def checkpoint(self, path: Path | None) -> Checkpoint | None:
        """The file's, for this very task; None without a file."""
        return Checkpoint.of(path, self.facts, self.arrays.values())

    def run(
        self,
        device: Device,
        ctx: JobContext,
        progress: Progress = lambda share: None,
        *,
        processes: Processes = ALONE,
        checkpoint: Checkpoint | None = None,
    ) -> ExactFit:
        """`fit_exact` of a fresh network; process 0 lets the others, in `tasks.help_out`, do the same."""
        if processes.rank == 0:
            processes.call("exact", self.facts, self.arrays)
        torch.manual_seed(self.seed)
        module = ExactClassifier(**self.settings.hyperparameters).to(device.torch)
        return fit_exact(
            module,
            self.cutter(device, self.train),
            self._held(device),
            self.settings,
            device,
            ctx,
            seed=self.seed,
            progress=progress,
            processes=processes,
            checkpoint=checkpoint,
        )

    def _held(self, device: Device) -> Held | None:
        if not len(self.held):
            return None
        bags = self.bags
        _, first, place = np.unique(bags.bag[self.held], return_index=True, return_inverse=True)
        ticks = bags.present[self.held[first]]
        return Held(self.cutter(device), self.held, place.astype(np.int64), ticks)
