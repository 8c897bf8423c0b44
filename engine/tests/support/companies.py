"""Several processes on one machine, as torchrun places them but for its agent: process 0 keeps the store."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

#: Seconds that loaded machines may take for what takes some.
LIMIT = 200


def start(script: str, folder: Path, size: int, **settings: Any) -> list[subprocess.Popen[str]]:
    """`size` times a script of this folder, with a file of settings as its argument."""
    file = folder / f"settings {size}.json"
    file.write_text(json.dumps({"folder": str(folder), **settings}), encoding="utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    paths = os.pathsep.join(str(part) for part in Path(__file__).parents[1:3])
    started = []
    for rank in range(size):
        place = {
            "RANK": str(rank),
            "WORLD_SIZE": str(size),
            "LOCAL_RANK": str(rank),
            "LOCAL_WORLD_SIZE": str(size),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
        }
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", f"support.{script.removesuffix('.py')}", str(file)],
                env={**os.environ, **place, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                encoding="utf-8",
            )
        )
    return started


def answer(process: subprocess.Popen[str]) -> tuple[int, dict[str, Any]]:
    """Exit status, and what the process says in its last line."""
    out, errors = process.communicate(timeout=LIMIT)
    assert out, errors
    return process.returncode, json.loads(out.splitlines()[-1])


def run(
    script: str, folder: Path, size: int, **settings: Any
) -> tuple[list[dict[str, torch.Tensor]], dict[str, Any]]:
    """The weights of each process, and what process 0 says."""
    started = start(script, folder, size, **settings)
    status, said = answer(started[0])
    for other in started[1:]:
        assert other.wait(LIMIT) == 0, other.stderr and other.stderr.read()
    assert status == 0, said
    return [load_file(folder / f"{rank}.safetensors") for rank in range(size)], said


def apart(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    """Largest difference between two states."""
    return max(float((a[name].double() - b[name].double()).abs().max()) for name in a)
