"""Learning of clue prototypes: the contrastive loss over pixels, and the prototypes' move by momentum."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sits_engine.learning.exact.assignment import assign, sinkhorn
from sits_engine.learning.processes import ALONE, Processes
from sits_engine.models.exact.clues import CluePrototypes


@dataclass(frozen=True)
class ClueSettings:
    """Defaults are the corrected form; `PUBLISHED` is the other.

    Attributes:
        low, high: a patch is background of a class below `low` of its activation, foreground from `high` on;
            between it is left out (published: mu_l, mu_h).
        temperature: of the contrastive loss.
        momentum: share of a prototype that stays in a step.
        epsilon, iterations: of `assignment.sinkhorn`.
        draw: of `assignment.assign`, for the move; the loss always uses 'argmax'.
        sure_background: background patches weigh 1 - activation; published: the activation, so that the
            least certain weigh most (pitfalls 2.10).
        power: of the weights (published: 2, the weight enters twice).
        warm_up: the first moves are means: the n-th keeps at most 1 - 1 / n of a prototype, so short
            trainings don't end with prototypes close to their random start.
        over_present: mean of the loss over the classes that have patches; published: over all classes,
            so that its size follows the number of classes in a batch (pitfalls 2.12).
        absent_everywhere: in windows whose polygon lacks a class all patches are background of it; published:
            only those with an activation below `low`.
    """

    low: float = 0.2
    high: float = 0.4
    temperature: float = 0.1
    momentum: float = 0.999
    epsilon: float = 0.05
    iterations: int = 3
    draw: str = "argmax"
    sure_background: bool = True
    power: float = 1.0
    warm_up: bool = True
    over_present: bool = True
    absent_everywhere: bool = False

    def __post_init__(self) -> None:
        """Check ranges; ValueError."""
        if not 0 <= self.low <= self.high <= 1:
            raise ValueError(f"0 <= low <= high <= 1 must hold, not {self.low} and {self.high}")
        if not 0 <= self.momentum < 1 or self.temperature <= 0 or self.epsilon <= 0:
            raise ValueError("momentum must lie in 0..1, temperature and epsilon above 0")


#: Shared with the published code: the same form, for parity.
PUBLISHED = ClueSettings(draw="gumbel", sure_background=False, power=2.0, warm_up=False, over_present=False)


def clue_loss(
    features: Tensor,
    activation: Tensor,
    ticks: Tensor,
    clues: CluePrototypes,
    settings: ClueSettings | None = None,
    *,
    inside: Tensor | None = None,
    move: bool = True,
    generator: torch.Generator | None = None,
    processes: Processes = ALONE,
) -> Tensor:
    """Pull each patch to its own prototype of its class, away from all others; then move the prototypes.

    Args:
        features: (B, K, d, h, w), class features; they receive the gradient.
        activation: (B, K, h, w) in 0..1, which patches show a class (`cam.relative`); no gradient.
        ticks: (B, K) bool, classes of each window (of its polygon).
        clues: prototypes; those of mode 'gradient' receive gradient and aren't moved.
        settings: see there.
        inside: (B, h, w) bool, patches that count; None: all.
        move: False: the prototypes stay.
        generator: of the draw 'gumbel'; in the same state in all processes.
        processes: that share the batch. Prototypes are shared out and moved over the patches of all.

    Returns:
        The loss of foreground plus that of background, a scalar in float32; 0 where there are no patches. Of
        several processes, the part of this one.

    Source: shared/spec/exact.md section 3.1.
    """
    settings = settings or ClueSettings()
    with torch.autocast(features.device.type, enabled=False):
        # All patches of all windows in one row for each class.
        rows = features.float().permute(1, 0, 3, 4, 2).flatten(1, 3)
        x = F.normalize(rows, dim=-1)
        ticked = ticks.to(torch.bool)[:, :, None, None]
        c = activation.detach().float()
        if settings.absent_everywhere:
            c = c * ticked
        positive, negative = ticked & (c >= settings.high), c < settings.low
        if inside is not None:
            positive, negative = positive & inside[:, None], negative & inside[:, None]
        weight = _by_class(c)
        everyone = _Everyone(x.shape[1], processes)
        total = x.new_zeros(())
        for name, mask in (("foreground", _by_class(positive)), ("background", _by_class(negative))):
            prototypes: Tensor = getattr(clues, name)
            with torch.no_grad():
                scores = x @ prototypes.float().transpose(1, 2)
                plan = sinkhorn(
                    everyone.rows(scores),
                    everyone.rows(mask),
                    epsilon=settings.epsilon,
                    iterations=settings.iterations,
                )
            own = plan.argmax(-1)[:, everyone.mine]
            total = total + _contrast(x, mask, own, clues, name, settings, processes)
            if move and clues.mode == "momentum":
                given = 1 - weight if name == "background" and settings.sure_background else weight
                own = assign(plan, settings.draw, generator)[:, everyone.mine]
                _move(clues, name, x.detach(), own, given * mask, settings, processes)
    return total


class _Everyone:
    """Puts the patches of all processes into one row, one process after the other.

    Args:
        n: patches of this process.
        processes: that share the batch.

    Attributes:
        mine: where those of this process are.
    """

    def __init__(self, n: int, processes: Processes) -> None:
        self._processes, self.mine = processes, slice(0, n)
        if processes.size > 1:
            # on the processor, so that a card isn't waited for
            numbers = torch.zeros(processes.size, dtype=torch.int64)
            numbers[processes.rank] = n
            ends = processes.add(numbers).cumsum(0).tolist()
            self._total, end = ends[-1], ends[processes.rank]
            self.mine = slice(end - n, end)

    def rows(self, own: Tensor) -> Tensor:
        """(K, n, ...) of this process -> (K, N, ...) of all; without gradient."""
        if self._processes.size == 1:
            return own
        every = torch.zeros(own.shape[0], self._total, *own.shape[2:], device=own.device)
        every[:, self.mine] = own.float()
        return self._processes.add(every).to(own.dtype)


def _by_class(maps: Tensor) -> Tensor:
    """(B, K, h, w) -> (K, B * h * w)."""
    return maps.transpose(0, 1).flatten(1)


def _contrast(
    x: Tensor,
    mask: Tensor,
    own: Tensor,
    clues: CluePrototypes,
    name: str,
    settings: ClueSettings,
    processes: Processes,
) -> Tensor:
    """Cross-entropy over the prototypes of all classes, foreground and background.

    Args:
        x: (K, n, d) of length 1.
        mask: (K, n) bool, patches that count.
        own: (K, n), the prototype of its class that each patch belongs to.
    """
    n_classes, n_prototypes = clues.foreground.shape[:2]
    columns = torch.cat(clues.directions()).flatten(0, 1)
    owner, place = mask.nonzero(as_tuple=True)
    logits = x[owner, place] @ columns.T / settings.temperature
    target = owner * n_prototypes + own[owner, place]
    if name == "background":
        target = target + n_classes * n_prototypes
    each = F.cross_entropy(logits, target, reduction="none")
    count = processes.add(mask.sum(1))
    of_class = each.new_zeros(n_classes).index_add(0, owner, each) / count.clamp_min(1)
    n_counted = (count > 0).sum().clamp_min(1) if settings.over_present else n_classes
    return of_class.sum() / n_counted


@torch.no_grad()
def _move(
    clues: CluePrototypes,
    name: str,
    x: Tensor,
    own: Tensor,
    weight: Tensor,
    settings: ClueSettings,
    processes: Processes,
) -> None:
    """Towards the weighted mean of the patches x (K, n, d); weight 0: a patch doesn't count."""
    prototypes: Tensor = getattr(clues, name)
    updates: Tensor = getattr(clues, f"{name}_updates")
    share = F.one_hot(own, prototypes.shape[1]).to(x.dtype) * (weight**settings.power)[..., None]
    share = share * (weight > 0)[..., None]
    found = processes.add(share.sum(1)) > 0
    target = F.normalize(processes.add(share.transpose(1, 2) @ x), dim=-1)
    keep = torch.full_like(updates, settings.momentum, dtype=torch.float32)
    if settings.warm_up:
        keep = keep.clamp_max(1 - 1 / (updates.float() + 1))
    moved = keep[..., None] * prototypes + (1 - keep[..., None]) * target
    prototypes.copy_(F.normalize(torch.where(found[..., None], moved, prototypes), dim=-1))
    updates.add_(found)
