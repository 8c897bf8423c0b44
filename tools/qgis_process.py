"""Run real `qgis_process` with the plugin, in a profile of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


def executable() -> str:
    """Path of qgis_process. Debian 12's wrapper script of that name is broken, the binary behind it works.

    Raises:
        SystemExit: QGIS is not installed.
    """
    found = _found()
    if not found:
        raise SystemExit(
            "qgis_process not found: install QGIS 3.22 or newer (Debian: apt-get install qgis python3-qgis)."
        )
    return found


def _found() -> str | None:
    return shutil.which("qgis_process.bin") or shutil.which("qgis_process")


def environment(profile: Path, plugins: Path | None, **more: str) -> dict[str, str]:
    """Environment of an isolated QGIS without a display.

    Args:
        profile: folder for settings; made where missing, with the plugin enabled.
        plugins: folder that holds `sits_qgis/`; None where it is installed in the profile.
        more: further variables, e.g. SITS_QGIS_HOME.
    """
    settings = profile / "profiles" / "default" / "QGIS" / "QGIS3.ini"
    if not settings.exists():
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.write_text("[PythonPlugins]\nsits_qgis=true\n", encoding="utf-8")
    runtime = profile / "runtime"
    runtime.mkdir(mode=0o700, exist_ok=True)
    env = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("QGIS_", "PYTHON", "VIRTUAL_ENV"))
    }
    env.update(
        QT_QPA_PLATFORM="offscreen",
        XDG_RUNTIME_DIR=str(runtime),
        QGIS_CUSTOM_CONFIG_PATH=str(profile),
        **more,
    )
    env["PATH"] = _path(env.get("PATH", ""))
    if plugins is not None:
        env["QGIS_PLUGINPATH"] = str(plugins)
    return env


def _path(given: str) -> str:
    """PATH on which QGIS's Python finds itself: it takes its prefix from the first python3 there.

    So no folder of a virtual environment, and that of QGIS's own python3, beside qgis_process, before those
    of pyenv and conda (what pyenv starts has pyenv's Python first, whatever the caller's PATH says).
    """
    entries = given.split(os.pathsep)
    active = os.environ.get("VIRTUAL_ENV")
    if active:
        own = os.path.join(active, "Scripts" if os.name == "nt" else "bin")
        entries = [entry for entry in entries if os.path.normpath(entry) != own]
    program = _found()
    folder = os.path.dirname(program) if program else ""
    if folder and os.path.exists(os.path.join(folder, "python3")):
        entries = [folder, *(entry for entry in entries if os.path.normpath(entry) != folder)]
    return os.pathsep.join(entries)


def arguments(values: Mapping[str, object]) -> list[str]:
    """Inputs as `KEY=VALUE`; a list repeats its key."""
    pairs = []
    for key, value in values.items():
        many = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        pairs += [f"{key}={one}" for one in many]
    return pairs


def run(
    algorithm: str, values: Mapping[str, object], env: Mapping[str, str]
) -> subprocess.CompletedProcess[bytes]:
    """Run an algorithm or a model file; what it says goes to this terminal.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    command = [executable(), "run", algorithm, "--", *arguments(values)]
    return subprocess.run(command, env=dict(env), check=True)
