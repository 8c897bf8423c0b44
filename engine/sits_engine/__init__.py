"""SITS engine: crop maps from satellite image time series, outside QGIS."""

import os
from pathlib import Path

__version__ = (Path(__file__).parent / "VERSION").read_text(encoding="utf-8").strip()

# Read by OpenMP when torch is loaded, so it must be set before. Threads that wait then sleep; by default
# they spin, and beside another busy process a training step took up to 10 times as much processor time.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
