"""Which processor computes, and how to say it."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sits_engine.errors import EngineError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Device:
    """A processor that was tried and works. `label` is for people: 'NVIDIA RTX 3060, 12 GiB'."""

    torch: torch.device
    label: str

    @property
    def is_cpu(self) -> bool:
        """True where tensors live in the computer's own memory."""
        return self.torch.type == "cpu"


def cpu_name() -> str:
    """Name of the processor, e.g. 'AMD EPYC 7763'."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return " ".join(line.split(":", 1)[1].split())
    except OSError:
        pass
    return platform.processor() or platform.machine()


def threads() -> int:
    """Processors that this process may use."""
    try:
        return max(1, len(os.sched_getaffinity(0)))
    except AttributeError:
        return max(1, os.cpu_count() or 1)


def available() -> list[dict[str, Any]]:
    """Every device with name and memory in GiB, the CPU last."""
    import psutil
    import torch

    found: list[dict[str, Any]] = []
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            found.append(
                {
                    "device": f"cuda:{index}",
                    "name": properties.name,
                    "memory_gib": round(properties.total_memory / 2**30, 1),
                }
            )
    if torch.backends.mps.is_available():
        found.append({"device": "mps", "name": "Apple GPU", "memory_gib": None})
    memory = round(psutil.virtual_memory().total / 2**30, 1)
    found.append({"device": "cpu", "name": cpu_name(), "threads": threads(), "memory_gib": memory})
    return found


def processor(count: int) -> Device:
    """The CPU, of which `count` threads compute."""
    import torch

    return Device(torch.device("cpu"), f"CPU ({cpu_name()}, {count} thread{'' if count == 1 else 's'})")


def select(request: str = "auto") -> Device:
    """Choose a device and prove with a tiny kernel that it works.

    Args:
        request: 'auto', 'cpu', 'cuda', 'cuda:1', 'mps'. 'auto' falls back to the CPU, and says so in
            the label; a device named by the user that doesn't work is an error.

    Raises:
        EngineError: DEVICE_UNAVAILABLE.
    """
    import torch

    cpu = processor(threads())
    if request == "cpu":
        return cpu
    wanted = [request] if request != "auto" else ["cuda", "mps"]
    reason = ""
    for name in wanted:
        try:
            device = torch.device(name)
            if device.type == "cuda" and not torch.cuda.is_available():
                raise RuntimeError("no usable NVIDIA card, driver or CUDA build of PyTorch")
            probe = torch.ones(8, device=device)
            if float((probe @ probe).item()) != 8.0:
                raise RuntimeError("wrong result of a test computation")
            label = name
            if device.type == "cuda":
                properties = torch.cuda.get_device_properties(device)
                label = f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB"
            return Device(device, label)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    if request != "auto":
        raise EngineError(
            "DEVICE_UNAVAILABLE",
            f"The device '{request}' can't be used: {reason}.",
            "Choose 'auto' or 'cpu', or set up the engine for this card (Set up engine, flavour CUDA).",
        )
    return cpu
