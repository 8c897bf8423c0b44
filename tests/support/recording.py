"""A feedback that remembers what it was told, and is cancelled when a test says so."""

import time

from qgis.core import QgsProcessingFeedback


class Recording(QgsProcessingFeedback):
    """Collects (kind, text) in `said` and percentages in `progress`; `cancel_after` is in seconds."""

    def __init__(self, cancel_after=None):
        super().__init__(False)
        self.said = []
        self.progress = []
        self.cancelled_at = None
        self._cancel_time = None if cancel_after is None else time.monotonic() + cancel_after
        self.progressChanged.connect(self.progress.append)

    def texts(self, kind):
        """All texts of one kind."""
        return [text for found, text in self.said if found == kind]

    def isCanceled(self):
        if self._cancel_time is not None and time.monotonic() > self._cancel_time:
            self.cancelled_at = self.cancelled_at or time.monotonic()
            return True
        return super().isCanceled()

    def setProgressText(self, text):
        self.said.append(("phase", text))

    def pushInfo(self, text):
        self.said.append(("info", text))

    def pushWarning(self, text):
        self.said.append(("warning", text))

    def pushConsoleInfo(self, text):
        self.said.append(("console", text))

    def pushDebugInfo(self, text):
        self.said.append(("debug", text))

    def reportError(self, text, fatalError=False):
        self.said.append(("error", text))
