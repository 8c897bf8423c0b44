"""Labelled windows of a time series: what dense segmentation is trained, validated and tested on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sits_engine.errors import InputError
from sits_engine.samples import window_store

#: All arrays have one entry a window.
PER_WINDOW = tuple(window_store.ARRAYS)


@dataclass
class WindowSet:
    """N windows of H x W pixels of the images; labels lie on a grid `scale` times finer.

    Attributes:
        bands: C canonical band names.
        values: (N, T, C, H, W) float32, physical units; 0 where not valid.
        valid: (N, T, H, W) bool, seen and clear. Padded dates are False everywhere.
        positions: (N, T) int32, days since 1 January of the season year, in order of time; series with fewer
            dates than T are padded at the end by repeating the last position.
        labels: (N, H * scale, W * scale) int16, index into `classes`, -1 unknown.
        parcels: (N, H * scale, W * scale) int32, number of the parcel, 0 where the class is unknown.
            Numbers are unique within a region; another region may use them again.
        mixed: (N, H * scale, W * scale) uint8: 0 at most one parcel claims the pixel, 1 several claim a part
            of it, 2 several claim all of it (parcels that lie over each other).
        scale: pixels of the labels along one pixel of the images: 1, 2 or 4.
        classes: names; label codes until `window_classes.with_classes` has been called.
        xy: (N, 2) float64, longitude and latitude of the centre; NaN where there is no place.
        region: (N,) int16, number of the region (series) that the window comes from.
        rows, cols: (N,) int32, upper left pixel in the grid of the images.
        covered: (N, H * scale, W * scale) float32, share of the pixel's area that parcels cover; None in the
            constructor stands for 1 where a label is known.
    """

    bands: tuple[str, ...]
    values: npt.NDArray[np.float32]
    valid: npt.NDArray[np.bool_]
    positions: npt.NDArray[np.int32]
    labels: npt.NDArray[np.int16]
    parcels: npt.NDArray[np.int32]
    mixed: npt.NDArray[np.uint8]
    scale: int
    classes: tuple[str, ...]
    xy: npt.NDArray[np.float64]
    region: npt.NDArray[np.int16]
    rows: npt.NDArray[np.int32]
    cols: npt.NDArray[np.int32]
    covered: npt.NDArray[np.float32] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.covered is None:
            self.covered = (self.labels >= 0).astype(np.float32)
        n, dates, _, height, width = self.values.shape
        fine = (n, height * self.scale, width * self.scale)
        shapes: dict[str, tuple[int, ...]] = {
            "values": (n, dates, len(self.bands), height, width),
            "valid": (n, dates, height, width),
            "positions": (n, dates),
            **dict.fromkeys(("labels", "parcels", "mixed", "covered"), fine),
            "xy": (n, 2),
            **dict.fromkeys(("region", "rows", "cols"), (n,)),
        }
        for name, expected in shapes.items():
            found = getattr(self, name).shape
            if found != expected:
                raise ValueError(f"{name} has shape {found}, expected {expected}")

    def __len__(self) -> int:
        return len(self.values)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a window in pixels of the images."""
        return self.values.shape[3], self.values.shape[4]

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """(K,) pixels of each class (on the grid of the labels); unknown ones are not counted."""
        return np.bincount(self.labels[self.labels >= 0], minlength=len(self.classes)).astype(np.int64)

    def presence(self) -> npt.NDArray[np.bool_]:
        """(N, K) bool: does the window hold a pixel of the class?"""
        here = np.zeros((len(self), len(self.classes) + 1), dtype=bool)
        flat = self.labels.reshape(len(self), -1)
        here[np.arange(len(self))[:, None], flat] = True  # -1 goes to the last column
        return here[:, :-1]

    def subset(self, index: npt.ArrayLike) -> WindowSet:
        """The windows of `index` (numbers, repeats allowed, or a boolean mask), in that order."""
        chosen = np.asarray(index)
        if chosen.dtype == np.bool_:
            chosen = np.flatnonzero(chosen)
        chosen = chosen.astype(np.int64)
        return WindowSet(
            bands=self.bands,
            scale=self.scale,
            classes=self.classes,
            **{name: getattr(self, name)[chosen] for name in PER_WINDOW},
        )

    @staticmethod
    def concatenate(parts: Sequence[WindowSet]) -> WindowSet:
        """One after the other; shorter series are padded at the end with dates that are not valid.

        Raises:
            ValueError: no part, or the parts differ in bands, classes, scale or window size.
        """
        if not parts:
            raise ValueError("there are no windows to join")
        first = parts[0]
        if len(parts) == 1:
            return first
        same = (first.bands, first.classes, first.scale, first.size)
        if any((p.bands, p.classes, p.scale, p.size) != same for p in parts):
            raise ValueError("windows of different bands, classes, scales or sizes can't be joined")
        dates = max(p.values.shape[1] for p in parts)
        n = sum(len(p) for p in parts)
        joined: dict[str, Any] = {}
        for name in PER_WINDOW:
            arrays = [getattr(p, name) for p in parts]
            if name not in ("values", "valid", "positions"):
                joined[name] = np.concatenate(arrays)
                continue
            # filled piece by piece: padding each part first would hold the largest array twice
            out = np.zeros((n, dates, *arrays[0].shape[2:]), dtype=arrays[0].dtype)
            at = 0
            for array in arrays:
                out[at : at + len(array), : array.shape[1]] = array
                if name == "positions" and array.shape[1] < dates:
                    out[at : at + len(array), array.shape[1] :] = array[:, -1:]
                at += len(array)
            joined[name] = out
        return WindowSet(bands=first.bands, scale=first.scale, classes=first.classes, **joined)

    def sharing_groups(self) -> npt.NDArray[np.int64]:
        """(N,) number of the group of windows that share pixels of the images with each other.

        Windows at the right and lower edge of an image are moved inside and lie over their neighbours; a
        split must keep such windows on one side, else it tests on pixels that it has trained on.
        """
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        height, width = self.size
        cells: dict[tuple[int, int, int], list[int]] = {}
        for i, (region, row, col) in enumerate(zip(self.region, self.rows, self.cols, strict=True)):
            cells.setdefault((int(region), int(row) // height, int(col) // width), []).append(i)
        pairs: list[tuple[int, int]] = []
        for (region, down, across), members in cells.items():
            near = [
                j
                for a in (down - 1, down, down + 1)
                for b in (across - 1, across, across + 1)
                for j in cells.get((region, a, b), ())
            ]
            for i in members:
                pairs += [
                    (i, j)
                    for j in near
                    if abs(int(self.rows[i]) - int(self.rows[j])) < height
                    and abs(int(self.cols[i]) - int(self.cols[j])) < width
                ]
        if not pairs:
            return np.empty(0, dtype=np.int64)
        one, other = np.array(pairs).T
        links = coo_array((np.ones(len(pairs)), (one, other)), shape=(len(self), len(self)))
        return np.asarray(connected_components(links, directed=False)[1], dtype=np.int64)

    def save(
        self,
        path: Path,
        *,
        fingerprint: str = "",
        extra: dict[str, Any] | None = None,
        progress: Callable[[float], None] = lambda fraction: None,
    ) -> None:
        """Write a Zarr group (version 3) that appears complete or not at all; an old one is replaced.

        Args:
            path: folder of the store, usually `*.zarr`.
            fingerprint: of the inputs; `window_store.STORE.facts` gives it back.
            extra: JSON-serialisable facts to keep beside the windows.
            progress: gets 0..1; may raise to cancel.

        Raises:
            EngineError: OUTPUT_NOT_WRITABLE, also where something else than such a store is there.
        """
        facts = {"bands": list(self.bands), "classes": list(self.classes), "scale": self.scale}
        arrays = {name: getattr(self, name) for name in PER_WINDOW}
        window_store.write(path, arrays, facts, fingerprint=fingerprint, extra=extra, progress=progress)

    @classmethod
    def load(cls, path: Path, index: npt.ArrayLike | None = None) -> WindowSet:
        """Read what `save` wrote.

        Args:
            path: folder of the store.
            index: numbers of the windows to read, None for all: a store may be larger than the memory.

        Raises:
            InputError: not there, not such a store, or damaged.
        """
        group = window_store.STORE.open(path)
        chosen = slice(None) if index is None else np.asarray(index, dtype=np.int64)
        try:
            return cls(
                bands=tuple(group.attrs["bands"]),
                classes=tuple(group.attrs["classes"]),
                scale=int(group.attrs["scale"]),
                **{name: np.asarray(group[name].oindex[chosen]) for name in PER_WINDOW},
            )
        except Exception as error:
            raise InputError(
                f"The windows in {path} are damaged: {error}.", "Delete the folder and write it again."
            ) from error
