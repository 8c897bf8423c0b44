"""Labelled pixel sets: what training, validation and parcel maps work on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sits_engine.errors import InputError
from sits_engine.outputs import discard, partial, publish
from sits_engine.samples.stores import StoreKind

STORE = StoreKind(
    format="sits-samples/1",
    refusal="is not a samples store",
    occupied="is not a samples store",
    folder="the samples store",
    advice="Give a folder that SITS for QGIS wrote, or delete it; it is made again when needed.",
)
#: Pixels of one chunk of `values` in the store: a few MiB, so that a subset need not read everything.
CHUNK_PIXELS = 4096


@dataclass
class PixelSets:
    """N parcels, points or labelled series, ragged in pixels: all pixels lie one after the other.

    Attributes:
        bands: C canonical band names.
        values: (P, T, C) float32, physical units; 0 where not valid. P = pixels of all sets together.
        valid: (P, T) bool, seen and clear. A date that a set doesn't have is False for all its pixels.
        offsets: (N + 1,) int64; set i owns `values[offsets[i]:offsets[i + 1]]`.
        positions: (N, T) int32, days since 1 January of the season year; regions with fewer dates than
            T are padded at the end by repeating the last position.
        labels: (N,) int64, index into `classes`, -1 unknown.
        classes: class names.
        ids: (N,) str.
        xy: (N, 2) float64, centroid as longitude, latitude; NaN where there is no place.
        region: (N,) int16, number of the region (series) that the set comes from.
        blocks: (N,) int64, spatial block, -1 without place.
    """

    bands: tuple[str, ...]
    values: npt.NDArray[np.float32]
    valid: npt.NDArray[np.bool_]
    offsets: npt.NDArray[np.int64]
    positions: npt.NDArray[np.int32]
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    ids: npt.NDArray[np.str_]
    xy: npt.NDArray[np.float64]
    region: npt.NDArray[np.int16]
    blocks: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        n, pixels = len(self), len(self.values)
        dates = self.values.shape[1]
        shapes = {
            "values": (self.values.shape, (pixels, dates, len(self.bands))),
            "valid": (self.valid.shape, (pixels, dates)),
            "positions": (self.positions.shape, (n, dates)),
            "labels": (self.labels.shape, (n,)),
            "ids": (self.ids.shape, (n,)),
            "xy": (self.xy.shape, (n, 2)),
            "region": (self.region.shape, (n,)),
            "blocks": (self.blocks.shape, (n,)),
        }
        for name, (found, expected) in shapes.items():
            if found != expected:
                raise ValueError(f"{name} has shape {found}, expected {expected}")
        if self.offsets[0] != 0 or self.offsets[-1] != pixels or (np.diff(self.offsets) < 0).any():
            raise ValueError("offsets must rise from 0 to the number of pixels")

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def n_pixels(self) -> npt.NDArray[np.int64]:
        """(N,) pixels of each set."""
        return np.diff(self.offsets)

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """(K,) sets of each class; unknown labels are not counted."""
        return np.bincount(self.labels[self.labels >= 0], minlength=len(self.classes)).astype(np.int64)

    def owner(self) -> npt.NDArray[np.int64]:
        """(P,) number of the set that each pixel belongs to."""
        return np.repeat(np.arange(len(self), dtype=np.int64), self.n_pixels)

    def pixel_index(self, index: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Rows of `values` of the sets `index`, one set after the other."""
        sizes = self.n_pixels[index]
        starts = np.repeat(self.offsets[index] - (np.cumsum(sizes) - sizes), sizes)
        return starts + np.arange(int(sizes.sum()), dtype=np.int64)

    def subset(self, index: npt.ArrayLike) -> PixelSets:
        """The sets of `index` (numbers, repeats allowed, or a boolean mask), in that order."""
        chosen = np.asarray(index)
        if chosen.dtype == np.bool_:
            chosen = np.flatnonzero(chosen)
        chosen = chosen.astype(np.int64)
        pixels = self.pixel_index(chosen)
        return PixelSets(
            bands=self.bands,
            values=self.values[pixels],
            valid=self.valid[pixels],
            offsets=offsets_of(self.n_pixels[chosen]),
            positions=self.positions[chosen],
            labels=self.labels[chosen],
            classes=self.classes,
            ids=self.ids[chosen],
            xy=self.xy[chosen],
            region=self.region[chosen],
            blocks=self.blocks[chosen],
        )

    def set_means(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """Mean over the valid pixels of each set: (N, T, C) float32, NaN where none, and (N, T) bool seen."""
        shape = (len(self), *self.values.shape[1:])
        sums = np.zeros(shape, dtype=np.float32)
        seen = np.zeros(shape[:2], dtype=np.int32)
        # reduceat needs sets with at least one pixel; the others stay unseen
        filled = np.flatnonzero(self.n_pixels > 0)
        if len(filled):
            sums[filled] = np.add.reduceat(self.values, self.offsets[filled], axis=0)
            seen[filled] = np.add.reduceat(self.valid, self.offsets[filled], axis=0, dtype=np.int32)
        means = np.full(shape, np.nan, dtype=np.float32)
        np.divide(sums, seen[..., None], out=means, where=seen[..., None] > 0, casting="unsafe")
        return means, seen > 0

    @staticmethod
    def concatenate(parts: Sequence[PixelSets]) -> PixelSets:
        """One after the other; shorter series are padded at the end with dates that are not valid.

        Raises:
            ValueError: the parts differ in bands or classes.
        """
        if len(parts) == 1:
            return parts[0]
        first = parts[0]
        if any(p.bands != first.bands or p.classes != first.classes for p in parts):
            raise ValueError("pixel sets of different bands or classes can't be joined")
        dates = max(p.values.shape[1] for p in parts)
        padded = [_padded(p, dates) for p in parts]
        return PixelSets(
            bands=first.bands,
            values=np.concatenate([p[0] for p in padded]),
            valid=np.concatenate([p[1] for p in padded]),
            offsets=offsets_of(np.concatenate([p.n_pixels for p in parts])),
            positions=np.concatenate([p[2] for p in padded]),
            labels=np.concatenate([p.labels for p in parts]),
            classes=first.classes,
            ids=np.concatenate([p.ids for p in parts]),
            xy=np.concatenate([p.xy for p in parts]),
            region=np.concatenate([p.region for p in parts]),
            blocks=np.concatenate([p.blocks for p in parts]),
        )

    def save(self, path: Path, *, fingerprint: str = "", extra: dict[str, Any] | None = None) -> None:
        """Write a Zarr group (version 3) that appears complete or not at all; an old one is replaced.

        Args:
            path: folder of the store, usually `*.zarr`.
            fingerprint: of the inputs; `STORE.facts` gives it back, so that a store is only
                reused for the same inputs.
            extra: JSON-serialisable facts to keep beside the samples.
        """
        import zarr

        STORE.check_target(path)
        temporary = partial(path)
        try:
            group = zarr.open_group(temporary, mode="w", zarr_format=3)
            chunk = max(1, min(CHUNK_PIXELS, len(self.values)))
            arrays: dict[str, tuple[npt.NDArray[Any], tuple[int, ...]]] = {
                "values": (self.values, (chunk, *(max(1, s) for s in self.values.shape[1:]))),
                "valid": (self.valid, (chunk, max(1, self.valid.shape[1]))),
                "ids": (_text_bytes(self.ids), ()),
            }
            for name in ("offsets", "positions", "labels", "xy", "region", "blocks"):
                arrays[name] = (getattr(self, name), ())
            for name, (array, chunks) in arrays.items():
                shape = chunks or tuple(max(1, s) for s in array.shape)
                group.create_array(name, data=array, chunks=shape)
            group.attrs.update(
                {
                    "format": STORE.format,
                    "bands": list(self.bands),
                    "classes": list(self.classes),
                    "fingerprint": fingerprint,
                    "extra": extra or {},
                }
            )
            if path.exists():
                discard(path)
            publish({temporary: path})
        except BaseException:
            discard(temporary)
            raise

    @classmethod
    def load(cls, path: Path) -> PixelSets:
        """Read what `save` wrote.

        Raises:
            InputError: not there, or not such a store.
        """
        group = STORE.open(path)
        try:
            return cls(
                bands=tuple(group.attrs["bands"]),
                classes=tuple(group.attrs["classes"]),
                ids=np.array(json.loads(bytes(group["ids"][:]).decode("utf-8")), dtype=np.str_).reshape(-1),
                **{
                    name: np.asarray(group[name][:])
                    for name in (
                        "values",
                        "valid",
                        "offsets",
                        "positions",
                        "labels",
                        "xy",
                        "region",
                        "blocks",
                    )
                },
            )
        except Exception as error:
            raise InputError(
                f"The samples store {path} is damaged: {error}.", "Delete it; it is made again when needed."
            ) from error


def offsets_of(sizes: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """(N + 1,) offsets of sets with these numbers of pixels."""
    return np.concatenate([[0], np.cumsum(np.asarray(sizes, dtype=np.int64))]).astype(np.int64)


def _text_bytes(texts: npt.NDArray[np.str_]) -> npt.NDArray[np.uint8]:
    # JSON in bytes: Zarr 3 has no stable specification of variable-length strings yet
    return np.frombuffer(json.dumps(texts.tolist(), ensure_ascii=False).encode("utf-8"), dtype=np.uint8)


def _padded(
    part: PixelSets, dates: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_], npt.NDArray[np.int32]]:
    missing = dates - part.values.shape[1]
    if not missing:
        return part.values, part.valid, part.positions
    return (
        np.pad(part.values, ((0, 0), (0, missing), (0, 0))),
        np.pad(part.valid, ((0, 0), (0, missing))),
        np.pad(part.positions, ((0, 0), (0, missing)), mode="edge"),
    )
