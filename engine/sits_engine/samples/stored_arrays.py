"""Arrays of windows that stay in their stores: a data set may be larger than the memory."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sits_engine.errors import InputError

#: Windows of an array that are kept: crops of one window are asked for one after the other.
KEPT = 4
#: Bytes that are read at once where windows are taken into the memory.
SLAB_BYTES = 64 * 2**20


class StoredArray:
    """N windows of one array, (N, T, ...), read from Zarr when they are asked for.

    It does what `learning.segmentation` does with the images of a `WindowSet`: `array[i]`, `array[i, ...]`,
    `array[index]` (another such array, nothing is read), iteration, `shape`, `dtype`, `len`. Several threads
    may read. Stores with fewer dates than T are padded with zeros at the end.

    Args:
        stores: Zarr arrays (n, t, ...), alike but for n and t.
        store: (N,) the store of each window.
        row: (N,) its place there.
        bands: for each store the places of the bands wanted (axis 2), or None: all, or there are none.

    Attributes:
        store, row, bands: as given.
    """

    def __init__(
        self,
        stores: Sequence[Any],
        store: npt.NDArray[np.integer],
        row: npt.NDArray[np.integer],
        bands: Sequence[Sequence[int] | None] | None = None,
    ) -> None:
        self._stores, self.store, self.row = list(stores), store, row
        self.bands = list(bands) if bands is not None else [None] * len(self._stores)
        self.dtype: np.dtype[Any] = np.dtype(self._stores[0].dtype)
        first, chosen = self._stores[0], self.bands[0]
        inner = first.shape[2:] if chosen is None else (len(chosen), *first.shape[3:])
        self.shape: tuple[int, ...] = (len(row), max(s.shape[1] for s in self._stores), *inner)
        self._kept: OrderedDict[int, npt.NDArray[Any]] = OrderedDict()
        self._lock = threading.Lock()

    @classmethod
    def at(
        cls,
        places: Sequence[str],
        store: npt.NDArray[np.integer],
        row: npt.NDArray[np.integer],
        bands: Sequence[Sequence[int] | None],
    ) -> StoredArray:
        """The array whose stores lie at these places; see `places`.

        Raises:
            InputError: one isn't there.
        """
        import zarr

        try:
            stores = [zarr.open_array(place, mode="r") for place in places]
        except Exception as error:  # each kind of store has errors of its own
            raise InputError(f"{', '.join(places)} can't be read: {error}.", "Copy the data set.") from error
        return cls(stores, store, row, bands)

    @property
    def places(self) -> list[str]:
        """Folders of the stores."""
        return [str(Path(one.store.root).absolute() / one.path) for one in self._stores]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes that it would fill in the memory."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self.row)

    def __iter__(self) -> Iterator[npt.NDArray[Any]]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key: Any) -> Any:
        """A window (a number, or a tuple that begins with one), or the windows of an index."""
        if isinstance(key, tuple):
            return self[key[0]][key[1:]]
        if isinstance(key, (int, np.integer)):
            return self._window(int(key))
        index = np.asarray(key)
        return StoredArray(self._stores, self.store[index], self.row[index], self.bands)

    def read(self, progress: Callable[[float], None] = lambda share: None) -> npt.NDArray[Any]:
        """All of it as an array; neighbours in a store are read together.

        Args:
            progress: gets 0..1; may raise to cancel.

        Raises:
            InputError: a file of a store is damaged; so do the other ways to read.
        """
        out = np.zeros(self.shape, self.dtype)
        step = max(1, SLAB_BYTES // max(1, self.nbytes // max(1, len(self))))
        for start in range(0, len(self), step):
            for number, stored in enumerate(self._stores):
                here = start + np.flatnonzero(self.store[start : start + step] == number)
                if len(here):
                    part = _rows(stored, self.row[here])
                    bands = self.bands[number]
                    out[here, : part.shape[1]] = part if bands is None else part[:, :, list(bands)]
            progress(min(1.0, (start + step) / max(1, len(self))))
        return out

    def _window(self, i: int) -> npt.NDArray[Any]:
        """One window; not to be written to, for it may be given again."""
        i = i + len(self) if i < 0 else i
        with self._lock:
            if i in self._kept:
                self._kept.move_to_end(i)
                return self._kept[i]
        number = int(self.store[i])
        part = _read(self._stores[number], int(self.row[i]))
        bands = self.bands[number]
        if bands is not None:
            part = part[:, list(bands)]
        if len(part) < self.shape[1]:
            padded = np.zeros(self.shape[1:], self.dtype)
            padded[: len(part)] = part
            part = padded
        part.setflags(write=False)
        with self._lock:
            self._kept[i] = part
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return part


def _rows(stored: Any, rows: npt.NDArray[np.integer]) -> npt.NDArray[Any]:
    """Rows of a Zarr array; those that lie close together as one piece, which is twice as fast."""
    first, last = int(rows.min()), int(rows.max()) + 1
    if last - first <= 2 * len(rows):
        near: npt.NDArray[Any] = _read(stored, slice(first, last))[rows - first]
        return near
    return _read(stored, rows)


def _read(stored: Any, rows: int | slice | npt.NDArray[np.integer]) -> npt.NDArray[Any]:
    """Part of a Zarr array; what decoders say of damaged files is told with the place."""
    try:
        found: npt.NDArray[Any] = np.asarray(stored.oindex[rows])
    except MemoryError:
        raise
    except Exception as error:  # each codec has errors of its own
        place = str(stored.store_path).removeprefix("file://")
        raise InputError(
            f"{place} can't be read: {str(error).strip() or type(error).__name__}.",
            "A file of the data set is damaged or gone. Copy the data set anew, or export it again.",
        ) from error
    return found
