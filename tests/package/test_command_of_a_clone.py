"""`sits` in a clone: the engine beside the environment, from any folder."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "sits.sh"


@pytest.mark.skipif(os.name == "nt", reason="make is not used there")
@pytest.mark.parametrize(("before", "after"), [(None, "{engine}"), ("/mine", "{engine}:/mine")])
def test_sits_starts_the_engine_of_the_clone(tmp_path, monkeypatch, before, after):
    clone = tmp_path / "a clone"
    bin_folder, engine = clone / ".venv" / "bin", clone / "engine"
    bin_folder.mkdir(parents=True)
    engine.mkdir()
    shutil.copy(SCRIPT, bin_folder / "sits")
    python = bin_folder / "python"
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$PYTHONPATH" "$@"\nexit 7\n')
    python.chmod(0o755)
    if before is None:
        monkeypatch.delenv("PYTHONPATH", raising=False)
    else:
        monkeypatch.setenv("PYTHONPATH", before)
    done = subprocess.run(
        [bin_folder / "sits", "map", "--extent", "1,2 3"], cwd=tmp_path, capture_output=True, text=True
    )
    path, *words = done.stdout.splitlines()
    assert path == after.format(engine=engine)
    assert words == ["-m", "sits_engine.cli", "map", "--extent", "1,2 3"]
    assert done.returncode == 7
