"""Another process that writes an output."""

import contextlib
import json
import subprocess
import sys

import psutil

from sits_engine.mapping.lock import work_folder


@contextlib.contextmanager
def written_by_another(output):
    """While the block runs, a living process has this output's lock."""
    folder = work_folder(output)
    folder.mkdir(parents=True)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        lock = {"pid": other.pid, "started": psutil.Process(other.pid).create_time()}
        (folder / "lock").write_text(json.dumps(lock))
        yield folder
        other.kill()
