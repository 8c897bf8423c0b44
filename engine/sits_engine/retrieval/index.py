"""Vectors of photos, searched by cosine: exact, or in cells (IVF) where there are very many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import date
from typing import Any, Literal

import faiss as _faiss
import numpy as np
import numpy.typing as npt

from sits_engine.errors import InputError

#: Its published types don't know the keywords that its Python classes take.
faiss: Any = _faiss

Kind = Literal["exact", "cells"]
Search = Literal["auto", "exact", "cells"]
#: 'auto' searches exactly up to so many photos. An exact search takes 0.12 s a million photos on two cores
#: (benchmarks/photo_search.py), so this many still answer within a second.
MOST_EXACT = 5_000_000
#: Of all cells a search looks into this share, and into no fewer than `FEWEST_CELLS`.
PROBED, FEWEST_CELLS = 0.08, 16
#: Photos of each cell that its centre is learned from.
LEARNED_FROM = 40
#: Vectors added at once.
BATCH = 50_000


@dataclass(frozen=True)
class PhotoTable:
    """What is known of P photos; every array has P rows.

    Attributes:
        paths: files.
        ids: place that each photo belongs to.
        directions: 'N', 'E', …, degrees as text, or ''.
        taken: days since 1970-01-01 (int32), `UNDATED` where unknown.
        xy: (P, 2) longitude and latitude, WGS 84.
        hashes: SHA-256 of the files' content (hexadecimal).
        sizes: bytes; changed: time of the last change (ns), which say that a file is still the same.
    """

    paths: npt.NDArray[np.object_]
    ids: npt.NDArray[np.object_]
    directions: npt.NDArray[np.object_]
    taken: npt.NDArray[np.int32]
    xy: npt.NDArray[np.float64]
    hashes: npt.NDArray[np.object_]
    sizes: npt.NDArray[np.int64]
    changed: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.paths)

    def subset(self, rows: npt.NDArray[np.integer[Any]] | npt.NDArray[np.bool_]) -> PhotoTable:
        """The photos of these rows."""
        return PhotoTable(**{one.name: getattr(self, one.name)[rows] for one in fields(self)})

    def day(self, row: int) -> date | None:
        """When a photo was taken."""
        return None if self.taken[row] == UNDATED else EPOCH.fromordinal(_DAY_0 + int(self.taken[row]))


EPOCH = date(1970, 1, 1)
_DAY_0 = EPOCH.toordinal()
#: `taken` of a photo without a date.
UNDATED = np.iinfo(np.int32).min


def day_number(day: date | None) -> int:
    """Days since 1970-01-01, `UNDATED` for None."""
    return int(UNDATED) if day is None else day.toordinal() - _DAY_0


@dataclass(frozen=True)
class Hits:
    """Best photos of Q queries, the most similar first.

    Attributes:
        rows: (Q, k) rows of the table, -1 where there are no more photos.
        similarity: (Q, k) cosines, NaN there.
    """

    rows: npt.NDArray[np.int64]
    similarity: npt.NDArray[np.float32]


@dataclass
class PhotoIndex:
    """Photos that can be searched.

    Attributes:
        vectors: FAISS index of unit vectors in half precision (2 bytes a number: a million photos of 512
            numbers take 1 GB, memory-mapped where it was read from a folder). Cosines differ from those of
            float32 vectors by less than 0.0002.
        table: the photos, row by row.
        clip: name and fingerprint of the CLIP model that made the vectors.
        kind: how it is searched.
        skipped: files that could not be read: path -> [size, time of change].
    """

    vectors: Any
    table: PhotoTable
    clip: dict[str, str]
    kind: Kind = "exact"
    skipped: dict[str, list[int]] = field(default_factory=dict)

    @classmethod
    def build(
        cls,
        vectors: npt.NDArray[np.float32],
        table: PhotoTable,
        clip: dict[str, str],
        search: Search = "auto",
    ) -> PhotoIndex:
        """Index of (P, dim) unit vectors.

        Args:
            vectors: one row a row of `table`.
            table: the photos.
            clip: 'name' and 'fingerprint'.
            search: 'auto': exact up to `MOST_EXACT` photos, in cells above.

        Raises:
            InputError: no photo.
        """
        if len(vectors) == 0:
            raise InputError("There is no photo to search in.", "Check the layer or folder of photos.")
        if len(vectors) != len(table):
            raise ValueError(f"{len(vectors)} vectors, {len(table)} photos")
        kind: Kind = (
            "cells" if search == "cells" or (search == "auto" and len(table) > MOST_EXACT) else "exact"
        )
        made = _in_cells(vectors) if kind == "cells" else _flat(vectors.shape[1])
        for start in range(0, len(vectors), BATCH):
            made.add(np.ascontiguousarray(vectors[start : start + BATCH], dtype=np.float32))
        return cls(made, table, clip, kind)

    def __len__(self) -> int:
        return len(self.table)

    @property
    def dim(self) -> int:
        """Numbers of a vector."""
        return int(self.vectors.d)

    def chosen(
        self,
        polygons: npt.NDArray[np.object_] | None = None,
        dates: tuple[date | None, date | None] | None = None,
    ) -> npt.NDArray[np.bool_] | None:
        """(P,) photos inside a region and a range of dates; None where neither is given.

        Args:
            polygons: shapely polygons in longitude and latitude.
            dates: first and last day, None is open; photos without a date lie in no range.
        """
        keep = np.ones(len(self), dtype=bool)
        first, last = dates or (None, None)
        if polygons is None and first is None and last is None:
            return None
        if first is not None or last is not None:
            keep &= self.table.taken != UNDATED
        if first is not None:
            keep &= self.table.taken >= day_number(first)
        if last is not None:
            keep &= self.table.taken <= day_number(last)
        if polygons is not None:
            keep &= _inside(self.table.xy, polygons)
        return keep

    def search(
        self, vectors: npt.NDArray[np.float32], k: int, *, among: npt.NDArray[np.bool_] | None = None
    ) -> Hits:
        """The k photos most similar to each of (Q, dim) unit vectors.

        Args:
            vectors: queries.
            k: photos a query; fewer where there are fewer.
            among: (P,) photos to search in (`chosen`); None: all.

        Raises:
            InputError: another number of dimensions than the photos have.
        """
        if vectors.shape[1] != self.dim:
            raise InputError(
                f"The queries have {vectors.shape[1]} numbers, the photos of the index {self.dim}.",
                "Use the index of the CLIP model that the satellite model was trained with.",
            )
        of = len(self) if among is None else int(among.sum())
        wanted = min(k, of)
        if wanted == 0 or len(vectors) == 0:
            empty = np.full((len(vectors), k), np.nan, np.float32)
            return Hits(np.full((len(vectors), k), -1, np.int64), empty)
        selected = None if among is None else faiss.IDSelectorBitmap(np.packbits(among, bitorder="little"))
        if self.kind == "cells":
            # photos left out make the others rarer in each cell: more cells for the same work
            probed = max(FEWEST_CELLS, round(PROBED * self.vectors.nlist * len(self) / of))
            options = faiss.SearchParametersIVF(nprobe=min(probed, self.vectors.nlist), sel=selected)
        else:
            options = faiss.SearchParameters(sel=selected)
        found, rows = self.vectors.search(
            np.ascontiguousarray(vectors, dtype=np.float32), wanted, params=options
        )
        found = np.where(rows >= 0, found, np.nan).astype(np.float32)
        missing = ((0, 0), (0, k - wanted))
        return Hits(
            np.pad(rows, missing, constant_values=-1),
            np.pad(np.clip(found, -1, 1), missing, constant_values=np.nan),
        )


def _flat(dim: int) -> Any:
    return faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)


def _in_cells(vectors: npt.NDArray[np.float32]) -> Any:
    """An IVF index with learned cells: 2 sqrt(P) of them."""
    cells = max(1, round(2 * len(vectors) ** 0.5))
    made = faiss.IndexIVFScalarQuantizer(
        faiss.IndexFlatIP(vectors.shape[1]),
        vectors.shape[1],
        cells,
        faiss.ScalarQuantizer.QT_fp16,
        faiss.METRIC_INNER_PRODUCT,
        False,  # not the difference to the centre: cosines stay exact
    )
    rows = np.random.default_rng(0).permutation(len(vectors))[: LEARNED_FROM * cells]
    made.cp.min_points_per_centroid = 1
    made.train(np.ascontiguousarray(vectors[np.sort(rows)], dtype=np.float32))
    return made


def _inside(xy: npt.NDArray[np.float64], polygons: Sequence[Any] | npt.NDArray[np.object_]) -> Any:
    """(P,) points that lie in one of the polygons."""
    import shapely

    whole = shapely.union_all(np.asarray(polygons, dtype=object))
    shapely.prepare(whole)
    return shapely.intersects_xy(whole, xy[:, 0], xy[:, 1])
