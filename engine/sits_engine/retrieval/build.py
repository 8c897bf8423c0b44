"""An index for a set of photos: the one that is there where it fits, else a new one from cached vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sits_engine.models.clip.cache import photo_vectors
from sits_engine.models.clip.encoder import ClipEncoder
from sits_engine.models.clip.store import file_hashes
from sits_engine.retrieval.folder import check_clip, check_folder, is_index, open_index, save_index
from sits_engine.retrieval.index import PhotoIndex, PhotoTable, Search, day_number
from sits_engine.samples.photos import PhotoSet


class Encoder(Protocol):
    """What this module asks of a `models.clip.ClipEncoder`."""

    name: str
    fingerprint: str


@dataclass
class Prepared:
    """An index that is ready.

    Attributes:
        index: the photos.
        reused: it was there and nothing was computed.
        notes: sentences with counts.
        warnings: what the user must know: unreadable files.
    """

    index: PhotoIndex
    reused: bool = False
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def clip_facts(encoder: Encoder) -> dict[str, str]:
    """Name and fingerprint of a CLIP model, as an index states them."""
    return {"name": encoder.name, "fingerprint": encoder.fingerprint}


def existing_index(folder: Path, clip: dict[str, str]) -> Prepared:
    """The index of a folder as it is.

    Raises:
        InputError: none there, damaged, or made with another CLIP model.
    """
    index = open_index(folder)
    check_clip(index, clip, folder)
    return Prepared(index, reused=True)


def prepare_index(
    photos: PhotoSet,
    encoder: ClipEncoder,
    folder: Path | None,
    *,
    search: Search = "auto",
    progress: Callable[[float], None] = lambda share: None,
) -> Prepared:
    """An index of `photos`: that of `folder` if it was made of the same files, else a new one.

    'The same' is: paths, places, directions and dates agree, and no file changed its size, time and content.
    A photo of the index whose file is gone stays: its vector is still right. Paths are kept absolute: a later
    run, and QGIS, may work in another folder.

    Args:
        photos: every photo counts by itself.
        encoder: CLIP model.
        folder: where the index is kept; None: only in memory.
        search: see `PhotoIndex.build`.
        progress: gets 0..1; may raise to cancel.

    Raises:
        InputError: no photo can be read; the folder holds other files, or a damaged or foreign index.
    """
    clip = clip_facts(encoder)
    known: PhotoIndex | None = None
    if folder is not None:
        check_folder(folder)
        if is_index(folder):
            known = existing_index(folder, clip).index
    paths = _absolute(photos.paths)
    marks = np.array([file_mark(path) for path in paths], dtype=np.int64).reshape(-1, 2)
    if known is not None and _same(known, photos, paths, marks, search):
        progress(1.0)
        return Prepared(known, reused=True, notes=_skipped(known))
    del known  # closes its files, which are replaced below
    images = photo_vectors(encoder, paths, progress)
    rows = images.kept
    table = table_of(photos, rows, [paths[row] for row in rows], marks[rows])
    index = PhotoIndex.build(images.vectors, table, clip, search)
    left = np.setdiff1d(np.arange(len(paths)), rows)
    index.skipped = {str(paths[row]): marks[row].tolist() for row in left}
    if folder is not None:
        save_index(index, folder)
    return Prepared(index, warnings=list(images.problems), notes=_skipped(index))


def table_of(
    photos: PhotoSet,
    rows: npt.NDArray[np.integer],
    paths: Sequence[Path],
    marks: npt.NDArray[np.int64],
) -> PhotoTable:
    """What the index keeps of the photos `rows`; `paths` and `marks` (size, time) are theirs."""
    places = np.asarray(photos.place)[rows]
    return PhotoTable(
        paths=_texts([str(path) for path in paths]),
        ids=_texts([str(photos.ids[place]) for place in places]),
        directions=_texts([photos.directions[row] for row in rows]),
        taken=np.array([day_number(photos.taken[row]) for row in rows], dtype=np.int32),
        xy=np.asarray(photos.xy, dtype=np.float64)[places],
        hashes=_texts(file_hashes(paths)),
        sizes=marks[:, 0],
        changed=marks[:, 1],
    )


def file_mark(path: Path) -> tuple[int, int]:
    """(size, time of the last change in ns) of a file; (-1, -1) where it is gone."""
    try:
        found = path.stat()
    except OSError:
        return -1, -1
    return found.st_size, found.st_mtime_ns


def _absolute(paths: Sequence[Path]) -> list[Path]:
    """Absolute paths, the same however a folder was called; a photo that is a link keeps its name."""
    folders: dict[Path, Path] = {}
    for path in paths:
        if path.parent not in folders:
            folders[path.parent] = path.parent.resolve()
    return [folders[path.parent] / path.name for path in paths]


def _same(
    known: PhotoIndex,
    photos: PhotoSet,
    paths: Sequence[Path],
    marks: npt.NDArray[np.int64],
    search: Search,
) -> bool:
    """True where `known` was made of these photos."""
    table = known.table
    if search not in ("auto", known.kind):
        return False
    now = {str(path): row for row, path in enumerate(paths)}
    if len(now) != len(paths) or set(now) != {*table.paths, *known.skipped}:
        return False
    if any(tuple(mark) != tuple(marks[now[path]]) for path, mark in known.skipped.items()):
        return False
    rows = np.array([now[path] for path in table.paths], dtype=np.int64)
    there = marks[rows, 0] >= 0
    changed = there & ((marks[rows, 0] != table.sizes) | (marks[rows, 1] != table.changed))
    if changed.any():
        again = np.flatnonzero(changed)
        if file_hashes([paths[row] for row in rows[again]]) != table.hashes[again].tolist():
            return False
    places = np.asarray(photos.place)[rows]
    return (
        [str(photos.ids[place]) for place in places] == table.ids.tolist()
        and [photos.directions[row] for row in rows] == table.directions.tolist()
        and [day_number(photos.taken[row]) for row in rows] == table.taken.tolist()
        and bool(np.array_equal(np.asarray(photos.xy, dtype=np.float64)[places], table.xy))
    )


def _skipped(index: PhotoIndex) -> list[str]:
    count = len(index.skipped)
    return [f"{count} photos that can't be read are not in the index."] if count else []


def _texts(values: Sequence[str]) -> npt.NDArray[np.object_]:
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out
