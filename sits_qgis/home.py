"""The folder that holds environments, logs and models: SITS_QGIS_HOME or the platform's data folder.

The engine computes the same path in `engine/sits_engine/home.py`; a test compares the two.
"""

import os
import sys
from pathlib import Path


def home():
    """Folder for everything that outlives a run."""
    named = os.environ.get("SITS_QGIS_HOME")
    if named:
        return Path(named).expanduser().absolute()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "sits-qgis"


def envs():
    """Folder of the engine's environments, one a flavour and lock file."""
    return home() / "envs"


def tools():
    """Folder of uv, the installer."""
    return home() / "tools"


def logs():
    """Folder of the log files, one a run."""
    return home() / "logs"


def engine_record():
    """File that says which interpreter runs the engine."""
    return home() / "engine.json"
