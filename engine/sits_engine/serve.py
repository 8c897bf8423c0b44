"""Run one job for the plugin: job on stdin, messages on stdout, stop when the parent goes away."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from sits_engine import libraries, outputs, protocol
from sits_engine.addresses import PublicFormatter
from sits_engine.context import JobContext
from sits_engine.errors import Cancelled, EngineError, InputError, Notice, from_exception
from sits_engine.home import logs

log = logging.getLogger("sits_engine")

EXIT_OK, EXIT_FAILED, EXIT_CANCELLED = 0, 1, 130
#: A cancelled job that doesn't reach its next check in this time (seconds) is ended at once; one of several
#: processes first finds out whether another was killed.
GRACE, GRACE_TOGETHER = 1.2, 8.0
#: Signals within this time (seconds) of the first are one: `timeout` sends to the child and to its group.
SAME_SIGNAL = 0.5


def open_log(job: str) -> tuple[Path, str]:
    """Start the run's log file; its path, and what to warn of: it may have to lie among temporary files."""
    name, warning = f"{time.strftime('%Y%m%d-%H%M%S')}-{job}-{os.getpid()}", ""
    try:
        path = logs() / f"{name}.log"
        handler = logging.FileHandler(path, encoding="utf-8")
    except (OSError, RuntimeError) as error:  # RuntimeError: nobody knows the user's folder
        number, temporary = tempfile.mkstemp(".log", f"sits-{name}-")
        os.close(number)
        path = Path(temporary)
        handler = logging.FileHandler(path, encoding="utf-8")
        warning = (
            f"The folder for logs can't be used ({error}); name another one in SITS_QGIS_HOME. Log: {path}"
        )
    handler.setFormatter(PublicFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)
    logging.getLogger().setLevel(logging.INFO)
    return path, warning


def stop_now(reason: str, code: int = EXIT_CANCELLED) -> None:
    """End the process at once: children first, then unfinished outputs."""
    log.error("stopped: %s", reason)
    try:
        import psutil

        for child in psutil.Process().children(recursive=True):
            child.kill()
    except Exception:  # the process ends anyway; nothing here may stop that
        log.exception("children could not be stopped")
    outputs.discard_unfinished()
    logging.shutdown()
    with contextlib.suppress(OSError):
        os.write(2, f"Stopped at once: {reason} {Cancelled().advice}\n".encode())
    os._exit(code)


def request_stop(ctx: JobContext, reason: str, grace: float = GRACE) -> None:
    """Ask the job to stop, and end the process if it does not within `grace` seconds."""
    ctx.cancel(reason)
    # the reason may be known better by then
    timer = threading.Timer(grace, lambda: stop_now(ctx.stop().message))
    timer.daemon = True
    timer.start()


def on_signals(ctx: JobContext, *, together: bool = False) -> None:
    """Ctrl-C and SIGTERM cancel the job; a second one, half a second later or more, ends it at once.

    Python runs handlers on the main thread, between two of its own steps: while that is inside GDAL (a map
    being written, say) they would wait. So a thread of its own reads the numbers of the signals from a pipe.

    Args:
        ctx: of the job.
        together: torchrun started several processes. It passes on signals that they had, too, so a second one
            says nothing new; and it sends SIGTERM to all when one of them has ended.
    """

    def ignore(number: int, frame: FrameType | None) -> None:
        """The thread acts."""

    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        signal.signal(number, ignore)

    def act() -> None:
        first = time.monotonic()
        while got := os.read(reading, 1):
            if got[0] not in numbers:
                continue
            name = signal.Signals(got[0]).name
            if not ctx.cancelled:
                first = time.monotonic()
                by = ", from you, the cluster, or torchrun since another process ended" if together else ""
                by = by if got[0] == signal.SIGTERM else ""
                request_stop(ctx, f"Stopped by {name}{by}.", GRACE_TOGETHER if together else GRACE)
            elif not together and time.monotonic() - first > SAME_SIGNAL:
                stop_now(f"Second {name}.")

    threading.Thread(target=act, name="signals", daemon=True).start()


@contextlib.contextmanager
def telling(ctx: JobContext) -> Iterator[None]:
    """Each `Notice` becomes a warning of the job, once; Python's other warnings go where they went."""
    told: set[str] = set()
    with warnings.catch_warnings():
        warnings.simplefilter("always", Notice)
        usual = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            if not issubclass(category, Notice):
                usual(message, category, *where, **more)
            elif str(message) not in told:
                told.add(str(message))
                ctx.warn(str(message))

        warnings.showwarning = show
        yield


def run_job(name: str, params: dict[str, Any], ctx: JobContext, send: Any, log_path: Path) -> int:
    """Run job `name`; send its result or its error. Returns the exit status."""
    import psutil

    from sits_engine.jobs import job_class

    ctx.log = log_path
    ctx.launching = max(0.0, time.time() - psutil.Process().create_time() - ctx.elapsed)
    try:
        job = job_class(name).parse(params)
        # Fields that are not for showing (credentials) stay out of the log as well.
        secret = {key for key, field in type(job).model_fields.items() if not field.repr}
        log.info("job %s %s", name, job.model_dump_json(exclude=secret))
        libraries.load()
        with telling(ctx):
            result = job.run(ctx)
        ctx.check_cancelled()
        ctx.finish()
        warnings = list(dict.fromkeys([*ctx.warnings, *result.warnings]))
        send("result", {"outputs": result.outputs, "scores": result.scores, "warnings": warnings})
        log.info("result %s", json.dumps(result.outputs))
        return EXIT_OK
    except KeyboardInterrupt:
        error: EngineError = Cancelled("Stopped by Ctrl-C.")
    except BaseException as raised:
        error = from_exception(raised)
        if error.code == "INTERNAL" or not isinstance(raised, EngineError):
            log.exception("job failed")
    outputs.discard_unfinished()
    log.error("%s: %s %s", error.code, error.message, error.advice)
    return _failed(error, send, log_path)


def run_help(name: str, params: dict[str, Any], ctx: JobContext, send: Any, log_path: Path) -> int:
    """Do another process's share of job `name`, which the first process runs.

    That one says errors, too; `send` gets those that it can't be told, or that arose on this machine only.
    """
    from sits_engine.jobs import job_class

    try:
        job = job_class(name).parse(params)
    except BaseException as raised:
        error = from_exception(raised)
        log.exception("%s", error.code)
        status = _failed(error, send, log_path)
        with contextlib.suppress(Exception):
            job_class(name).refuse(error, ctx)
        return status
    try:
        job.help(ctx)
        return EXIT_OK
    except BaseException as raised:
        error = from_exception(raised)
        log.exception("%s", error.code)
        # expected errors were told, unless nobody is left to be told
        told = isinstance(raised, EngineError) and error.code != "NETWORK"
    return _failed(error, (lambda kind, fields: None) if told else send, log_path)


def _failed(error: EngineError, send: Any, log_path: Path) -> int:
    """Send an error; returns the exit status."""
    send(
        "error",
        {
            "code": error.code,
            "message": error.message,
            "advice": error.advice,
            "details": error.details,
            "log": str(log_path),
        },
    )
    return EXIT_CANCELLED if error.code == "CANCELLED" else EXIT_FAILED


def leave(status: int) -> NoReturn:
    """End the process, whatever threads of libraries still do."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def serve() -> int:
    """Entry of `serve-job`: one job line on stdin, then `cancel` lines; end of stdin stops the engine."""
    channel = protocol.Channel.take_stdout()

    def send(kind: str, fields: dict[str, Any]) -> None:
        channel.send(kind, **fields)

    log_path, warning = open_log("serve")
    send("hello", {**protocol.hello(), "log": str(log_path)})
    ctx = JobContext(send)
    if warning:
        ctx.warn(warning)
    on_signals(ctx)
    try:
        request = json.loads(sys.stdin.readline())
        name, params = request["job"], request.get("params", {})
    except (ValueError, KeyError, TypeError) as error:
        bad = InputError(f"The job line can't be read: {error}.", "Send one JSON object with 'job'.")
        send("error", {"code": bad.code, "message": bad.message, "advice": bad.advice, "details": {}})
        return EXIT_FAILED

    def watch() -> None:
        for line in sys.stdin:
            try:
                kind = json.loads(line).get("type")
            except (ValueError, AttributeError):
                continue
            if kind == "cancel":
                request_stop(ctx, "Cancelled by the user.")
        # End of input: the parent died or closed us. Nobody listens any more, so don't wait for checks.
        stop_now("the program that started the engine is gone (end of its input)", EXIT_FAILED)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
    # Worker threads of libraries must not keep a finished engine alive.
    leave(run_job(name, params, ctx, send, log_path))
