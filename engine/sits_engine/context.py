"""What a job uses to talk: progress, log, metrics, cancellation."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sits_engine.addresses import public
from sits_engine.errors import Cancelled

log = logging.getLogger("sits_engine")


class JobContext:
    """Progress, words and cancellation of one running job.

    Args:
        send: receives (kind, fields) of each protocol message; None for a silent context (tests).
    """

    def __init__(self, send: Callable[[str, dict[str, Any]], None] | None = None) -> None:
        self._send = send or (lambda kind, fields: None)
        self._cancel = threading.Event()
        self._reason = "Cancelled by the user."
        self._percent = 0.0
        self._phase = ""
        self._started = time.monotonic()
        self._last_sent = 0.0
        self._warnings: list[str] = []
        self._sources: list[Callable[[], list[str]]] = []
        #: Label of the processor that computes, shown with the progress once the job has chosen it.
        self.device = ""
        #: Seconds from the start of the process to that of its only job.
        self.launching = 0.0
        #: File that the run logs to, once there is one.
        self.log: Path | None = None

    @property
    def warnings(self) -> list[str]:
        """What the user must know, so far."""
        told = [sentence for source in self._sources for sentence in source()]
        return list(dict.fromkeys([*self._warnings, *told]))

    def also_warn(self, source: Callable[[], list[str]]) -> None:
        """Let the warnings include what `source` says whenever they are asked for."""
        self._sources.append(source)

    def finish(self) -> None:
        """Say the warnings of all sources: the job is done."""
        for sentence in [one for source in self._sources for one in source()]:
            self.warn(sentence)
        self._sources.clear()

    def cancel(self, reason: str = "Cancelled by the user.") -> None:
        """Ask the job to stop at its next check; safe from signal handlers and other threads."""
        self._reason = reason
        self._cancel.set()

    @property
    def cancelled(self) -> bool:
        """True once somebody asked to stop."""
        return self._cancel.is_set()

    @property
    def elapsed(self) -> float:
        """Seconds since the job began."""
        return time.monotonic() - self._started

    def check_cancelled(self) -> None:
        """Raise `Cancelled` if somebody asked to stop; call between batches and tiles (every 0.5 s)."""
        if self._cancel.is_set():
            raise self.stop()

    def stop(self) -> Cancelled:
        """The error of a job that was asked to stop."""
        return Cancelled(self._reason)

    def progress(self, fraction: float, phase: str | None = None) -> None:
        """Report the done share of the whole job (0 to 1, never falls) and the phase in words.

        Also the place where cancellation is noticed: raises `Cancelled`.
        """
        self.check_cancelled()
        now = time.monotonic()
        percent = max(self._percent, min(100.0, 100.0 * fraction))
        new_phase = phase is not None and phase != self._phase
        if phase is not None:
            self._phase = phase
        if not new_phase and percent < 100 and (now - self._last_sent < 0.2 or percent == self._percent):
            self._percent = percent
            return
        self._percent = percent
        self._last_sent = now
        elapsed = now - self._started
        left = elapsed * (100 - percent) / percent if percent > 2 and elapsed > 2 else None
        fields = {
            "percent": round(percent, 2),
            "phase": self._phase,
            "seconds_left": None if left is None else round(left),
        }
        if self.device:
            fields["device"] = self.device
        if new_phase:
            log.info("phase: %s", self._phase)
        self._send("progress", fields)

    def part(self, start: float, end: float, phase: str | None = None) -> Callable[[float], None]:
        """A function that maps 0..1 of one phase to start..end of the whole job."""
        self.progress(start, phase)
        return lambda fraction: self.progress(start + (end - start) * min(1.0, max(0.0, fraction)), phase)

    def info(self, text: str) -> None:
        """One line for the user's log panel."""
        text = public(text)
        log.info(text)
        self._send("log", {"level": "info", "text": text})

    def warn(self, text: str) -> None:
        """Something the user must know; kept and repeated in the result and the report."""
        text = public(text)
        log.warning(text)
        self._warnings.append(text)
        self._send("log", {"level": "warning", "text": text})

    def metric(self, name: str, value: float, step: int | None = None) -> None:
        """A number over time, e.g. validation macro-F1 of an epoch."""
        log.info("metric %s=%.6g step=%s", name, value, step)
        self._send("metric", {"name": name, "value": value, "step": step})


def counted(number: int, what: str) -> str:
    """'1 tile', '2 tiles'."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
