"""All C++ files of the networks: what their libraries were made with, for people and for clusters."""

from __future__ import annotations

from types import ModuleType

import torch

from sits_engine.models import compiled, packed, pixel_kernel, token_attention
from sits_engine.models.timesenclip import place_encoder

#: Who compiles, loads and tries each file.
PARTS: dict[str, ModuleType] = {
    "pixel_network.cpp": pixel_kernel,
    "place_encoder.cpp": place_encoder,
    "set_pooling.cpp": compiled,
    "set_training.cpp": packed,
    "token_attention.cpp": token_attention,
}
NONE = compiled.Maker("", "")


def makers() -> dict[str, compiled.Maker]:
    """What made the library of each file; `NONE` where there is none that loads and gives right numbers."""
    return {source: compiled.made[source] if part.load() else NONE for source, part in PARTS.items()}


def compiler() -> str:
    """Name of the C++ compiler whose libraries load and give right numbers; '' if one of them doesn't."""
    names = dict.fromkeys(maker.compiler for maker in makers().values())
    return "" if "" in names else ", ".join(names)


def arithmetic() -> str:
    """What a network on this processor is computed with: equal words, equal numbers."""
    found = {source: " for ".join(filter(None, maker)) or "none" for source, maker in makers().items()}
    alike = len(set(found.values())) == 1
    words = [next(iter(found.values()))] if alike else [f"{name} by {what}" for name, what in found.items()]
    return f"{torch.backends.cpu.get_cpu_capability()}, C++: {', '.join(words)}"
