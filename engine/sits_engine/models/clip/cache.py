"""Vectors of photos and texts, computed once and remembered by content, whatever a file is called."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sits_engine.models.clip import store
from sits_engine.models.clip.encoder import Floats, Images, collect, no_progress

#: Photos that are hashed and looked up at once.
CHUNK = 256


class Encoder(Protocol):
    """What the cache needs of a `ClipEncoder`."""

    fingerprint: str
    dim: int

    @property
    def precision(self) -> str: ...  # noqa: D102

    @property
    def photo_key(self) -> str: ...  # noqa: D102

    def texts(self, texts: Sequence[str]) -> Floats: ...  # noqa: D102

    def stream(self, paths: Sequence[Path]) -> Iterator[tuple[list[int], Floats, list[str]]]: ...  # noqa: D102


def text_vectors(encoder: Encoder, texts: Sequence[str]) -> Floats:
    """Vectors (N, dim) float32 of unit length; needs neither tokenizer nor weights where all are known.

    Raises:
        InputError: see `ClipEncoder.texts`.
    """
    keys = [_key("text", encoder.precision, hashlib.sha256(text.encode()).hexdigest()) for text in texts]
    known = _read(encoder, keys)
    new = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
    if new:
        computed = dict(zip(new, encoder.texts(list(new.values())), strict=True))
        _write(encoder, computed)
        known.update(computed)
    return np.stack([known[key] for key in keys]) if keys else np.empty((0, encoder.dim), np.float32)


def photo_vectors(
    encoder: Encoder, paths: Sequence[Path], progress: Callable[[float], None] = no_progress
) -> Images:
    """As `ClipEncoder.images`; equal photos are computed once, and a run that is stopped loses nothing.

    Raises:
        InputError: there are paths, and none of them is a photo that can be read.
    """
    paths = [Path(path) for path in paths]
    return collect(paths, _stream(encoder, paths), encoder.dim, progress)


def _stream(encoder: Encoder, paths: Sequence[Path]) -> Iterator[tuple[list[int], Floats, list[str]]]:
    """First what is known, chunk by chunk, then the rest as it is computed."""
    waiting: dict[str, list[int]] = {}
    for start in range(0, len(paths), CHUNK):
        places = range(start, min(start + CHUNK, len(paths)))
        keys, problems = {}, []
        for place, found in zip(places, _hashes([paths[place] for place in places]), strict=True):
            if isinstance(found, OSError):
                reason = "not found" if isinstance(found, FileNotFoundError) else found.strerror or str(found)
                problems.append(f"{paths[place]}: {reason}.")
            else:
                keys[place] = _key("photo", encoder.photo_key, found)
        known = _read(encoder, keys.values())
        for place, key in keys.items():
            if key not in known:
                waiting.setdefault(key, []).append(place)
        there = [place for place, key in keys.items() if key in known]
        yield there, _stack([known[keys[place]] for place in there], encoder.dim), problems
    if not waiting:
        return
    order = list(waiting)
    for chosen, vectors, problems in encoder.stream([paths[waiting[key][0]] for key in order]):
        _write(encoder, {order[one]: vector for one, vector in zip(chosen, vectors, strict=True)})
        copies = [(place, row) for row, one in enumerate(chosen) for place in waiting[order[one]]]
        yield [place for place, _ in copies], vectors[[row for _, row in copies]], problems


def _hashes(paths: Sequence[Path]) -> list[str | OSError]:
    try:
        return list(store.file_hashes(paths))
    except OSError:  # at least one is missing or can't be read: find out which
        found: list[str | OSError] = []
        for path in paths:
            try:
                found.append(store.file_hash(path))
            except OSError as error:
                found.append(error)
        return found


def _key(kind: str, conditions: str, content: str) -> str:
    return hashlib.sha256(f"{kind} {conditions} {content}".encode()).hexdigest()


def _read(encoder: Encoder, keys: Iterable[str]) -> dict[str, Floats]:
    found: dict[str, Floats] = {}
    for key, value in store.read_vectors(_file(encoder), keys).items():
        if len(value) != 4 * encoder.dim:
            continue  # a damaged row is computed again
        vector: npt.NDArray[np.float32] = np.frombuffer(value, "<f4")
        if abs(float(vector @ vector) - 1) < 1e-3:
            found[key] = vector
    return found


def _write(encoder: Encoder, vectors: dict[str, Floats]) -> None:
    rows = {key: np.asarray(vector, "<f4").tobytes() for key, vector in vectors.items()}
    store.write_vectors(_file(encoder), rows)


def _file(encoder: Encoder) -> str:
    return f"vectors-{encoder.fingerprint[:32]}.sqlite"


def _stack(vectors: Sequence[Floats], dim: int) -> Floats:
    return np.stack(vectors) if len(vectors) else np.empty((0, dim), np.float32)
