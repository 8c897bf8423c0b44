"""Run an installer's program: its lines as they come, cancellable, and gone when QGIS is gone."""

import subprocess  # nosec B404
import time

from qgis.core import QgsProcessingException

from .. import child
from ..i18n import tr
from ..process import POLL, serve_events
from ..streams import Lines

#: `sh` script: runs "$@" and kills the whole process group when stdin ends, which is when QGIS is gone.
GUARD = """
exec 3<&0
"$@" </dev/null 3<&- &
program=$!
( cat <&3; kill -KILL 0 ) >/dev/null 2>&1 &
guard=$!
exec 3<&-
wait $program
status=$?
kill -KILL $guard 2>/dev/null
exit $status
"""


def guarded(command):
    """`command` under a guard that ends it with its parent; Windows has no such shell and runs it plainly."""
    return list(command) if child.WINDOWS else ["/bin/sh", "-c", GUARD, "sits-guard", *command]


def run(command, environment, feedback, on_line, tick=None, cwd=None):
    """Run `command` to its end and return its exit status.

    Args:
        command: list of strings.
        environment: its variables.
        feedback: asked for cancellation every 0.05 s.
        on_line: called with each line of its output.
        tick: called about twice a second, for progress while the program is silent.
        cwd: its working directory.

    Raises:
        QgsProcessingException: cancelled (the process group is killed), or the program can't be started.
    """
    try:
        process = child.start(guarded(command), environment, cwd)
    except OSError as error:
        text = tr("{program} can't be started: {reason}.")
        raise QgsProcessingException(
            text.format(program=command[0], reason=error.strerror or error)
        ) from error
    lines = Lines(process)
    ticked = time.monotonic()
    ended = None
    try:
        while True:
            item = lines.get(POLL)
            while item is not None:
                on_line(item[1])
                item = lines.get(0)
            serve_events()
            now = time.monotonic()
            if feedback.isCanceled():
                raise QgsProcessingException(
                    tr("Cancelled. Run 'Set up engine' again to go on; what was downloaded is kept.")
                )
            if tick is not None and now - ticked > 0.5:
                ticked = now
                tick()
            if process.poll() is not None:
                ended = ended or now
                if lines.finished or now - ended > 1:
                    return process.returncode
    finally:
        child.kill_group(process)
        lines.stop()
        process.stdin.close()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            feedback.pushWarning(tr("Process {pid} does not end.").format(pid=process.pid))


def output(command, environment, timeout=30):
    """Standard output of a quick program, or None if it is missing, fails or hangs."""
    try:
        done = subprocess.run(  # nosec B603 - a list, no shell
            [str(part) for part in command],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=timeout,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", errors="replace").strip()
