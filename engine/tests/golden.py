"""Golden parity files: read from $SITS_GOLDEN or the shared folder beside the checkout."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

#: Tolerances of the golden folder's README: float32 outputs in eval mode, and gradient norms.
EVAL = {"atol": 1e-5, "rtol": 1e-4}
GRADIENT = {"atol": 1e-4, "rtol": 1e-4}


def folder() -> Path:
    """$SITS_GOLDEN, or `shared/golden` beside the repository."""
    given = os.environ.get("SITS_GOLDEN")
    return Path(given) if given else Path(__file__).resolve().parents[3] / "shared" / "golden"


def load(name: str) -> dict[str, Any]:
    """The file `name`.pt; a missing one fails where CI is set and is a visible skip elsewhere."""
    path = folder() / f"{name}.pt"
    if not path.is_file():
        reason = f"golden file {path} is missing (set SITS_GOLDEN to its folder)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    data: dict[str, Any] = torch.load(path, weights_only=True)
    return data
