"""SITS engine: crop maps from satellite image time series, outside QGIS."""

from pathlib import Path

__version__ = (Path(__file__).parent / "VERSION").read_text(encoding="utf-8").strip()
