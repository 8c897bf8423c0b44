"""The teacher: an exponential moving average of the student."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


@torch.no_grad()
def update(teacher: nn.Module, student: nn.Module, decay: float) -> None:
    """teacher = decay teacher + (1 - decay) student, in place, over the whole state dict.

    That includes running means and variances of batch norms; integer counters are averaged and truncated.
    Source: shared/spec/timematch.md section 6.
    """
    average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    groups: dict[torch.dtype, tuple[list[Tensor], list[Tensor]]] = {}
    news = student.state_dict()
    for name, old in teacher.state_dict().items():
        olds, new = groups.setdefault(old.dtype, ([], []))
        olds.append(old)
        new.append(news[name])
    for olds, new in groups.values():
        average(olds, new, 0)
