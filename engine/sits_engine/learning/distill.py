"""A fast network that learns to answer as a trained one does, for single pixels.

The trained network labels as many samples as are drawn: single pixels of the sets on random dates, moved in
time, and mixtures of two pixels, which nobody could have labelled. So the small one sees far more samples
than there are labels.

Source: Hinton et al. 2015, "Distilling the knowledge in a neural network" (soft answers at a temperature);
Beyer et al. 2022, "Knowledge distillation: a good teacher is patient and consistent" (the same view for both,
mixtures of inputs, long schedules).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from sits_engine.context import JobContext
from sits_engine.device import Device
from sits_engine.learning import schedule
from sits_engine.learning.sampler import BalancedSampler
from sits_engine.learning.transforms import draw_dates, real_dates
from sits_engine.models import folded as form
from sits_engine.models import workers
from sits_engine.models.card import ModelCard
from sits_engine.models.pseltae import PSELTAE
from sits_engine.models.registry import build, pseltae_hyperparameters
from sits_engine.models.training_form import TrainingForm
from sits_engine.samples.pixel_sets import PixelSets

#: Samples that the teacher answers at once: few enough for the cache of a core.
TEACHER_BATCH = 128
#: Steps between two looks at cancellation and two reports of progress.
LOOK = 10
#: Steps between two points of the curve of the loss.
REPORT = 100


@dataclass(frozen=True)
class DistillOptions:
    """How a student learns.

    Attributes:
        steps: optimiser steps.
        batch_size: samples a step.
        learning_rate: of Adam; falls along a cosine to 0.
        temperature: divides the logits of both; the higher, the more the small answers count.
        fewest_dates: share of the dates that a batch has at least; half of them have all.
        shift: largest random shift of all dates of a sample, days: so that other dates than those of the
            training series are answered as well.
        mixed: share of the samples that are mixtures of two pixels.
        seed: same seed on a CPU, same weights.
    """

    steps: int = 4000
    batch_size: int = 256
    learning_rate: float = 3e-3
    temperature: float = 2.0
    fewest_dates: float = 0.5
    shift: int = 5
    mixed: float = 0.3
    seed: int = 0

    @classmethod
    def near(cls, shift: int, seed: int) -> Self:
        """The defaults, with at least the random shift that the teacher was trained with."""
        return cls(shift=max(cls.shift, shift), seed=seed)


def fast_hyperparameters(teacher: ModelCard) -> dict[str, object]:
    """Hyperparameters of the student of a PSE+LTAE model.

    It has no dropout: each step draws new samples and the answers to learn are without noise, so there is
    little to overfit to, and a narrow network needs all of its features.
    """
    return pseltae_hyperparameters(
        len(teacher.bands),
        len(teacher.classes),
        width="fast",
        reference=bool(teacher.hyperparameters.get("reference", False)),
        attention_dropout=0.0,
        dropout=0.0,
    )


def distill(
    teacher: PSELTAE,
    card: ModelCard,
    sets: PixelSets,
    kinds: npt.NDArray[np.int64],
    options: DistillOptions,
    device: Device,
    ctx: JobContext,
    progress: Callable[[float], None] = lambda fraction: None,
) -> nn.Module:
    """Train a student of the width 'fast'.

    Args:
        teacher: the trained network, without extra features, on `device`; not changed.
        card: its card: bands, classes, whether clouded dates are hidden.
        sets: where single pixels are drawn from, with the bands of the card; their labels are not used.
        kinds: (N,) a class for each set, each is drawn equally often: labels, or the teacher's answers.
        options: see `DistillOptions`.
        device: where to compute.
        ctx: cancellation and the curve of the loss.
        progress: gets the done share.

    Returns:
        The student in eval mode, on the CPU.
    """
    torch.manual_seed(options.seed)
    student = build("pseltae", fast_hyperparameters(card)).to(device.torch).train()
    answers = _Teacher(teacher)
    hidden = card.mask_dates and not teacher.reference
    draw = _Draw(sets, kinds, card, options, hidden)
    training = TrainingForm(student)
    optimizer = schedule.adam(student, options.learning_rate, 0.0)
    falling = schedule.cosine(optimizer, options.steps)
    for step in range(options.steps):
        if step % LOOK == 0:
            ctx.check_cancelled()
            progress(step / options.steps)
        values, valid, positions = (part.to(device.torch) for part in draw())
        target = answers(values, valid, positions)
        optimizer.zero_grad(set_to_none=True)
        logits = training(values.unsqueeze(3), valid.unsqueeze(2), positions, valid)
        loss = divergence(logits, target, valid.any(1), options.temperature)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        falling.step()
        if step % REPORT == 0:
            ctx.metric("fast_loss", float(loss.detach()), step)
    progress(1.0)
    return student.eval().cpu()


def divergence(logits: Tensor, target: Tensor, seen: Tensor, temperature: float) -> Tensor:
    """Mean KL divergence of a student's answers from its teacher's, times temperature squared.

    The factor keeps the size of gradients independent of the temperature (Hinton et al. 2015, section 2).

    Args:
        logits, target: (N, K) of student and teacher.
        seen: (N,) bool, samples that count: those with a valid date.
        temperature: divides the logits of both.
    """
    wanted = torch.log_softmax(target / temperature, 1)
    found = torch.log_softmax(logits / temperature, 1)
    apart = functional.kl_div(found, wanted, reduction="none", log_target=True).sum(1)
    return (apart * seen).sum() / seen.sum().clamp(min=1) * temperature**2


class _Teacher:
    """Logits (B, K) of a multiplied-out network for normalised single pixels."""

    def __init__(self, module: PSELTAE) -> None:
        device = next(module.parameters()).device
        ones = torch.ones(module.n_bands, device=device)
        self._folded = form.fold(module.eval(), torch.zeros_like(ones), ones)

    @torch.no_grad()
    def __call__(self, values: Tensor, valid: Tensor, positions: Tensor) -> Tensor:
        """Values (B, T, C) normalised, valid (B, T), positions (B, T)."""

        def answer(part: slice) -> Tensor:
            x = values[part].transpose(0, 1).contiguous()
            rows = form.sequence_of_pixels(self._folded, x.flatten(0, 1))
            unique, index = torch.unique(positions[part], return_inverse=True)
            added = form.days_of(form.calendar(self._folded, unique), index)
            return form.logits(self._folded, rows.view(*x.shape[:2], -1), added, valid[part].T)

        if values.device.type != "cpu":
            return answer(slice(None))
        starts = range(0, len(values), TEACHER_BATCH)
        return torch.cat(workers.run(answer, [slice(s, s + TEACHER_BATCH) for s in starts]))


class _Draw:
    """Draws single pixels and mixtures of two of the same series."""

    def __init__(
        self,
        sets: PixelSets,
        kinds: npt.NDArray[np.int64],
        card: ModelCard,
        options: DistillOptions,
        hidden: bool,
    ) -> None:
        self._rng = np.random.default_rng(options.seed)
        self._some = np.flatnonzero(sets.n_pixels > 0)
        self._sampler = BalancedSampler(kinds[self._some], options.batch_size, self._rng)
        self._sets, self._options, self._hidden = sets, options, hidden
        self._real = real_dates(sets.positions)
        self._mean = torch.tensor([band.mean for band in card.bands])
        self._factor = 1.0 / torch.tensor([band.std for band in card.bands])
        self._values = torch.from_numpy(sets.values)
        self._valid = torch.from_numpy(sets.valid)

    def __call__(self) -> tuple[Tensor, Tensor, Tensor]:
        """Normalised values (B, T, C), valid (B, T) and positions (B, T) float32."""
        rng, options = self._rng, self._options
        index = self._some[self._sampler.draw()]
        total = self._sets.positions.shape[1]
        fewest = max(1, round(options.fewest_dates * total))
        number = total if rng.random() < 0.5 else int(rng.integers(fewest, total, endpoint=True))
        dates = torch.from_numpy(np.array(draw_dates(self._real[index], number, rng)))
        values, valid = self._take(index, dates)
        # A mixture has a pixel of another set on the same dates; where the dates differ it stays alone.
        other = np.empty_like(index)
        order = np.lexsort((rng.random(len(index)), self._sets.region[index]))
        other[order] = index[np.roll(order, 1)]
        alike = (self._sets.positions[index] == self._sets.positions[other]).all(1)
        mixed = torch.from_numpy(alike & (rng.random(len(index)) < options.mixed))
        second, clear = self._take(np.where(alike, other, index), dates)
        clear &= valid
        mixed &= clear.any(1)
        share = mixed * torch.from_numpy(rng.random(len(index), dtype=np.float32))
        values = torch.lerp(values, second, share.view(-1, 1, 1))
        valid = torch.where(mixed.unsqueeze(1), clear, valid)
        positions = np.take_along_axis(self._sets.positions[index], dates.numpy(), 1).astype(np.float32)
        if options.shift:
            positions += rng.integers(-options.shift, options.shift, (len(index), 1), endpoint=True)
        real = torch.from_numpy(np.take_along_axis(self._real[index], dates.numpy(), 1))
        return values, valid if self._hidden else real, torch.from_numpy(positions)

    def _take(self, index: npt.NDArray[np.int64], dates: Tensor) -> tuple[Tensor, Tensor]:
        """One random pixel of each set, on the dates (B, T)."""
        offset = self._sets.offsets[index]
        pixel = torch.from_numpy(
            offset
            + (self._rng.random(len(index)) * (self._sets.offsets[index + 1] - offset)).astype(np.int64)
        )
        rows = (pixel.unsqueeze(1) * self._valid.shape[1] + dates).flatten()
        values = self._values.view(-1, self._values.shape[2]).index_select(0, rows)
        values = values.sub_(self._mean).mul_(self._factor).view(*dates.shape, -1)
        return values, self._valid.view(-1).index_select(0, rows).view(dates.shape)
