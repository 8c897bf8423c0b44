"""Outputs appear complete or not at all: written to a temporary neighbour, then renamed."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from sits_engine.errors import EngineError, causes, says_full

#: A disk counts as full with less than this free (bytes): writers stop before the last one is used, GDAL when
#: less than what it writes at once is left.
SCRAPS = 2**20
#: And with less than this free (bytes) after a writer failed that may have taken its files away already: GDAL
#: its overviews, SQLite what was not committed.
GIVEN_BACK = 2**26
#: Which errors those are; rasterio says SystemError where GDAL failed without a word.
_WRITERS = {
    "rasterio": ("RasterioIOError", "CPLE_AppDefinedError", "CPLE_FileIOError", "CPLE_OpenFailedError"),
    "pyogrio": ("DataSourceError", "DataLayerError", "FeatureError"),
    "sqlite3": ("OperationalError",),
    "builtins": ("SystemError",),
}
#: Before the number of the process in the names of unfinished files.
_PARTIAL = ".partial-"

#: Bytes of a name that its temporary neighbour keeps; names may have 255, and some characters take four.
NAME_BYTES = 80

#: What SQLite writes beside a file, added to its whole name: changes that were not yet moved into it.
SQLITE_SIDE_FILES = ("-wal", "-shm", "-journal")
#: What a GeoTIFF can't hold, and the virtual raster that one is copied from: added likewise.
SIDE_CAR, VIRTUAL = ".aux.xml", ".vrt"
#: All that may lie beside an unfinished file; GDAL's overviews as well.
BESIDE = (*SQLITE_SIDE_FILES, SIDE_CAR, VIRTUAL, ".ovr.tmp")

_lock = threading.Lock()
_unfinished: set[Path] = set()


def side_car(path: Path) -> Path:
    """Where GDAL keeps what a GeoTIFF can't hold."""
    return path.with_name(path.name + SIDE_CAR)


def check_writable(final: Path) -> None:
    """Raise OUTPUT_NOT_WRITABLE unless a file can be made beside `final`; makes missing folders."""
    folder = final.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".{_short(final.name)}.{os.getpid()}.probe"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        if says_full(error):
            raise  # a full disk has its own code and advice
        raise EngineError(
            "OUTPUT_NOT_WRITABLE",
            f"Can't write to {final}: {error.strerror or error}.",
            "Choose another folder, or change its permissions.",
            path=str(final),
        ) from error
    if final.is_dir():
        raise EngineError(
            "OUTPUT_NOT_WRITABLE", f"{final} is a folder, not a file.", "Choose a file name.", path=str(final)
        )


def _short(name: str) -> str:
    """The start of a name, cut between characters."""
    return os.fsencode(name)[:NAME_BYTES].decode(errors="ignore")


def partial(final: Path) -> Path:
    """Temporary neighbour of `final`, same suffix; removed by `discard_unfinished` unless published."""
    path = final.with_name(f".{_short(final.stem)}{_PARTIAL}{os.getpid()}{final.suffix}")
    with _lock:
        _unfinished.add(path)
    return path


def publish(pairs: Mapping[Path, Path]) -> None:
    """Rename each temporary file (key) to its final name (value), in order: put the main file last.

    What SQLite left beside a GeoPackage that is replaced goes with it: it would be replayed into the new one.
    """
    for temporary, final in pairs.items():
        if final.suffix.lower() == ".gpkg":
            for ending in SQLITE_SIDE_FILES:
                final.with_name(final.name + ending).unlink(missing_ok=True)
        os.replace(temporary, final)
        with _lock:
            _unfinished.discard(temporary)


@contextmanager
def naming_full_disk(
    folder: Path,
    advice: str = "Free some space, or choose a folder on another disk; then run it again.",
    given_back: float = GIVEN_BACK,
) -> Iterator[None]:
    """Turn errors of the block that come from a full disk into DISK_FULL.

    GDAL and SQLite hide the system's reason: on a full disk they speak of missing tables and bad offsets. So
    what they say while they write means a full disk where hardly anything is free on that of `folder`.

    Args:
        folder: of what is written.
        advice: the way out.
        given_back: bytes that GDAL or SQLite may have freed again when it failed.
    """
    try:
        yield
    except Exception as error:
        told = isinstance(error, EngineError) and error.code not in ("INTERNAL", "INPUT_INVALID")
        said = any(map(says_full, causes(error)))
        if told or not (said or shutil.disk_usage(folder).free < _suspicious(error, given_back)):
            raise
        words = "; ".join(f"{type(one).__name__}: {one}" for one in causes(error))
        message = f"The disk of {folder.absolute()} is full."
        raise EngineError("DISK_FULL", message, advice, exception=words) from error


def _suspicious(error: Exception, given_back: float) -> float:
    """With fewer bytes free an error means a full disk; 0 where no full disk can have led to it."""
    kind = type(error)
    if kind.__name__ in _WRITERS.get(kind.__module__.split(".")[0], ()):
        return max(given_back, GIVEN_BACK)
    read_back = isinstance(error, EngineError) and _PARTIAL in str(error)
    # NumPy says in words of its own that less was written than it asked for.
    short = isinstance(error, OSError) and error.errno is None
    return SCRAPS if read_back or short else 0


@contextmanager
def atomic(final: Path) -> Iterator[Path]:
    """Yield a temporary neighbour of `final`; rename it when the block ends well, else remove it."""
    check_writable(final)
    temporary = partial(final)
    try:
        with naming_full_disk(final.parent):
            yield temporary
        publish({temporary: final})
    except BaseException:
        discard(temporary)
        raise


def numbers_beside(report: Path) -> Path:
    """Where the numbers of a report go: its stem and '_numbers.json', which no other output is called."""
    return report.with_name(f"{report.stem}_numbers.json")


def discard(path: Path) -> None:
    """Remove an unfinished file or folder, if it is there, and what its writers left beside the file."""
    with _lock:
        _unfinished.discard(path)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        for ending in ("", *BESIDE):
            path.with_name(path.name + ending).unlink(missing_ok=True)


def discard_unfinished() -> None:
    """Remove whatever has not been published: called when the process must end at once."""
    with _lock:
        left = list(_unfinished)
    for path in left:
        discard(path)
