"""Words between processes that wait for each other's numbers: calls, errors and signs of life.

A store of short texts, kept by torchrun or by process 0. A thread of its own reads it, since a process that
waits for a sum can't listen.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
import time
from collections.abc import Callable
from datetime import timedelta

from torch.distributed import TCPStore  # type: ignore[attr-defined]
from torch.distributed.distributed_c10d import PrefixStore, Store

from sits_engine import outputs
from sits_engine.context import JobContext
from sits_engine.errors import EngineError
from sits_engine.learning.processes import Lost, Place

#: Seconds that processes have to meet, after which they say whom they wait for, and after which a silent one
#: counts as lost.
MEETING, PATIENCE, SILENCE = 600, 10, 120
#: Seconds in which torchrun, which began before the processes, must answer.
ANSWER = 30
#: Seconds between two looks at the store; in which others give a sign of life, unless they were killed;
#: and left to a process that was asked to end.
LOOK, DOUBT, GRACE = 0.5, 3.0, 10.0
DONE = "DONE"
log = logging.getLogger("sits_engine")


class Lifeline:
    """The store, as one process sees it.

    Args:
        place: of this process.
        ctx: is cancelled when another process fails.
        meeting: seconds until somebody must answer.

    Raises:
        Lost: where all meet, nobody answers.
    """

    def __init__(self, place: Place, ctx: JobContext, meeting: float = MEETING) -> None:
        self.place, self._ctx, self._meeting = place, ctx, meeting
        late = threading.Timer(PATIENCE, self._say, [f"Waiting for {self._keeper}."])
        late.daemon = True
        late.start()
        try:
            self.store = self._connect(host=place.rank == 0 and not place.hosted)
        finally:
            late.cancel()
        self._closed, self._judged, self._broken = (threading.Event() for _ in range(3))
        self._asked: tuple[float, dict[int, bytes]] | None = None
        self._turned = time.monotonic()
        for task in (self._watch, self._guard):
            threading.Thread(target=task, name="processes", daemon=True).start()

    def meet(self) -> None:
        """Wait until all processes are here, and say after some seconds who isn't.

        Raises:
            Lost: somebody doesn't come.
            Cancelled: somebody can't, and has told why; or the job was asked to stop.
        """
        self.store.set(f"beat/{self.place.rank}", "0")
        self.store.set(f"here/{self.place.rank}", "yes")
        began, said = time.monotonic(), False
        missing = list(range(self.place.size))
        while missing := [rank for rank in missing if not self.store.check([f"here/{rank}"])]:
            self._ctx.check_cancelled()
            waited = time.monotonic() - began
            who = _named(missing)
            if waited > self._meeting:
                raise Lost(f"{who} did not come within {self._meeting:.0f} s")
            if waited > PATIENCE and not said:
                said = True
                self._say(f"Waiting for {who} (there are {self.place.size}, from 0).")
            time.sleep(0.1)

    def told(self, store: Store | None = None) -> EngineError | str | None:
        """What ended the run: an error, `DONE`, or None while it goes on."""
        store = store or self.store
        try:
            if not store.check(["ended"]):
                return None
            words = json.loads(store.get("ended"))
        except RuntimeError:
            return Lost(f"{self._keeper} doesn't answer any more")
        return DONE if words == DONE else EngineError(**words)

    def first_error(self, seconds: float) -> EngineError | None:
        """The error that ended the run, if one is told within some seconds: words travel slower than ends."""
        _until(lambda: isinstance(self.told(), EngineError), seconds)
        told = self.told()
        return told if isinstance(told, EngineError) else None

    def behind_break(self) -> EngineError | None:
        """After a broken connection: the error that ended the run, or who is gone without a word."""
        self._broken.set()
        return self.first_error(DOUBT + 4 * LOOK)

    def judge(self) -> None:
        """After a request to stop: wait until it is known whether another process was killed."""
        self._judged.wait(2 * DOUBT)

    def done(self) -> None:
        """Process 0 has all that it needs: the others may go. It waits, since it may keep the store."""
        with contextlib.suppress(RuntimeError):  # what was trained is there, whoever is gone
            if self.place.rank == 0:
                self.store.set("ended", json.dumps(DONE))
                self._wait_for_others(GRACE)

    def fail(self, error: EngineError) -> None:
        """Tell what ended this process, unless another was faster.

        torchrun stops all processes when one has ended, so process 0 must know first: it says what it was.
        """
        with contextlib.suppress(RuntimeError):
            self.store.compare_set("ended", "", _words(error))
            if self.place.rank:
                _until(lambda: self.store.check(["said"]), GRACE)
            else:
                self.store.set("said", "yes")
                self._wait_for_others(2 * LOOK)

    def close(self) -> None:
        """Stop listening."""
        self._closed.set()
        with contextlib.suppress(RuntimeError):
            self.store.set(f"left/{self.place.rank}", "yes")

    @property
    def _keeper(self) -> str:
        """Who keeps the store."""
        return f"{'torchrun' if self.place.hosted else 'process 0'} at {self.place.host}:{self.place.port}"

    def _say(self, text: str) -> None:
        """A line for people: of process 0, and of the first process of each other machine."""
        if self.place.rank == 0:
            self._ctx.info(text)
            return
        log.info(text)
        if self.place.local_rank == 0:
            os.write(2, f"{text}\n".encode())

    def _wait_for_others(self, seconds: float) -> None:
        _until(lambda: self.store.check([f"left/{rank}" for rank in range(1, self.place.size)]), seconds)

    def _connect(self, *, host: bool = False) -> Store:
        place = self.place
        try:
            store = TCPStore(
                place.host,
                place.port,
                is_master=host,
                timeout=timedelta(seconds=min(self._meeting, ANSWER if place.hosted else MEETING)),
                wait_for_workers=False,
            )
        except RuntimeError as error:
            raise Lost(f"nobody answers at {place.host}:{place.port}, where all meet") from error
        return PrefixStore(f"sits/{place.attempt}", store)

    def _watch(self) -> None:
        """Look for errors of others and for processes that fell silent, and say that this one lives."""
        store = self._connect()
        rank = self.place.rank
        others = [f"beat/{r}" for r in (range(1, self.place.size) if rank == 0 else [0])]
        heard = dict.fromkeys(others, (b"", time.monotonic()))
        beat = 0
        while not self._closed.wait(LOOK):
            beat += 1
            self._turned = time.monotonic()
            told = self.told(store)
            with contextlib.suppress(RuntimeError):
                store.set(f"beat/{rank}", str(beat))
                for key in others:
                    now = store.get(key) if store.check([key]) else b""
                    if now != heard[key][0]:
                        heard[key] = now, time.monotonic()
                    elif time.monotonic() - heard[key][1] > SILENCE:
                        told = told or self._lost(
                            store, f"process {key[5:]} gave no sign of life for {SILENCE} s"
                        )
                if (self._ctx.cancelled or self._broken.is_set()) and told is None:
                    told = self._gone(store)
            if isinstance(told, EngineError):
                self._judged.set()
                self._stop(told)
                return

    def _guard(self) -> None:
        """End a process that is cut off: `_watch` itself then waits a quarter of an hour for an answer."""
        while not self._closed.wait(LOOK):
            if time.monotonic() - self._turned > SILENCE:
                self._judged.set()
                self._stop(Lost(f"{self._keeper} gave no answer for {SILENCE} s"))
                return

    def _lost(self, store: Store, what: str) -> Lost:
        """What ended the run, told to all."""
        lost = Lost(what)
        store.compare_set("ended", "", _words(lost))
        return lost

    def _gone(self, store: Store) -> Lost | None:
        """After a request to stop or a broken connection: who was here and is gone without a word, if any.

        torchrun asks all to stop when one was killed, with the same signal that a user sends.
        """
        came = [rank for rank in range(self.place.size) if store.check([f"here/{rank}"])]
        now = {rank: store.get(f"beat/{rank}") for rank in came if rank != self.place.rank}
        if self._asked is None:
            self._asked = time.monotonic(), now
        since, before = self._asked
        quiet = [
            rank for rank, beat in before.items() if now[rank] == beat and not store.check([f"left/{rank}"])
        ]
        if quiet and time.monotonic() - since < DOUBT:
            return None
        lost = self._lost(store, f"{_named(quiet)} (killed, or out of memory?)") if quiet else None
        self._judged.set()
        return lost

    def _stop(self, error: EngineError) -> None:
        """Ask the job to end, and end the process where it can't since it waits for a sum."""
        self._ctx.cancel(error.message)
        if self._closed.wait(GRACE):
            return
        outputs.discard_unfinished()
        # what this process alone knows, another machine's process 0 can't say
        if self.place.rank == 0 or (isinstance(error, Lost) and self.place.local_rank == 0):
            os.write(2, f"Error ({error.code}): {error}\n".encode())
        os._exit(130 if error.code == "CANCELLED" else 1)


def _until(true: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.05)


def _words(error: EngineError) -> str:
    return json.dumps({"code": error.code, "message": error.message, "advice": error.advice})


def _named(ranks: list[int]) -> str:
    return f"process{'es' if len(ranks) > 1 else ''} {', '.join(map(str, ranks))}"
