"""Real `qgis_process` with the staged plugin, in a fresh profile with a difficult name."""

import json
import os
import subprocess
from pathlib import Path

import layout
import pytest
import qgis_process
import stage


class Headless:
    """Runs qgis_process; `env` may be changed before."""

    def __init__(self, env, folder):
        self.env = env
        self.folder = folder

    def orders(self, **orders):
        """Orders for the fake engine; its process ids go to `pids`."""
        self.env["FAKE_ENGINE"] = json.dumps({"pids": str(self.pids), **orders})

    @property
    def pids(self):
        return self.folder / "pids.json"

    def start(self, *arguments):
        """A running qgis_process in a process group of its own."""
        return subprocess.Popen(
            [qgis_process.executable(), *map(str, arguments)],
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )

    def call(self, *arguments, timeout=120):
        """(exit status, stdout, stderr) of a run to its end."""
        process = self.start(*arguments)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
        return process.returncode, out, err


@pytest.fixture(scope="session")
def fake_stage(tmp_path_factory, fake_engine):
    """The staged plugin with the fake engine in the place of the real one."""
    plugin = stage.stage(tmp_path_factory.mktemp("stage"))
    start = plugin / "engine" / "start.py"
    start.unlink()
    start.symlink_to(fake_engine)
    return plugin.parent


@pytest.fixture(scope="session")
def profile(tmp_path_factory):
    """One profile for all tests: fresh at the first of them."""
    return tmp_path_factory.mktemp("profil d'été")


@pytest.fixture
def headless(fake_stage, profile, tmp_path):
    """qgis_process with the fake engine."""
    env = qgis_process.environment(
        profile,
        fake_stage,
        SITS_QGIS_HOME=str(tmp_path / "dossier été"),
        SITS_QGIS_INTERPRETER="/usr/bin/python3",
    )
    return Headless(env, tmp_path)


@pytest.fixture
def real(stage_folder, profile, tmp_path):
    """qgis_process with the real engine, in the developers' environment."""
    python = Path(os.environ.get("SITS_ENGINE_PYTHON", layout.ROOT / ".venv" / "bin" / "python"))
    if not python.is_file():
        pytest.fail(f"{python} is missing: run `make dev`.")
    env = qgis_process.environment(
        profile, stage_folder, SITS_QGIS_HOME=str(tmp_path / "home"), SITS_QGIS_INTERPRETER=str(python)
    )
    return Headless(env, tmp_path)
