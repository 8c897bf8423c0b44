"""A photo index as a folder: vectors (memory-mapped), table and facts; written complete or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sits_engine.errors import EngineError, InputError
from sits_engine.outputs import check_writable, discard, naming_full_disk, partial, publish
from sits_engine.retrieval.index import PhotoIndex, PhotoTable

FACTS, TABLE, VECTORS = "index.json", "photos.parquet", "vectors.faiss"
FORMAT = "sits-photo-index"
VERSION = 1
#: Of the vectors, which may be gigabytes, so many pieces of so many bytes are checked on opening.
PIECES, PIECE = 64, 4096


def is_index(folder: Path) -> bool:
    """True where a folder holds a photo index (it may still be damaged)."""
    return (folder / FACTS).is_file()


def check_folder(folder: Path) -> None:
    """Before any work: an index can be written to, or replaced in, this folder.

    Raises:
        InputError: it holds other things. EngineError: OUTPUT_NOT_WRITABLE.
    """
    if folder.is_file():
        raise InputError(f"{folder} is a file; a photo index is a folder.", "Choose a folder for INDEX.")
    if folder.is_dir() and not is_index(folder) and any(folder.iterdir()):
        raise InputError(
            f"The folder {folder} holds other files and no photo index.",
            "Choose an empty or new folder for INDEX: the index takes all of it.",
        )
    check_writable(folder.with_name(folder.name + ".probe"))


def save_index(index: PhotoIndex, folder: Path) -> None:
    """Write `index` to `folder`, in place of an index that is there.

    Close what was opened from there first: some systems don't replace files in use.

    Raises:
        InputError, EngineError: as `check_folder`; DISK_FULL.
    """
    check_folder(folder)
    temporary = partial(folder)
    try:
        with naming_full_disk(folder.parent):
            temporary.mkdir()
            faiss.write_index(index.vectors, str(temporary / VECTORS))
            _write_table(index.table, temporary / TABLE)
            facts = {
                "format": FORMAT,
                "version": VERSION,
                "kind": index.kind,
                "photos": len(index),
                "dim": index.dim,
                "clip": index.clip,
                "skipped": index.skipped,
                "marks": {name: _mark(temporary / name) for name in (VECTORS, TABLE)},
            }
            text = json.dumps(facts, indent=1, ensure_ascii=False) + "\n"
            (temporary / FACTS).write_text(text, encoding="utf-8")
        old = partial(folder.with_name(folder.name + ".old"))
        if folder.exists():
            os.replace(folder, old)
        try:
            publish({temporary: folder})
        except OSError:
            if old.exists():
                os.replace(old, folder)
            raise
        discard(old)
    except BaseException:
        discard(temporary)
        raise


def open_index(folder: Path) -> PhotoIndex:
    """The index of a folder; the vectors stay on the disk and are read when they are searched.

    Raises:
        InputError: no index, one of another format or version, or a damaged one.
    """
    path = folder / FACTS
    if not path.is_file():
        raise InputError(
            f"{folder} holds no photo index ({FACTS} is missing).",
            "Choose the folder of an index that 'Retrieve photos' made, or give PHOTOS to make one there.",
        )
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        stated = facts["format"], int(facts["version"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, f"{FACTS} can't be read ({error})") from error
    if stated[0] != FORMAT:
        raise InputError(f"{path} was written by another program.", "Choose the folder of a photo index.")
    if stated[1] > VERSION:
        raise InputError(
            f"The photo index {folder} has version {stated[1]}; this program reads up to {VERSION}.",
            "Update SITS for QGIS, or make the index again in another folder.",
        )
    try:
        for name in (TABLE, VECTORS):
            if _mark(folder / name) != facts["marks"][name]:
                raise _damaged(folder, f"{name} is not the file that was written")
        table = _read_table(folder / TABLE)
        vectors = faiss.read_index(str(folder / VECTORS), faiss.IO_FLAG_MMAP_IFC)
        index = PhotoIndex(vectors, table, dict(facts["clip"]), facts["kind"], dict(facts["skipped"]))
        sizes = {index.vectors.ntotal, len(table), facts["photos"]}
    except EngineError:
        raise
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise _damaged(folder, str(error).splitlines()[0]) from error
    if len(sizes) > 1 or index.dim != facts["dim"]:
        raise _damaged(folder, "its table and its vectors don't belong together")
    return index


def check_clip(index: PhotoIndex, clip: dict[str, str], folder: Path) -> None:
    """Raise unless the index was made with this CLIP model.

    Raises:
        InputError: names both.
    """
    if index.clip.get("fingerprint") != clip["fingerprint"]:
        raise InputError(
            f"The photo index {folder} was made with the CLIP model {_named(index.clip)}; this run uses "
            f"{_named(clip)}. Their vectors can't be compared.",
            "Choose another folder for INDEX, or the CLIP model that the index was made with.",
        )


def _named(clip: dict[str, str]) -> str:
    return f"{clip.get('name') or 'without a name'} ({str(clip.get('fingerprint'))[:8]})"


def _damaged(folder: Path, why: str) -> InputError:
    return InputError(
        f"The photo index {folder} is damaged: {why}.",
        "Delete the folder and run with PHOTOS again: vectors that were computed once come from the cache.",
    )


def _mark(path: Path) -> list[Any]:
    """Size and a digest of a file: of all of a small one, of pieces all over a large one."""
    size = path.stat().st_size
    digest = hashlib.sha256()
    with path.open("rb") as file:
        if size <= 2 * PIECES * PIECE:
            digest.update(file.read())
        else:
            for start in np.linspace(0, size - PIECE, PIECES).astype(np.int64).tolist():
                file.seek(start)
                digest.update(file.read(PIECE))
    return [size, digest.hexdigest()]


_TEXTS = ("paths", "ids", "directions", "hashes")


def _write_table(table: PhotoTable, path: Path) -> None:
    columns: dict[str, Any] = {name: pa.array(getattr(table, name).tolist(), pa.string()) for name in _TEXTS}
    columns |= {name: pa.array(getattr(table, name)) for name in ("taken", "sizes", "changed")}
    columns |= {"lon": pa.array(table.xy[:, 0]), "lat": pa.array(table.xy[:, 1])}
    pq.write_table(pa.table(columns), path, compression="zstd")


def _read_table(path: Path) -> PhotoTable:
    found = pq.read_table(path)
    column = {name: found.column(name).to_numpy() for name in found.column_names}
    return PhotoTable(
        **{name: np.asarray(column[name], dtype=object) for name in _TEXTS},
        taken=column["taken"].astype(np.int32),
        sizes=column["sizes"].astype(np.int64),
        changed=column["changed"].astype(np.int64),
        xy=np.column_stack([column["lon"], column["lat"]]).astype(np.float64),
    )
