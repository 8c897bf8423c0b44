"""A Dask cluster of real processes: a scheduler here or as a child, workers as children."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ENGINE = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ENGINE), "OMP_NUM_THREADS": "1"}


def wait_for(condition, seconds=90):
    """Until `condition()` holds; fails after a time that only a hanging machine needs."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


class Processes:
    """Children that run Dask's own command lines, as a person would start them.

    Args:
        folder: receives their logs and what workers keep.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: list[subprocess.Popen] = []

    def scheduler(self) -> tuple[str, subprocess.Popen]:
        """Address and process of a new scheduler."""
        file = self.folder / "scheduler.json"
        process = self._start(
            "dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", file
        )
        wait_for(lambda: file.is_file() and file.read_text().strip().endswith("}"))
        import json

        return json.loads(file.read_text())["address"], process

    def worker(self, address: str) -> subprocess.Popen:
        """A new worker with one thread, and nobody who starts it again."""
        return self._start(
            "dask_worker", address, "--no-nanny", "--nthreads", "1", "--no-dashboard",
            "--host", "127.0.0.1", "--local-directory", self.folder,
        )  # fmt: skip

    def close(self) -> None:
        for process in self.running:
            kill(process)

    def _start(self, module: str, *options) -> subprocess.Popen:
        log = open(self.folder / f"{module}-{len(self.running)}.log", "wb")  # noqa: SIM115
        with log:
            process = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{module}", *map(str, options)],
                env=ENVIRONMENT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.running.append(process)
        return process


def kill(process: subprocess.Popen) -> None:
    """SIGKILL, as the out-of-memory killer does it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
