"""Read a child's output in threads, so that nothing that it does can block QGIS."""

import queue
import threading

#: Longest line that is read in one piece (bytes); longer ones arrive in parts.
LONGEST = 16 << 20
#: Lines that may wait; a child that floods is slowed down by its full pipe instead of filling memory.
WAITING = 5000


class Lines:
    """Lines of a child's stdout and stderr as (source, text) pairs; source is 'out' or 'err'."""

    def __init__(self, process):
        self._queue = queue.Queue(maxsize=WAITING)
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=self._read, args=(pipe, source), daemon=True, name=f"sits-{source}")
            for pipe, source in ((process.stdout, "out"), (process.stderr, "err"))
        ]
        for thread in self._threads:
            thread.start()

    def _read(self, pipe, source):
        try:
            while not self._stopped.is_set():
                line = pipe.readline(LONGEST)
                if not line:
                    return
                text = line.decode("utf-8", errors="replace").rstrip("\r\n")
                while not self._stopped.is_set():
                    try:
                        self._queue.put((source, text), timeout=0.2)
                        break
                    except queue.Full:
                        continue
        except (OSError, ValueError):
            # The pipe was closed under us: the run is over.
            return
        finally:
            pipe.close()

    def get(self, timeout):
        """Next (source, text), or None after `timeout` seconds without one."""
        try:
            return self._queue.get(timeout=timeout) if timeout > 0 else self._queue.get_nowait()
        except queue.Empty:
            return None

    @property
    def finished(self):
        """True once both streams have ended and every line was taken."""
        return self._queue.empty() and not any(thread.is_alive() for thread in self._threads)

    def stop(self):
        """Let the reading threads end; what they have not read is lost."""
        self._stopped.set()


class Sender:
    """Writes lines to a child's stdin from a thread: a child that doesn't read can't block QGIS."""

    def __init__(self, process):
        self._queue = queue.Queue()
        self._pipe = process.stdin
        threading.Thread(target=self._write, daemon=True, name="sits-in").start()

    def _write(self):
        while True:
            data = self._queue.get()
            try:
                if data is None:
                    self._pipe.close()
                    return
                self._pipe.write(data)
                self._pipe.flush()
            except (OSError, ValueError):
                # The child is gone; its exit tells the rest.
                return

    def send(self, text):
        """Send one line."""
        self._queue.put((text + "\n").encode("utf-8"))

    def close(self):
        """End of input: tells the engine that nobody listens any more."""
        self._queue.put(None)
