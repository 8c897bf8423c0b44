"""What one step of the satellite encoder's sequence stands for: a month, a quarter or the whole year."""

from __future__ import annotations

import torch
from torch import Tensor

MONTHS = 12
#: Steps that an encoder can be asked for: months, quarters, the year.
STEPS = (12, 4, 1)
#: Positions 0..11 are the months; 12..15 their quarters; 16 the whole year.
QUARTER, YEAR = 12, 16
POSITIONS = 17


def lower_median(values: Tensor, used: Tensor) -> Tensor:
    """Median over dim 1 of what is used; the lower of the two middle values where their number is even.

    Args:
        values: (B, T, ...).
        used: (B, T) bool.

    Returns:
        (B, ...); zeros where nothing is used.
    """
    far = torch.full((), torch.inf, dtype=values.dtype, device=values.device)
    mask = used.view(*used.shape, *([1] * (values.dim() - 2)))
    ordered = torch.where(mask, values, far).sort(1).values
    count = used.sum(1)
    middle = ((count - 1) // 2).clamp_min(0).view(-1, *([1] * (values.dim() - 1)))
    found = ordered.gather(1, middle.expand(-1, 1, *values.shape[2:])).squeeze(1)
    return torch.where((count > 0).view(-1, *([1] * (values.dim() - 2))), found, torch.zeros_like(found))


def aggregated(images: Tensor, used: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Months -> `steps` steps: months as they are, medians of January to March and so on, of the year.

    Source: shared/spec/timesenclip.md 4.1; months that are missing don't count here.

    Args:
        images: (B, 12, ...) January first.
        used: (B, 12) bool.
        steps: one of `STEPS`.

    Returns:
        (B, steps, ...) and (B, steps) bool, False where no month of the step is there.
    """
    if steps == MONTHS:
        return images, used
    b, per = images.shape[0], MONTHS // steps
    shape = images.shape[2:]
    grouped = images.reshape(b * steps, per, *shape)
    mask = used.reshape(b * steps, per)
    return lower_median(grouped, mask).view(b, steps, *shape), mask.any(1).view(b, steps)


def positions_of(steps: int, *, january: bool = False) -> Tensor:
    """(steps,) int64 positions of the sequence.

    Args:
        steps: one of `STEPS`.
        january: for one step January's position, as the release has it at inference, not the year's.
    """
    if steps == MONTHS:
        return torch.arange(MONTHS)
    if steps == 4:
        return torch.arange(QUARTER, YEAR)
    if steps == 1:
        return torch.tensor([0 if january else YEAR])
    raise ValueError(f"{steps} steps; possible: {STEPS}")
