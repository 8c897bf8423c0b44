"""Name and version of the plugin, read from its manifest."""

import configparser
from pathlib import Path

ROOT = Path(__file__).parent
#: The engine's start file; run by its absolute path in the engine's own Python.
ENGINE_START = ROOT / "engine" / "start.py"
REQUIREMENTS = ROOT / "engine" / "requirements"


def version():
    """Version from metadata.txt, the one place where it is written."""
    manifest = configparser.ConfigParser(interpolation=None)
    manifest.read(ROOT / "metadata.txt", encoding="utf-8")
    return manifest.get("general", "version", fallback="unknown")
