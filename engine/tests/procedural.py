"""Weights of the golden files '*_proc', rebuilt by the rule of the golden folder's README."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor


def weights(golden: dict[str, Any]) -> dict[str, Tensor]:
    """The state dict in the published layout; its checksums are looked at."""
    state = {}
    for n, (name, shape) in enumerate(zip(golden["names"], golden["shapes"], strict=True)):
        if name.endswith("num_batches_tracked"):
            state[name] = torch.zeros((), dtype=torch.int64)
            continue
        size = math.prod(shape)
        a = torch.sin(12.9898 * torch.arange(size, dtype=torch.float64) + 78.233 * n) * 43758.5453
        v = 2 * (a - torch.floor(a)) - 1
        if "running_var" in name:
            v = 1 + 0.5 * v
        elif "running_mean" in name:
            v = 0.1 * v
        elif len(shape) >= 2:
            v = v * math.sqrt(3 / (size / shape[0]))
        elif name.endswith("weight"):
            v = 1 + 0.3 * v
        else:
            v = 0.1 * v
        state[name] = v.to(torch.float32).reshape(shape)
        total = float(state[name].double().sum())
        assert abs(total - float(golden["checksum"][name])) < 1e-3, name
    return state
