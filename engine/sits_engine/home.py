"""The folder that holds environments, logs and models: SITS_QGIS_HOME or the platform's data folder."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

KEPT_LOGS = 50


def home() -> Path:
    """Folder for everything that outlives a run; the plugin computes the same path (`sits_qgis/home.py`)."""
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


def logs() -> Path:
    """Folder of the log files, one a run; only the newest `KEPT_LOGS` are kept.

    Raises:
        OSError: it can't be made.
    """
    folder = home() / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    for old in sorted(folder.glob("*.log"), key=lambda p: p.name)[:-KEPT_LOGS]:
        with contextlib.suppress(OSError):  # another process still writes it, or was faster
            old.unlink()
    return folder
