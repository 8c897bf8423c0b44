"""The state of an adaptation after an epoch, so that an interrupted one goes on where it was. No pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn, optim

from sits_engine import outputs
from sits_engine.models.card import ModelCard
from sits_engine.samples.pixel_sets import PixelSets

KEY = "sits_adaptation"
FORMAT = "sits-adaptation/1"
OPTIMIZER = "optimizer"


@dataclass
class Checkpoint:
    """Where, and of which run: only a run with the same mark takes it up.

    Attributes:
        path: file, beside the output.
        mark: of inputs and settings, see `mark_of`.
    """

    path: Path
    mark: str

    def save(
        self,
        parts: Mapping[str, nn.Module],
        optimizer: optim.Optimizer,
        schedule: optim.lr_scheduler.LRScheduler,
        facts: Mapping[str, Any],
    ) -> None:
        """Write networks, optimiser and JSON facts, complete or not at all."""
        tensors = {f"{part}/{name}": v for part, m in parts.items() for name, v in m.state_dict().items()}
        tensors |= {
            f"{OPTIMIZER}/{index}/{name}": value
            for index, entries in optimizer.state_dict()["state"].items()
            for name, value in entries.items()
            if isinstance(value, Tensor)
        }
        rates = [group["lr"] for group in optimizer.param_groups]
        own = {"format": FORMAT, "mark": self.mark, "steps": schedule.last_epoch, "rates": rates}
        plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        with outputs.atomic(self.path) as temporary:
            temporary.write_bytes(save(plain, metadata={KEY: json.dumps({**facts, **own})}))

    def load(
        self,
        parts: Mapping[str, nn.Module],
        optimizer: optim.Optimizer,
        schedule: optim.lr_scheduler.LRScheduler,
    ) -> dict[str, Any] | None:
        """Put a saved state back; its facts, or None where there is no file of this very run."""
        try:
            with safe_open(self.path, framework="pt") as file:
                facts: dict[str, Any] = json.loads((file.metadata() or {}).get(KEY, "{}"))
                if facts.get("format") != FORMAT or facts.get("mark") != self.mark:
                    return None
                # Copies: what the optimiser keeps would map the file, and Windows replaces no mapped file.
                tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, ValueError):
            return None  # not there, or damaged: the run starts anew
        state: dict[int, dict[str, Tensor]] = {}
        networks: dict[str, dict[str, Tensor]] = {part: {} for part in parts}
        for name, value in tensors.items():
            part, rest = name.split("/", 1)
            if part == OPTIMIZER:
                index, entry = rest.split("/")
                state.setdefault(int(index), {})[entry] = value
            else:
                networks[part][rest] = value
        for part, module in parts.items():
            module.load_state_dict(networks[part])
        groups = optimizer.state_dict()["param_groups"]
        for group, rate in zip(groups, facts["rates"], strict=True):
            group["lr"] = rate
        optimizer.load_state_dict({"state": state, "param_groups": groups})
        schedule.last_epoch = facts["steps"]
        return facts


def mark_of(
    module: nn.Module, card: ModelCard, source: PixelSets, target: PixelSets, plain: Mapping[str, Any]
) -> str:
    """Changes when weights, card, samples or settings change.

    Args:
        plain: JSON-serialisable settings.
    """
    digest = hashlib.sha256(json.dumps(plain, sort_keys=True, default=str).encode())
    digest.update(card.model_dump_json().encode())
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    for sets in (source, target):
        for array in (sets.values, sets.valid, sets.offsets, sets.positions):
            digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    digest.update(source.labels.tobytes())
    return digest.hexdigest()
