"""Run one job of the engine as a child process and wait for it, so that it can always be stopped."""

import contextlib
import json
import re
import shutil
import signal
import subprocess  # nosec B404
import threading
import time
from pathlib import Path

from qgis.core import QgsProcessingException
from qgis.PyQt.QtCore import QCoreApplication, QEventLoop, QThread

from . import about, child, network
from .i18n import tr
from .messages import PROTOCOL, Reporter, parse
from .streams import Lines, Sender

#: Seconds between two looks at the cancel button.
POLL = 0.05
#: Seconds until the engine must have said hello (a virus scanner may read all of PyTorch first).
HELLO_WITHIN = 120.0
#: Seconds from the request to stop until the group is terminated, and from there until it is killed.
TERMINATE_AFTER = 1.5
KILL_AFTER = 0.35
#: Seconds that an engine may take to end after its result.
END_WITHIN = 10.0

RUN_SETUP = "Run the algorithm 'Set up engine' (sits:setupengine) and try again."


def run_job(job, params, feedback, environment, hello_within=HELLO_WITHIN):
    """Run job `job` with the fields `params` and return its `EngineResult`.

    Args:
        job: name of an engine job.
        params: its fields, JSON-serialisable.
        feedback: QgsProcessingFeedback that shows progress and is asked for cancellation.
        environment: where the engine's Python is (`environment.Environment`).
        hello_within: seconds until the engine must answer.

    Raises:
        QgsProcessingException: the job failed, was cancelled, crashed or did not answer; the text says
            what happened and what to do.
    """
    command = [environment.interpreter, "-s", "-u", "-X", "utf8", about.ENGINE_START.absolute(), "serve-job"]
    try:
        process = child.start(command, child.clean_environment(extra=network.proxy_variables()))
    except OSError as error:
        text = tr("The engine's Python {path} can't be started: {reason}. {advice}")
        raise QgsProcessingException(
            text.format(path=environment.interpreter, reason=error.strerror or error, advice=tr(RUN_SETUP))
        ) from error
    return _Run(process, params, feedback, hello_within).wait(job)


class _Run:
    """One child process from its start to its end."""

    def __init__(self, process, params, feedback, hello_within):
        self.process = process
        self.params = params
        self.feedback = feedback
        self.hello_within = hello_within
        self.reporter = Reporter(feedback)
        self.sender = Sender(process)
        self.lines = Lines(process)
        self.pid = process.pid
        #: Name of the signal that asked QGIS to end, or ''.
        self.stopped_by = ""

    def wait(self, job):
        self.sender.send(json.dumps({"job": job, "params": self.params}, ensure_ascii=False, default=str))
        with ending_signals(self._end):
            try:
                self._follow()
            finally:
                # Whatever happened above, an exception of Python included: no process outlives the run.
                child.kill_group(self.process)
                self._close()
        return self._outcome()

    def _end(self, number, frame=None):
        """Handler of a signal that asks QGIS to end: the poll loop notices it."""
        self.stopped_by = signal.Signals(number).name

    def _follow(self):
        """Pass on messages until the engine has ended; notice cancellation, silence and a late end."""
        started = time.monotonic()
        finished_at = None
        exited_at = None
        while True:
            self._drain()
            serve_events()
            now = time.monotonic()
            if self.stopped_by or self.feedback.isCanceled():
                self._stop()
                raise QgsProcessingException(self._stopped())
            if self.reporter.hello is None and now - started > self.hello_within:
                raise QgsProcessingException(self._silent())
            self._check_protocol()
            if self.process.poll() is not None:
                # Grandchildren may hold the pipes open: take what is there, but don't wait for them.
                exited_at = exited_at or now
                if self.lines.finished or now - exited_at > 1.0:
                    self._drain()
                    return
            elif self.reporter.result is not None or self.reporter.error is not None:
                finished_at = finished_at or now
                if now - finished_at > END_WITHIN:
                    child.kill_group(self.process)

    def _drain(self):
        """Handle lines for up to one poll interval."""
        until = time.monotonic() + POLL
        while True:
            item = self.lines.get(max(0.0, until - time.monotonic()))
            if item is None:
                break
            self.reporter.line(*item)
            if time.monotonic() >= until:
                break
        if self.reporter.hello and isinstance(self.reporter.hello.get("pid"), int):
            self.pid = self.reporter.hello["pid"]
        self.reporter.flush()

    def _check_protocol(self):
        hello = self.reporter.hello
        if hello is not None and hello.get("protocol") != PROTOCOL:
            text = tr("The engine speaks protocol {theirs}, this plugin {ours}. {advice}")
            raise QgsProcessingException(
                text.format(theirs=hello.get("protocol"), ours=PROTOCOL, advice=tr(RUN_SETUP))
            )

    def _stop(self):
        """Cancel: ask, then terminate, then kill; takes less than two seconds."""
        self.feedback.setProgressText(tr("Cancelling"))
        self.sender.send(json.dumps({"type": "cancel"}))
        for action, patience in ((None, TERMINATE_AFTER), (child.terminate_group, KILL_AFTER)):
            if action is not None:
                action(self.process)
            until = time.monotonic() + patience
            while time.monotonic() < until:
                if self.process.poll() is not None:
                    break
                # Keeps reading: an engine that blocks on a full pipe can't notice the request.
                self._last_words(0.02)
            if self.process.poll() is not None:
                break
        # What an engine said that is gone may still be on its way; one that is not gets no more time.
        until = time.monotonic() + (0.1 if self.process.poll() is not None else 0.0)
        while time.monotonic() < until and self._last_words(0.01):
            pass

    def _last_words(self, timeout):
        """Take a line of an engine that was asked to stop; only its last message matters."""
        item = self.lines.get(timeout)
        if item is not None and item[0] == "out":
            message = parse(item[1])
            if message is not None and message["type"] == "error":
                self.reporter.line(*item)
        return item is not None or not self.lines.finished

    def _stopped(self):
        """Who stopped the run, and what is left of it: the engine knows, where it could still say so."""
        head = (
            tr("Stopped by {signal}.").format(signal=self.stopped_by) if self.stopped_by else tr("Cancelled.")
        )
        error = self.reporter.error or {}
        advice = error.get("advice") if error.get("code") == "CANCELLED" else None
        if not advice and unfinished(self.params):
            advice = tr(
                "Finished tiles were kept beside the output ({folder}): the same run goes on from there. "
                "Nothing half-written was kept."
            ).format(folder=", ".join(unfinished(self.params)))
        return f"{head} " + (advice or tr("Nothing half-written was kept; run it again when you like."))

    def _close(self):
        self.sender.close()
        self.lines.stop()
        try:
            self.process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            # Stuck in the system (a dead network drive, say): it ends when the system lets it.
            self.feedback.pushWarning(
                tr("Process {pid} of the engine does not end.").format(pid=self.process.pid)
            )
        if self.reporter.result is None:
            remove_partials(self.params, self.pid)

    def _silent(self):
        text = tr(
            "The engine did not answer within {seconds:.0f} s. A virus scanner may be checking its files: "
            "wait a little and run again; if that does not help, run 'Set up engine' with the option to "
            "repair it."
        )
        return self._with_tail(text.format(seconds=self.hello_within))

    def _outcome(self):
        """Result of a run that ended by itself, or the exception that says why there is none."""
        reporter, status = self.reporter, self.process.returncode
        if reporter.error is not None:
            raise QgsProcessingException(error_text(reporter.error, reporter.log_path))
        if reporter.result is not None:
            if status:
                text = tr("The engine ended with status {status} after its result, which is complete.")
                self.feedback.pushConsoleInfo(text.format(status=status))
            return reporter.result
        if (status is not None and status < 0) or status in (137, 139):
            raise QgsProcessingException(self._with_tail(signal_text(status)))
        if reporter.hello is None:
            text = tr("The engine did not start (exit status {status}). {advice}")
            advice = known_cause("\n".join(reporter.tail)) or tr(RUN_SETUP)
            raise QgsProcessingException(self._with_tail(text.format(status=status, advice=advice)))
        text = tr(
            "The engine ended without a result (exit status {status}). Run it again; if it happens again, "
            "send the log with a bug report."
        )
        raise QgsProcessingException(self._with_tail(text.format(status=status)))

    def _with_tail(self, text):
        """`text` with the log's path and the engine's last words."""
        if self.reporter.log_path:
            text += " " + tr("Log: {path}").format(path=self.reporter.log_path)
        if self.reporter.tail:
            text += "\n" + tr("Last words of the engine:") + "\n" + "\n".join(list(self.reporter.tail)[-8:])
        return text


#: What an engine that does not load says, and the way out.
CAUSES = (
    (
        r"WinError 1114|DLL load failed|error loading .*\.dll",
        "The Microsoft Visual C++ runtime is missing or old: install "
        "https://aka.ms/vs/17/release/vc_redist.x64.exe and start QGIS again.",
    ),
    (
        r"No module named|cannot import name|undefined symbol",
        "The engine's packages are incomplete: run 'Set up engine' (sits:setupengine) with the option to "
        "repair it.",
    ),
)


def known_cause(text):
    """Advice for a known reason of failure in `text`, or ''."""
    return next((tr(advice) for pattern, advice in CAUSES if re.search(pattern, text)), "")


def error_text(error, log_path=""):
    """Text of an error message for people; with the log where it is a defect of ours."""
    text = f"{error.get('message') or tr('Unknown error.')} {error.get('advice') or ''}".strip()
    if error.get("code") == "INTERNAL":
        text = f"{text} {known_cause(text)}".strip()
    if error.get("code") == "INTERNAL" and log_path:
        text += " " + tr("Log: {path}").format(path=log_path)
    return text


def signal_text(status):
    """What it means that the engine ended by a signal; -9 is mostly the system short of memory."""
    number = -status if status < 0 else status - 128
    if number == 9:
        return tr(
            "The engine was ended by the system, most likely because the computer ran out of memory. "
            "Close other programs, or choose a smaller area, batch size or tile size, and run again."
        )
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = str(number)
    text = tr(
        "The engine crashed or was stopped from outside (signal {name}). Run it again; if it happens again, "
        "choose the device 'cpu', or run 'Set up engine' with the option to repair it."
    )
    return text.format(name=name)


@contextlib.contextmanager
def ending_signals(handler):
    """While the block runs, SIGTERM and SIGHUP call `handler` in place of ending QGIS without a word.

    Only where the run is on the main thread (qgis_process), and only for a signal that nobody else handles:
    `nohup` has SIGHUP ignored, and so it stays.
    """
    before = {}
    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) == signal.SIG_DFL:
                before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def serve_events():
    """Let Qt handle signals and repaints where the algorithm runs on the main thread.

    qgis_process turns Ctrl-C into a Qt event and handles it only while events are processed
    (design/qgis.md, B2); in a window, a background thread runs the algorithm and this does nothing.
    """
    application = QCoreApplication.instance()
    if application is not None and QThread.currentThread() == application.thread():
        QCoreApplication.processEvents(QEventLoop.ProcessEventsFlag.ExcludeUserInputEvents)


def unfinished(params):
    """Names of the folders beside the outputs that hold finished tiles of a map (`.NAME.work`)."""
    paths = [Path(params[key]) for key in ("output", "output_parcels") if isinstance(params.get(key), str)]
    folders = [path.with_name(f".{path.name}.work") for path in paths if path.name]
    return [folder.name for folder in folders if any(folder.glob("*.npz"))]


def remove_partials(params, pid):
    """Remove temporary neighbours that a killed engine (process `pid`) left beside its outputs."""
    texts = [v for v in params.values() if isinstance(v, str) and 0 < len(v) < 1000 and "\n" not in v]
    # Beside an output, and in a folder that is an output.
    for folder in {place for text in texts for place in (Path(text), Path(text).parent)} - {Path()}:
        try:
            for left in folder.glob(f".*.partial-{pid}*") if folder.is_dir() else ():
                if left.is_dir() and not left.is_symlink():
                    shutil.rmtree(left, ignore_errors=True)
                else:
                    left.unlink()
        except OSError:
            # Best effort: the run has failed anyway and says why.
            continue
