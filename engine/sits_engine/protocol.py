"""One job in on stdin, a stream of JSON lines out on stdout.

The real stdout is duplicated for the protocol and file descriptor 1 is pointed at stderr, so that a
library that prints can't corrupt the stream (design/qgis.md, A2, last row).
"""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import Any, TextIO

VERSION = 1


def take_stdout() -> TextIO:
    """The real stdout, for us alone: whatever else prints in this process goes to stderr from now on."""
    keep = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return os.fdopen(keep, "w", encoding="utf-8", buffering=1)


class Channel:
    """Writes messages as JSON lines; safe from several threads. A broken pipe is ignored."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    @classmethod
    def take_stdout(cls) -> Channel:
        """A channel on the real stdout; everything else that prints goes to stderr."""
        return cls(take_stdout())

    def send(self, kind: str, **fields: Any) -> None:
        """Send one message of type `kind`."""
        line = json.dumps({"type": kind, **fields}, ensure_ascii=False, default=str)
        with self._lock:
            try:
                self._stream.write(line + "\n")
                self._stream.flush()
            except (BrokenPipeError, ValueError, OSError):
                pass


def hello() -> dict[str, Any]:
    """Fields of the first message: protocol, engine and Python versions (devices come with the job)."""
    import platform

    from sits_engine import __version__

    return {
        "protocol": VERSION,
        "engine": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "pid": os.getpid(),
    }
