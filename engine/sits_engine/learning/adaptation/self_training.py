"""TimeMatch: a student learns from source labels and from what a slow teacher says about the target."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sits_engine.context import JobContext
from sits_engine.device import Device
from sits_engine.learning import schedule
from sits_engine.learning.adaptation import ema, normalization, shift_scores
from sits_engine.learning.adaptation.options import AdaptOptions
from sits_engine.learning.adaptation.settings import AdaptSettings
from sits_engine.learning.adaptation.shift import ShiftTable, search_range
from sits_engine.learning.adaptation.views import Tally, joined, strong_view, take, weak_view, without_padding
from sits_engine.learning.focal import focal_loss
from sits_engine.learning.sampler import BalancedSampler, ShuffledSampler
from sits_engine.learning.transforms import Batch, Collator
from sits_engine.models import eval_form
from sits_engine.models.card import BandCard
from sits_engine.models.training_form import TrainingForm
from sits_engine.samples.pixel_sets import PixelSets

#: Batch norm needs more than one sample: fewer confident ones are not learned from (spec section 6, step 4).
FEWEST_CONFIDENT = 2


@dataclass
class Search:
    """The shift so far: what the teacher adds to the target, and where it may still move.

    Attributes:
        target: days added to the target's positions for the teacher, `d`.
        source: days added to the source's positions for the student, `-d` of the first epoch; None before it.
        shifts: (D,) days that the next estimate may choose from.
        distribution: (K,) class shares that AM compares with.
        built_in: days that the networks themselves add to every position.
    """

    target: int
    source: int | None
    shifts: npt.NDArray[np.int64]
    distribution: Tensor
    built_in: int = 0

    @classmethod
    def built_into(cls, shift: int, distribution: Tensor) -> Search:
        """Networks that add `shift` themselves: the source is moved back by it, and nothing is searched."""
        return cls(0, -shift, np.zeros(1, np.int64), distribution, shift)

    @property
    def days(self) -> int:
        """Added to the target's positions in all, for the teacher."""
        return self.built_in + self.target

    @classmethod
    def begin(cls, shift: int, max_shift: int, distribution: Tensor, *, fixed: bool = False) -> Search:
        """After the estimate before training: only days of its sign are searched from now on.

        Args:
            fixed: the user knows the shift; it may only shrink.
        """
        found = cls(shift, None, search_range(max_shift, 1 if shift >= 0 else -1), distribution)
        if fixed:
            found.move(shift)
        return found

    def as_json(self) -> dict[str, Any]:
        """Plain numbers, for a checkpoint."""
        return {
            "target": self.target,
            "source": self.source,
            "shifts": self.shifts.tolist(),
            "distribution": self.distribution.tolist(),
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Take up what `as_json` gave."""
        self.target, self.source = saved["target"], saved["source"]
        self.shifts = np.array(saved["shifts"], np.int64)
        self.distribution = torch.tensor(saved["distribution"])

    def move(self, shift: int) -> None:
        """Take the estimate of an epoch; the first one fixes the source's shift and the range."""
        self.target = shift
        if self.source is None:
            self.source = -shift
            self.shifts = np.arange(min(shift, 0), max(shift, 0) + 1)


class SelfTraining:
    """Student, teacher and optimiser of TimeMatch (or FixMatch, with `search` None).

    Args:
        student: the source model, on the device; it is changed.
        source, target: sets with the same bands and classes; the target's labels are not looked at.
        bands: normalisation of the model.
        mask_dates: as the model's card says.
        options, settings: see there.
        search: the shift before training; None for FixMatch.
        device: where to compute.

    Source: shared/spec/timematch.md section 6.
    """

    def __init__(
        self,
        student: nn.Module,
        source: PixelSets,
        target: PixelSets,
        bands: Sequence[BandCard],
        options: AdaptOptions,
        settings: AdaptSettings,
        search: Search | None,
        device: Device,
        *,
        mask_dates: bool,
    ) -> None:
        self.student, self.teacher = student, copy.deepcopy(student).eval().requires_grad_(False)
        self.search, self.options, self.settings = search, options, settings
        self._form, self._teacher_form = TrainingForm(student), partial(eval_form.logits, self.teacher)
        self.optimizer = schedule.adam(student, settings.learning_rate, options.weight_decay)
        self.schedule = schedule.cosine(self.optimizer, settings.epochs * settings.steps_per_epoch)
        self._device, self._source, self._target = device, source, target
        strong = strong_view(settings, mask_dates=mask_dates)
        if getattr(student, "reference", False) and settings.norm == "joint":
            strong = without_padding(strong, source, target)
        weak = weak_view(settings, mask_dates=mask_dates)
        self._source_view = Collator(source, bands, strong)
        self._weak, self._strong = Collator(target, bands, weak), Collator(target, bands, strong)
        self._table = (
            None
            if search is None or len(search.shifts) < 2
            else ShiftTable(
                target,
                bands,
                device,
                mask_dates=mask_dates,
                seed=options.seed,
                most=max(len(target) // 4, 2048),
            )
        )

    @property
    def result(self) -> nn.Module:
        """The network to use."""
        return self.student if self.options.keep == "student" else self.teacher

    @property
    def parts(self) -> dict[str, nn.Module]:
        """What a checkpoint must hold."""
        return {"student": self.student, "teacher": self.teacher}

    def epoch(self, number: int, ctx: JobContext, progress: Callable[[float], None]) -> Tally:
        """One epoch; `number` counts from 1. All chance comes from the seed and the number."""
        rng = np.random.default_rng([self.options.seed, number])
        torch.manual_seed(int(rng.integers(2**31)))
        if self.search is not None and self._table is not None:
            shifts = self.search.shifts
            p = self._table.probabilities(self.teacher, shifts, lambda fraction: ctx.check_cancelled())
            scores = shift_scores.score(self.options.estimator, p, self.search.distribution)
            self.search.move(shift_scores.best_shift(scores, self.search.shifts, self.options.estimator))
        size = self.settings.batch_size
        balanced = self.options.balanced_source
        source = (BalancedSampler if balanced else ShuffledSampler)(self._source.labels, size, rng)
        target = ShuffledSampler(self._target.labels, size, rng)
        tally = Tally()
        trade_off = 0.0 if number <= self.settings.warm_up else self.settings.trade_off
        for step in range(self.settings.steps_per_epoch):
            progress(step / self.settings.steps_per_epoch)
            ctx.check_cancelled()
            index = target.draw()
            device = self._device.torch
            self._step(
                self._source_view(source.draw(), rng).to(device),
                self._weak(index, rng).to(device),
                self._strong(index, rng).to(device),
                trade_off,
                tally,
            )
        if self.search is not None:
            self.search.distribution = tally.shares(len(self.search.distribution))
        return tally

    def _step(self, source: Batch, weak: Batch, strong: Batch, trade_off: float, tally: Tally) -> None:
        shift = 0 if self.search is None else self.search.target
        probabilities = self._ask(weak, shift)
        confidence, labels, keep = self._judge(probabilities)
        source.positions += 0 if self.search is None else (self.search.source or 0)
        self.student.train()
        if self.settings.norm == "kept":
            normalization.keep(self.student)
        self.optimizer.zero_grad(set_to_none=True)
        gamma = self.options.gamma
        n_kept = int(keep.sum())
        learn = n_kept >= FEWEST_CONFIDENT
        chosen = take(strong, keep) if learn else None
        if chosen is None or self.settings.norm != "joint":
            source_loss = focal_loss(self._form(*source.inputs), source.labels, gamma)
            target_loss = source_loss.new_zeros(())
            if chosen is not None:
                target_loss = focal_loss(self._form(*chosen.inputs), labels[keep], gamma)
        else:
            logits = self._form(*joined(source, chosen).inputs)
            n = len(source.labels)
            source_loss = focal_loss(logits[:n], source.labels, gamma)
            target_loss = focal_loss(logits[n:], labels[keep], gamma)
        (source_loss + trade_off * target_loss).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.schedule.step()
        ema.update(self.teacher, self.student, self.settings.stay)
        tally.source_loss.append(source_loss.detach())
        tally.target_loss.append(target_loss.detach())
        tally.kept.append(keep.sum())
        tally.seen += len(keep)
        tally.confidence.append(confidence.mean())
        tally.classes.append(labels)

    def _judge(self, probabilities: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Confidence (B,), pseudo labels (B,), and which of them count (B,)."""
        confidence, labels = probabilities.max(1)
        return confidence, labels, confidence > self.settings.threshold

    def _ask(self, weak: Batch, shift: int) -> Tensor:
        pixels, mask, positions, date_mask = weak.inputs
        return torch.softmax(self._teacher_form(pixels, mask, positions + shift, date_mask), -1)
