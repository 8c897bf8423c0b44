"""The zip in an empty profile: real qgis_process lists the algorithms and runs one."""

import json
import os
import subprocess
import sys
import zipfile

import layout
import pytest
import qgis_process
from sits_engine.jobs import JOBS

PROFILE_PLUGINS = "profiles/default/python/plugins"


@pytest.fixture(scope="module")
def installed(zip_file, tmp_path_factory):
    """Environment of a QGIS whose fresh profile holds the unpacked zip, as 'Install from ZIP' leaves it."""
    profile = tmp_path_factory.mktemp("profil neuf é")
    with zipfile.ZipFile(zip_file) as archive:
        archive.extractall(profile / PROFILE_PLUGINS)
    home = profile / "home"
    return qgis_process.environment(
        profile,
        None,
        SITS_QGIS_HOME=str(home),
        SITS_QGIS_INTERPRETER=os.environ.get("SITS_ENGINE_PYTHON", sys.executable),
    )


def call(env, *arguments):
    command = [qgis_process.executable(), *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)


def test_every_algorithm_is_listed(installed):
    listed = call(installed, "list")
    assert listed.returncode == 0, listed.stderr
    found = {line.split()[0] for line in listed.stdout.splitlines() if line.strip().startswith("sits:")}
    jobs = {f"sits:{name}" for name in JOBS if name != "status"}
    assert jobs | {"sits:setupengine", "sits:enginestatus"} <= found


def test_the_engine_of_the_zip_answers(installed, tmp_path):
    ran = call(installed, "--json", "run", "sits:enginestatus")
    assert ran.returncode == 0, ran.stderr
    text = json.dumps(json.loads(ran.stdout)["results"])
    assert layout.version() in text
    assert "torch" in text


def test_a_job_runs_from_the_zip(installed, tmp_path):
    folder = tmp_path / "région d'essai"
    ran = call(
        installed,
        "run",
        "sits:createdemodata",
        "--",
        f"OUTPUT_FOLDER={folder}",
        "SIZE=64",
        "DATES=6",
        "DIFFICULTY=easy",
    )
    assert ran.returncode == 0, ran.stderr
    assert len(list(folder.glob("region_a/images/*.tif"))) == 6
    assert (folder / "truth.json").exists()
