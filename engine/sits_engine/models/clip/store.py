"""The cache of vectors and file hashes on disk: SQLite files in home()/cache/clip.

Safe when several processes write (SQLite's locks), bounded, and a pure cache: a broken file is thrown away,
and where nothing can be written, things are computed again.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from sits_engine.home import home

log = logging.getLogger(__name__)

#: Vectors that are kept for one model; the oldest go first. A vector of 512 numbers takes about 2.2 kB.
MAX_VECTORS = 2_000_000
MAX_FILES = 4_000_000
#: Seconds to wait for another process that writes.
PATIENCE = 20.0
#: Keys asked for at once (SQLite's limit of variables is 999 in old builds).
ASKED = 500

_VECTORS = (
    "CREATE TABLE IF NOT EXISTS vectors (id INTEGER PRIMARY KEY, "
    "key TEXT UNIQUE NOT NULL, value BLOB NOT NULL)"
)
_FILES = (
    "CREATE TABLE IF NOT EXISTS files (id INTEGER PRIMARY KEY, path TEXT UNIQUE NOT NULL, "
    "size INTEGER NOT NULL, changed INTEGER NOT NULL, sha256 TEXT NOT NULL)"
)


def folder() -> Path:
    """Where the cache lies; deleting it costs nothing but time."""
    return home() / "cache" / "clip"


@contextlib.contextmanager
def _opened(path: Path, table: str) -> Iterator[sqlite3.Connection]:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=PATIENCE)
    try:
        with connection:  # commits, or rolls back
            connection.execute(table)
            yield connection
    finally:
        connection.close()


def _broken(path: Path, error: Exception) -> None:
    """Forget a file that isn't a database any more; keep one that is only busy or can't be written."""
    log.warning("cache %s: %s", path, error)
    if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
        for name in (path.name, path.name + "-journal"):
            with contextlib.suppress(OSError):
                path.with_name(name).unlink()


def read_vectors(file: str, keys: Iterable[str]) -> dict[str, bytes]:
    """Those of the vectors that are there, by key."""
    path, wanted = folder() / file, list(dict.fromkeys(keys))
    found: dict[str, bytes] = {}
    if not path.exists():
        return {}
    try:
        with _opened(path, _VECTORS) as connection:
            for start in range(0, len(wanted), ASKED):
                some = wanted[start : start + ASKED]
                marks = ",".join("?" * len(some))
                found.update(
                    connection.execute(f"SELECT key, value FROM vectors WHERE key IN ({marks})", some)  # nosec B608
                )
    except (sqlite3.Error, OSError) as error:
        _broken(path, error)
        return {}
    return found


def write_vectors(file: str, vectors: Mapping[str, bytes]) -> None:
    """Keep vectors by key."""
    if not vectors:
        return
    path = folder() / file
    for _ in range(2):  # the second time into a new file, if the first was broken
        try:
            with _opened(path, _VECTORS) as connection:
                connection.executemany(
                    "INSERT INTO vectors (key, value) VALUES (?, ?) "
                    "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                    list(vectors.items()),
                )
                (last,) = connection.execute("SELECT MAX(id) FROM vectors").fetchone()
                connection.execute("DELETE FROM vectors WHERE id <= ?", (last - MAX_VECTORS,))
            return
        except (sqlite3.Error, OSError) as error:
            _broken(path, error)


def file_hash(path: Path) -> str:
    """SHA-256 (hex) of a file's content, remembered by path, size and time of the last change.

    Raises:
        OSError: it can't be read.
    """
    return file_hashes([path])[0]


def file_hashes(paths: Iterable[Path]) -> list[str]:
    """`file_hash` of each."""
    known_in = folder() / "files.sqlite"
    stats = [(str(path.resolve()), path.stat()) for path in paths]
    marks = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
    known: dict[str, tuple[int, int, str]] = {}
    try:
        if known_in.exists():
            with _opened(known_in, _FILES) as connection:
                for name, _, _ in marks:
                    row = connection.execute(
                        "SELECT size, changed, sha256 FROM files WHERE path = ?", (name,)
                    ).fetchone()
                    if row is not None:
                        known[name] = row
    except (sqlite3.Error, OSError) as error:
        _broken(known_in, error)
        known = {}
    hashes, new = [], []
    for name, size, changed in marks:
        row = known.get(name)
        if row is None or row[:2] != (size, changed):
            with open(name, "rb") as content:
                row = (size, changed, hashlib.file_digest(content, "sha256").hexdigest())
            known[name] = row
            new.append((name, *row))
        hashes.append(str(row[2]))
    if new:
        try:
            with _opened(known_in, _FILES) as connection:
                connection.executemany(
                    "INSERT INTO files (path, size, changed, sha256) VALUES (?, ?, ?, ?) "
                    "ON CONFLICT (path) DO UPDATE SET "
                    "size = excluded.size, changed = excluded.changed, sha256 = excluded.sha256",
                    new,
                )
                (last,) = connection.execute("SELECT MAX(id) FROM files").fetchone()
                connection.execute("DELETE FROM files WHERE id <= ?", (last - MAX_FILES,))
        except (sqlite3.Error, OSError) as error:
            _broken(known_in, error)
    return hashes
