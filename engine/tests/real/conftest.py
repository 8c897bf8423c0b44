"""Real data: $SITS_REAL_DATA, or `shared/data` beside the checkout; a visible skip without them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data():
    """A function that gives the folder of a data set, or skips."""
    given = os.environ.get("SITS_REAL_DATA")
    root = Path(given) if given else Path(__file__).resolve().parents[4] / "shared" / "data"

    def folder(name: str) -> Path:
        path = root / name
        if not path.is_dir():
            pytest.skip(f"real data {path} are missing (set SITS_REAL_DATA to their folder)")
        return path

    return folder
