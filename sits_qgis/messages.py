"""What the engine says, turned into what QGIS shows."""

import json
import math
import time
from collections import deque
from dataclasses import dataclass, field

from .i18n import tr

#: Version of the protocol that this plugin speaks (engine/sits_engine/protocol.py).
PROTOCOL = 1
#: Lines a second that are passed on to the log panel; a flood would freeze the window.
LINES_PER_SECOND = 100
#: The text of the progress goes to the log as well, so it is renewed this seldom within a phase (seconds).
TEXT_EVERY = 20.0


@dataclass
class EngineResult:
    """What a finished job left: outputs by lower-case name, scores, and warnings for people."""

    outputs: dict
    scores: dict = field(default_factory=dict)
    warnings: list = field(default_factory=list)


def parse(line):
    """Message of one line as a dict with a `type`, or None if the line is something else."""
    line = line.strip()
    if not line.startswith("{"):
        return None
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) and isinstance(message.get("type"), str) else None


def duration(seconds):
    """Time left in words that don't flicker: 'about 40 s', 'about 3 min', 'about 2 h'."""
    if seconds < 90:
        return tr("about {n} s").format(n=max(5, 5 * round(seconds / 5)))
    if seconds < 5400:
        return tr("about {n} min").format(n=round(seconds / 60))
    return tr("about {n} h").format(n=round(seconds / 3600, 1))


class Reporter:
    """Shows messages on a QgsProcessingFeedback and keeps what decides about success.

    Attributes:
        hello: the engine's first message, or None.
        result: an `EngineResult` once the job has ended well.
        error: the message that ended it badly, or None.
        tail: last lines that were no messages, for the report of a crash.
    """

    def __init__(self, feedback, clock=time.monotonic):
        self._feedback = feedback
        self._clock = clock
        self._allowance = float(LINES_PER_SECOND)
        self._refilled = clock()
        self._dropped = 0
        self._phase = ""
        self._device = ""
        self._text = ""
        self._texted = -math.inf
        self._percent = 0.0
        self._warned = set()
        self.hello = None
        self.result = None
        self.error = None
        self.tail = deque(maxlen=30)

    def line(self, source, text):
        """Take one line of the engine: a message, or something that a library printed."""
        message = parse(text) if source == "out" else None
        if message is None:
            if text.strip():
                self.tail.append(text[:2000])
                self._say(self._feedback.pushConsoleInfo, text)
            return
        handler = getattr(self, "_on_" + message["type"], None)
        # An unknown type comes from a newer engine: not for us, no harm.
        if handler is not None:
            handler(message)

    def flush(self):
        """Show what was held back: how far the job is, and how many lines were left out."""
        self._feedback.setProgress(self._percent)
        if self._dropped and self._refill() > LINES_PER_SECOND / 2:
            count, self._dropped = self._dropped, 0
            text = tr("({n} more lines of the engine left out here; its log file may hold them)")
            self._feedback.pushConsoleInfo(text.format(n=count))

    @property
    def log_path(self):
        """The engine's log file of this run, or ''."""
        for message in (self.error, self.hello):
            if message and isinstance(message.get("log"), str):
                return message["log"]
        return ""

    def _refill(self):
        now = self._clock()
        self._allowance = min(LINES_PER_SECOND, self._allowance + (now - self._refilled) * LINES_PER_SECOND)
        self._refilled = now
        return self._allowance

    def _say(self, function, text):
        if self._refill() < 1:
            self._dropped += 1
            return
        self._allowance -= 1
        function(text[:4000])

    def _on_hello(self, message):
        self.hello = message

    def _on_progress(self, message):
        percent = message.get("percent")
        if isinstance(percent, (int, float)) and math.isfinite(percent):
            self._percent = min(100.0, max(self._percent, float(percent)))
        if isinstance(message.get("device"), str):
            self._device = message["device"]
        phase = message.get("phase")
        phase = phase if isinstance(phase, str) else self._phase
        left = message.get("seconds_left")
        parts = [phase] + ([self._device] if self._device not in phase else [])
        if isinstance(left, (int, float)) and math.isfinite(left) and self._percent < 100:
            parts.append(tr("{duration} left").format(duration=duration(left)))
        text = " · ".join(part for part in parts if part)
        now = self._clock()
        if phase != self._phase or (text != self._text and now - self._texted > TEXT_EVERY):
            self._phase, self._text, self._texted = phase, text, now
            self._say(self._feedback.setProgressText, text)

    def _on_log(self, message):
        text = message.get("text")
        if not isinstance(text, str):
            return
        if message.get("level") == "warning":
            self._warn(text)
        else:
            self._say(self._feedback.pushInfo, text)

    def _warn(self, text):
        # A warning comes once as it happens and once more with the result.
        if text not in self._warned and len(self._warned) < 1000:
            self._warned.add(text)
            self._say(self._feedback.pushWarning, text)

    def _on_metric(self, message):
        name, value, step = message.get("name"), message.get("value"), message.get("step")
        if isinstance(name, str) and isinstance(value, (int, float)):
            at = "" if step is None else f" ({step})"
            self._say(self._feedback.pushInfo, f"{name}{at}: {value:.4g}")

    def _on_result(self, message):
        outputs, scores = message.get("outputs", {}), message.get("scores", {})
        warnings = message.get("warnings", [])
        if not (isinstance(outputs, dict) and isinstance(scores, dict) and isinstance(warnings, list)):
            # Not a result we can use: the missing result is reported when the engine ends.
            return
        self.result = EngineResult(outputs, scores, [str(text) for text in warnings])
        for text in self.result.warnings:
            self._warn(text)

    def _on_error(self, message):
        self.error = message
