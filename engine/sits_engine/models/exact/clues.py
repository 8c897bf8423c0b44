"""Clue prototypes: for each class what its pixels look like, and what pixels without it look like."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Published standard deviation of the prototypes at the start.
SPREAD = 0.02
#: How prototypes move: by the mean of the pixels that belong to them, or by the gradient of the loss.
MODES = ("momentum", "gradient")


class CluePrototypes(nn.Module):
    """Vectors of the classes in the space of the class tokens.

    They lie in the network because maps need them; `learning.exact.prototypes` moves them.

    Args:
        n_classes, n_prototypes, dim: K, M and d.
        mode: one of `MODES`: 'momentum' keeps buffers, 'gradient' parameters, which an optimiser takes.
            The names and numbers in a model file are the same.

    Attributes:
        foreground, background: (K, M, d) float32.
        foreground_updates, background_updates: (K, M) int64, how often momentum moved each.

    Source: shared/spec/exact.md section 3.1; pitfalls 2.2.
    """

    foreground: Tensor
    background: Tensor
    foreground_updates: Tensor
    background_updates: Tensor

    def __init__(self, n_classes: int, n_prototypes: int, dim: int, mode: str = "momentum") -> None:
        super().__init__()
        if mode not in MODES:
            raise ValueError(f"prototype mode '{mode}' is none of {', '.join(MODES)}")
        if n_prototypes < 1:
            raise ValueError("a class needs at least one prototype")
        self.mode = mode
        for name in ("foreground", "background"):
            start = nn.init.trunc_normal_(torch.empty(n_classes, n_prototypes, dim), std=SPREAD)
            if mode == "gradient":
                self.register_parameter(name, nn.Parameter(start))
            else:
                self.register_buffer(name, start)
            self.register_buffer(f"{name}_updates", torch.zeros(n_classes, n_prototypes, dtype=torch.int64))

    def directions(self) -> tuple[Tensor, Tensor]:
        """Foreground and background at length 1, each (K, M, d) float32."""
        return F.normalize(self.foreground.float(), dim=-1), F.normalize(self.background.float(), dim=-1)
