"""Which processes are still there."""

import os
import time
from pathlib import Path


def alive(pid):
    """True if process `pid` runs (a zombie, which only waits to be read, does not)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return False


def gone_within(pids, seconds):
    """True if all of `pids` end within `seconds`."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if not any(alive(pid) for pid in pids):
            return True
        time.sleep(0.02)
    return False


def wait_for(condition, seconds=20.0):
    """The first true value of `condition()`, polled; AssertionError after `seconds`."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError("waited in vain")
