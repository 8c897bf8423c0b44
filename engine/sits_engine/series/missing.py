"""Images that can't be read: which are left out, where, and the words for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

from sits_engine.addresses import public
from sits_engine.errors import EngineError, InputError
from sits_engine.series.scenes import Scene
from sits_engine.series.types import Missing, Window

#: Windows in succession that a server fails to give before an image is left out of all that follow: each of
#: them costs minutes.
PATIENCE = 3
#: Images that are named one by one in the words at the end.
NAMED = 20
WAY_OUT = " UNREADABLE 'missing' leaves out what can't be read."


class MissingImages:
    """What couldn't be read of a series, and whether that is allowed; safe from several threads.

    It travels to other processes as an empty one; what they find comes back with the cubes (`Cube.missing`).

    Args:
        allowed: leave such images out instead of failing.
        notice: gets a sentence when an image is left out for the first time.
    """

    def __init__(self, allowed: bool = False, notice: Callable[[str], None] | None = None) -> None:
        self.allowed = allowed
        self._notice = notice
        self._lock = threading.Lock()
        self._found: dict[Missing, None] = {}
        self._failures: dict[str, int] = {}
        self._given_up: dict[str, str] = {}

    def __reduce__(self) -> tuple[type[MissingImages], tuple[bool]]:
        return MissingImages, (self.allowed,)

    def __bool__(self) -> bool:
        """Whether anything was left out so far."""
        return bool(self._found)

    def given_up(self, scene: Scene) -> str | None:
        """Why an image isn't tried any more, None if it is."""
        return self._given_up.get(scene.id)

    def seen(self, scene: Scene) -> None:
        """An image was read."""
        if scene.id in self._failures:
            with self._lock:
                self._failures.pop(scene.id, None)

    def left_out(self, scene: Scene, window: Window, error: EngineError) -> Missing:
        """Note that an image can't be read in a window.

        Raises:
            EngineError: it isn't allowed, or `error` is about something else than an image.
        """
        details = error.details
        if "reason" not in details or "file" not in details:
            raise error
        if not self.allowed:
            raise _named(scene, error) from error
        with self._lock:
            failures = self._failures[scene.id] = self._failures.get(scene.id, 0) + 1
            # A damaged local file costs nothing to try again, and other parts of it may be whole.
            if "tries" in details and (details.get("lasting") or failures >= PATIENCE):
                self._given_up[scene.id] = str(details["reason"])
        return self.add(_missing(scene, window, str(details["file"]), str(details["reason"])))

    def skipped(self, scene: Scene, window: Window) -> Missing:
        """Note that an image that was given up is missing in another window."""
        return self.add(_missing(scene, window, "", self._given_up[scene.id]))

    def add(self, *found: Missing) -> Missing:
        """Take what other processes found; the last of them comes back."""
        for one in found:
            with self._lock:
                first = all(one.item != other.item for other in self._found)
                self._found[one] = None
            if first and self._notice is not None:
                self._notice(f"{_words(one)} It is left out here.")
        return found[-1]

    def sentences(self) -> list[str]:
        """What was left out and how much, a sentence an image."""
        with self._lock:
            found = list(self._found)
        return sentences(found)


def sentences(found: Iterable[Missing]) -> list[str]:
    """What was left out and how much, a sentence an image, sorted by date."""
    by_item: dict[tuple[str, str], list[Missing]] = {}
    for one in dict.fromkeys(found):
        by_item.setdefault((one.date, one.item), []).append(one)
    said = []
    for _, parts in sorted(by_item.items())[:NAMED]:
        pixels = sum(part.window.height * part.window.width for part in parts)
        windows = "one window" if len(parts) == 1 else f"{len(parts)} windows"
        said.append(f"{_words(parts[0])} It was left out of {windows} ({pixels} pixels).")
    if len(by_item) > NAMED:
        said.append(f"{len(by_item) - NAMED} more images were left out; the log names them.")
    return said


def none_readable(missing: list[Missing]) -> EngineError:
    """The error for a window of which no image can be read: to go on would leave a hole."""
    return EngineError(
        "NETWORK" if missing[0].file and "://" in missing[0].file else "INPUT_INVALID",
        f"None of {len(missing)} images of a place can be read. {_words(missing[0])}",
        "Check the connection or the disk, and run it again: what is finished is kept where a job keeps it.",
    )


def _missing(scene: Scene, window: Window, file: str, reason: str) -> Missing:
    return Missing(scene.date.isoformat(), scene.id, public(file), reason, window)


def _words(one: Missing) -> str:
    where = f", {one.file}" if one.file else ""
    return f"Image {one.item} of {one.date} can't be read ({one.reason}{where})."


def _named(scene: Scene, error: EngineError) -> EngineError:
    """`error` with date, item and bands of the image."""
    file = error.details["file"]
    bands = [band.name for band in scene.bands if public(band.href) == file]
    what = f"{', '.join(bands[:4])}{' ...' if len(bands) > 4 else ''} of {scene.id} ({scene.date})"
    details: dict[str, Any] = {**error.details, "item": scene.id, "date": scene.date.isoformat()}
    message, advice = f"{error.message} It holds {what}.", error.advice + WAY_OUT
    if isinstance(error, InputError):
        return InputError(message, advice, **details)
    return EngineError(error.code, message, advice, **details)
