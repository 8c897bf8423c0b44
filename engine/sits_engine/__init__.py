"""SITS engine: crop maps from satellite image time series, outside QGIS."""

import os
from pathlib import Path

__version__ = (Path(__file__).parent / "VERSION").read_text(encoding="utf-8").strip()

# Read by OpenMP when torch is loaded, so it must be set before. Threads that wait then sleep; by default
# they spin, and beside another busy process a training step took up to 10 times as much processor time.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Read by PyTorch, likewise. That a process is lost is told in a sentence (`learning/lifeline.py`); PyTorch
# itself would warn of every attempt to reach it, with thirty lines of addresses each.
os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")

# rasterio, when loaded, tells GDAL to use certifi's certificates unless this says otherwise: those that the
# user's network needs, and names to all other programs, must win.
for _name in ("CURL_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
    if os.path.isfile(os.environ.get(_name, "")):
        os.environ.setdefault("GDAL_CURL_CA_BUNDLE", os.environ[_name])
