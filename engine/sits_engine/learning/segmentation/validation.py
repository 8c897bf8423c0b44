"""A cheap, always equal look at the validation side during training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from sits_engine.context import JobContext
from sits_engine.device import Device
from sits_engine.learning import scores as scoring
from sits_engine.learning.processes import ALONE, Processes
from sits_engine.learning.segmentation.batches import Cutter, Place
from sits_engine.learning.segmentation.cscl import cscl_loss, pair_sums
from sits_engine.learning.segmentation.inference import Apply
from sits_engine.learning.segmentation.scores import macro_iou
from sits_engine.models.blend import starts

if TYPE_CHECKING:
    from sits_engine.learning.segmentation.fit import Comparison

#: Most crops looked at, evenly chosen (the final scores use every pixel).
MOST_CPU, MOST_GPU = 48, 512


class Validation:
    """Crops of the validation side, the same in every epoch.

    Args:
        cutter: of the validation windows; None where there are none.
        n_classes: K.
        device: where to compute.
        most: crops looked at; None: by the device.
    """

    def __init__(
        self, cutter: Cutter | None, n_classes: int, device: Device, most: int | None = None
    ) -> None:
        self._cutter, self._k, self._device = cutter, n_classes, device
        places = places_with_labels(cutter) if cutter else []
        most = most or (MOST_CPU if device.is_cpu else MOST_GPU)
        if len(places) > most:
            places = [places[i] for i in np.linspace(0, len(places) - 1, most).round().astype(int)]
        self.places: list[Place] = places

    def __len__(self) -> int:
        return len(self.places)

    def classes(
        self, module: nn.Module, ctx: JobContext, processes: Processes = ALONE
    ) -> tuple[float, float, float]:
        """(cross-entropy, mIoU of the classes there, accuracy) of known pixels; NaN, 0, 0 without any.

        Args:
            processes: that share the crops; all of them call this.
        """
        if not self.places or self._cutter is None:
            return float("nan"), 0.0, 0.0
        confusion = torch.zeros(self._k**2, dtype=torch.int64, device=self._device.torch)
        loss = torch.zeros((), device=self._device.torch)
        apply = Apply(lambda batch: module(*batch.inputs), [module], self._cutter, self._device)
        for _, logits, labels in apply.crops(
            self.places[processes.share], lambda share: ctx.check_cancelled()
        ):
            found = logits.argmax(1)
            known = labels >= 0
            pairs = torch.where(known, labels * self._k + found, self._k**2).flatten()
            confusion += torch.bincount(pairs, minlength=self._k**2 + 1)[:-1]
            loss += F.cross_entropy(logits, labels.clamp_min(-1), ignore_index=-1, reduction="sum")
        counts = processes.add(confusion).view(self._k, self._k).cpu().numpy()
        return float(processes.add(loss)) / int(counts.sum()), macro_iou(counts), scoring.accuracy(counts)

    def pairs(
        self,
        compare: Comparison,
        modules: Sequence[nn.Module],
        ctx: JobContext,
        processes: Processes = ALONE,
    ) -> tuple[float, float, float]:
        """(CSCL, mean similarity of positive pairs, of negative pairs); NaN where there is none.

        Args:
            processes: that share the crops; all of them call this.
        """
        if not self.places or self._cutter is None:
            return float("nan"), float("nan"), float("nan")
        sums = torch.zeros(6, device=self._device.torch)
        apply = Apply(compare.similarity, modules, self._cutter, self._device)
        for _, similarity, labels in apply.crops(
            self.places[processes.share], lambda share: ctx.check_cancelled()
        ):
            same, mask = compare.targets(labels)
            number = compare.counted(labels)
            loss = cscl_loss(similarity, same, mask, reference=compare.options.reference) * number
            sums += torch.cat([torch.stack([loss, number]), pair_sums(similarity, same, mask)])
        loss_sum, pairs, positive, n_positive, negative, n_negative = processes.add(sums).tolist()
        return (
            loss_sum / max(1.0, pairs),
            positive / n_positive if n_positive else float("nan"),
            negative / n_negative if n_negative else float("nan"),
        )


def places_with_labels(cutter: Cutter) -> list[Place]:
    """Crops side by side (the last one of a row and column moved inside) that hold a known pixel."""
    windows, side = cutter.windows, cutter.cutting.window
    s = windows.scale
    rows, cols = (starts(length, side, side) for length in windows.size)
    known = windows.labels >= 0
    return [
        (i, int(row), int(col))
        for i in range(len(windows))
        for row in rows
        for col in cols
        if known[i, row * s : (row + side) * s, col * s : (col + side) * s].any()
    ]
