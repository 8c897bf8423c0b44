"""One set-up at a time: a lock that the system releases when its holder dies."""

import json
import os
import sys
import time
from contextlib import contextmanager

from qgis.core import QgsProcessingException

from ..home import home
from ..i18n import tr
from ..process import serve_events


@contextmanager
def exclusive(feedback, poll=0.1):
    """Hold the lock of the home folder; wait, cancellable, while another set-up holds it.

    A lock of the operating system on an open file, not the file's existence: after a crash nothing stale
    is left. The file names the holder (process and time of start) for the message of those who wait.

    Raises:
        QgsProcessingException: cancelled while waiting, or the folder is not writable.
    """
    path = home() / "setup.lock"
    try:
        home().mkdir(parents=True, exist_ok=True)
        # Read and write without truncation: the file may be in use by its holder.
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        text = tr(
            "The folder {folder} can't be written to: {reason}. Change its permissions, or name another one "
            "in "
            "the environment variable SITS_QGIS_HOME."
        )
        raise QgsProcessingException(text.format(folder=home(), reason=error.strerror or error)) from error
    try:
        told = False
        while not _try_lock(handle):
            if not told:
                told = True
                text = tr("Another 'Set up engine' is at work ({holder}); waiting for it to end.")
                feedback.pushInfo(text.format(holder=_holder(path)))
            if feedback.isCanceled():
                raise QgsProcessingException(tr("Cancelled while waiting for another 'Set up engine'."))
            serve_events()
            time.sleep(poll)
        os.ftruncate(handle, 0)
        record = {"pid": os.getpid(), "started": time.strftime("%Y-%m-%d %H:%M:%S")}
        os.write(handle, json.dumps(record).encode("utf-8"))
        yield
    finally:
        # Closing releases the lock.
        os.close(handle)


def _holder(path):
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return tr("process {pid}, since {started}").format(**record)
    except (OSError, ValueError, KeyError, TypeError):
        return tr("unknown process")


if sys.platform == "win32":
    import msvcrt

    def _try_lock(handle):
        """Lock one byte far behind the content, which others may so still read."""
        try:
            os.lseek(handle, 1 << 20, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        os.lseek(handle, 0, os.SEEK_SET)
        return True

else:
    import fcntl

    def _try_lock(handle):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            # A file system without locks (some network drives): better on trust than not at all.
            return True
        return True
