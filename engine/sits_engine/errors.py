"""Every error that the engine reports to a person."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Any

from sits_engine.addresses import public

#: Codes of the protocol. A code is stable; the words around it are for people.
CODES = frozenset(
    {
        "INPUT_INVALID",
        "MODEL_INCOMPATIBLE",
        "DEVICE_UNAVAILABLE",
        "DEVICE_OOM",
        "HOST_OOM",
        "DISK_FULL",
        "OUTPUT_NOT_WRITABLE",
        "NETWORK",
        "CANCELLED",
        "INTERNAL",
    }
)


class EngineError(Exception):
    """An expected failure: what went wrong (the thing and the reason) and the way out.

    Args:
        code: one of `CODES`.
        message: one sentence that names the thing and the reason.
        advice: one sentence that says what to do.
        details: facts for the log and for tests, JSON-serialisable.
    """

    def __init__(self, code: str, message: str, advice: str = "", **details: Any) -> None:
        if code not in CODES:
            raise ValueError(f"unknown error code {code!r}")
        # Signed addresses and keys must not reach a screen or a log, whoever wrote the words.
        self.code = code
        self.message = public(message)
        self.advice = public(advice)
        self.details = {name: _public(value) for name, value in details.items()}
        super().__init__(f"{self.message} {self.advice}".strip())


def _public(value: Any) -> Any:
    """Texts in a detail without keys."""
    if isinstance(value, str):
        return public(value)
    if isinstance(value, dict):
        return {name: _public(one) for name, one in value.items()}
    return [_public(one) for one in value] if isinstance(value, list | tuple) else value


class Notice(UserWarning):
    """A sentence for the user from code that has no `JobContext`: `warnings.warn(..., Notice)`."""


class InputError(EngineError):
    """Something the user gave can't be used (code INPUT_INVALID)."""

    def __init__(self, message: str, advice: str = "", **details: Any) -> None:
        super().__init__("INPUT_INVALID", message, advice, **details)


class ModelError(EngineError):
    """A model file can't be used, or not with this series (code MODEL_INCOMPATIBLE)."""

    def __init__(self, message: str, advice: str = "", **details: Any) -> None:
        super().__init__("MODEL_INCOMPATIBLE", message, advice, **details)


class Cancelled(EngineError):
    """The user, a signal or the death of the parent asked the job to stop."""

    def __init__(
        self,
        reason: str = "Cancelled by the user.",
        advice: str = "Nothing half-written was kept; run it again when you like: "
        "it goes on from finished parts where it keeps them.",
    ) -> None:
        super().__init__("CANCELLED", reason, advice)


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error and those that led to it."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def says_full(error: BaseException) -> bool:
    """Whether an error itself says that the disk, or the user's share of it, is full."""
    said = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return said or any(
        words in str(error) for words in ("No space left on device", "free disk space available")
    )


def from_exception(error: BaseException) -> EngineError:
    """Turn any exception into the error that is shown: memory and disk get their codes and advice."""
    if isinstance(error, EngineError):
        return error
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, MemoryError):
        return EngineError(
            "HOST_OOM",
            "The computer ran out of memory.",
            "Close other programs, or use a smaller tile size or batch.",
            exception=text,
        )
    if type(error).__name__ == "OutOfMemoryError":
        return EngineError(
            "DEVICE_OOM",
            "The graphics card ran out of memory.",
            "Lower BATCH_SIZE, choose the CPU as device, or close other programs that use the card.",
            exception=text,
        )
    if says_full(error):
        return EngineError(
            "DISK_FULL",
            "The disk is full.",
            "Free some space, or choose an output folder on another disk; then run it again.",
            exception=text,
        )
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        name = error.filename or "the output"
        return EngineError(
            "OUTPUT_NOT_WRITABLE",
            f"No permission to write or read {name}.",
            "Choose another folder, or change its permissions.",
            exception=text,
        )
    return EngineError(
        "INTERNAL",
        f"Unexpected error: {text}",
        "This is a defect of SITS for QGIS: please send the log file with a bug report.",
        exception=text,
    )
