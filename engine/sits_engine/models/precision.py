"""Half precision on graphics cards: one choice for training, tests and maps."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from sits_engine.device import Device


def half_type(device: Device) -> torch.dtype | None:
    """Type of mixed precision: bfloat16, or float16 on cards without it; None (float32) beside CUDA.

    bfloat16 has the range of float32, so that nothing overflows. A network maps in the type that it was
    trained in, wherever both happen on the same kind of card.
    """
    if device.torch.type != "cuda":
        return None
    # PyTorch asks the current card, which need not be the one that computes.
    with torch.cuda.device(device.torch):
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if native else torch.float16


def mixed(device: Device) -> AbstractContextManager[object]:
    """Mixed precision where the device has it."""
    half = half_type(device)
    return torch.autocast("cuda", dtype=half) if half else nullcontext()
