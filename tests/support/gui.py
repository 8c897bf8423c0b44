"""Start the real main window of QGIS under Xvfb and let a script use it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import qgis_process  # noqa: E402

DRIVER = ROOT / "tests" / "gui" / "drive_dialog.py"


def pictures():
    """Folder of the screenshots: SITS_SCREENSHOTS, or build/screenshots."""
    return Path(os.environ.get("SITS_SCREENSHOTS") or ROOT / "build" / "screenshots").absolute()


def qgis():
    """Path of the QGIS with a window."""
    return shutil.which("qgis.bin") or shutil.which("qgis")


def profile(folder):
    """A fresh profile without tips, news and version checks, with the plugin on."""
    settings = folder / "profiles" / "default" / "QGIS" / "QGIS3.ini"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(
        "[PythonPlugins]\nsits_qgis=true\nprocessing=true\n"
        "[qgis]\nshowTips=false\ncheckVersion=false\nnewProjectDefault=false\n"
        "[app]\nallowVersionCheck=false\n"
        "[core]\nNewsFeed\\http:\\feed.qgis.org\\disabled=true\n"
        "[locale]\noverrideFlag=true\nuserLocale=en_US\n",
        encoding="utf-8",
    )
    return folder


def drive(task, stage_folder, **variables):
    """Run `task` (see tests/gui/drive_dialog.py) in a fresh profile.

    Returns:
        What the script wrote: layers, log of the dialog, paths of pictures.

    Raises:
        AssertionError: it failed, with what it said.
    """
    with tempfile.TemporaryDirectory(prefix="sits-gui-") as name:
        folder = Path(name)
        answer = folder / "answer.json"
        task = {"pictures": str(pictures()), "answer": str(answer), **task}
        (folder / "task.json").write_text(json.dumps(task), encoding="utf-8")
        env = qgis_process.environment(folder, Path(stage_folder), **variables)
        env |= {"QT_QPA_PLATFORM": "xcb", "SITS_GUI_TASK": str(folder / "task.json"), "LANG": "C.UTF-8"}
        env.pop("QGIS_CUSTOM_CONFIG_PATH")
        profile(folder)
        command = ["xvfb-run", "-a", "-s", "-screen 0 1600x1000x24", qgis(), "--nologo", "--noversioncheck"]
        command += ["--profiles-path", str(folder), "--code", str(DRIVER)]
        process = subprocess.Popen(
            command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            said = process.communicate(timeout=task.get("seconds", 240) + 60)[0].decode(errors="replace")
        except subprocess.TimeoutExpired as error:
            raise AssertionError("QGIS did not end in time") from error
        finally:
            # xvfb-run, its server and QGIS are one group; nothing may stay behind.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        assert answer.is_file(), f"QGIS ended with {process.returncode} and no answer: {said[-3000:]}"
        found = json.loads(answer.read_text(encoding="utf-8"))
        assert found["status"] == 0, found.get("traceback", said[-3000:])
        return found
