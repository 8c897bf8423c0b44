"""What a search found, as a table and as a layer of points at the photos' positions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sits_engine.errors import InputError
from sits_engine.outputs import atomic
from sits_engine.retrieval.index import PhotoIndex
from sits_engine.retrieval.queries import Queries

#: Name of the layer in the GeoPackage.
LAYER = "photos"
#: Queries that are searched between two looks at the progress.
AT_ONCE = 8


@dataclass(frozen=True)
class Answer:
    """One photo of one query.

    Attributes:
        query: row of the query.
        rank: 1 is the most similar.
        similarity: cosine, -1..1.
        photo: file.
        there: the file is there.
        place: id of the photo's place.
        distance: metres between the query and the photo, along the ellipsoid.
        taken: day, or None.
        direction: where the photo looks, or ''.
        lon, lat: of the photo.
    """

    query: int
    rank: int
    similarity: float
    photo: str
    there: bool
    place: str
    distance: float
    taken: date | None
    direction: str
    lon: float
    lat: float


@dataclass
class Answers:
    """All answers, query by query, by rank.

    Attributes:
        answers: at most k a query.
        notes, warnings: sentences with counts.
    """

    answers: list[Answer]
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def of(self, query: int) -> list[Answer]:
        """Answers of one query."""
        return [one for one in self.answers if one.query == query]


def answer(
    index: PhotoIndex,
    queries: Queries,
    k: int,
    *,
    polygons: npt.NDArray[np.object_] | None = None,
    dates: tuple[date | None, date | None] | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> Answers:
    """The k most similar photos of each query, each photo by itself.

    Args:
        index: the photos.
        queries: the places.
        k: photos a query.
        polygons, dates: only photos inside (`PhotoIndex.chosen`).
        progress: gets 0..1; may raise to cancel.

    Raises:
        InputError: no photo lies in the region and the dates.
    """
    from pyproj import Geod

    among = index.chosen(polygons, dates)
    notes, warnings = [], []
    if among is not None:
        wanted = _wanted(polygons is not None, *(dates or (None, None)))
        if not among.any():
            raise InputError(
                f"None of the {len(index)} photos lies {wanted}.",
                "Choose a larger region or more days; photos without a date lie in no range of days.",
            )
        notes.append(f"{int(among.sum())} of {len(index)} photos lie {wanted}; only these were searched.")
    geod = Geod(ellps="WGS84")
    table, found = index.table, []
    for start in range(0, len(queries), AT_ONCE):
        progress(start / len(queries))
        hits = index.search(queries.vectors[start : start + AT_ONCE], k, among=among)
        for number, (rows, cosines) in enumerate(zip(hits.rows, hits.similarity, strict=True), start=start):
            kept = rows[rows >= 0]
            here = np.broadcast_to(queries.xy[number], (len(kept), 2))
            there = table.xy[kept]
            metres = geod.inv(here[:, 0], here[:, 1], there[:, 0], there[:, 1])[2]
            for rank, row in enumerate(kept.tolist(), start=1):
                path = str(table.paths[row])
                found.append(
                    Answer(
                        query=number,
                        rank=rank,
                        similarity=float(cosines[rank - 1]),
                        photo=path,
                        there=Path(path).is_file(),
                        place=str(table.ids[row]),
                        distance=float(metres[rank - 1]),
                        taken=table.day(row),
                        direction=str(table.directions[row]),
                        lon=float(table.xy[row, 0]),
                        lat=float(table.xy[row, 1]),
                    )
                )
    gone = sorted({one.photo for one in found if not one.there})
    if gone:
        more = " …" if len(gone) > 3 else ""
        warnings.append(
            f"{len(gone)} photos that were found are not where they were when the index was made: "
            f"{', '.join(gone[:3])}{more}. Their rows stay; the contact sheet shows an empty frame."
        )
    progress(1.0)
    return Answers(found, notes, warnings)


def _wanted(region: bool, first: date | None, last: date | None) -> str:
    """'in PHOTO_REGION and in the days 2018-03-01 to 2018-05-31', for messages."""
    days = [f"from {first}"] * (first is not None) + [f"up to {last}"] * (last is not None)
    parts = ["in PHOTO_REGION"] * region + ["in the days " + " ".join(days)] * bool(days)
    return " and ".join(parts)


def write_answers(path: Path, queries: Queries, answers: Answers) -> None:
    """Write a GeoPackage with a point at each photo (WGS 84), complete or not at all.

    Fields: query, rank, similarity, photo, photo_there, place, distance_m, date, direction.
    """
    import geopandas as gpd
    import pandas as pd
    import pyogrio

    rows = answers.answers
    frame = gpd.GeoDataFrame(
        {
            "query": pd.array([str(queries.ids[one.query]) for one in rows], dtype="string"),
            "rank": np.array([one.rank for one in rows], np.int32),
            "similarity": np.round([one.similarity for one in rows], 4).astype(float),
            "photo": pd.array([one.photo for one in rows], dtype="string"),
            "photo_there": np.array([one.there for one in rows], bool),
            "place": pd.array([one.place for one in rows], dtype="string"),
            "distance_m": np.round([one.distance for one in rows], 1).astype(float),
            "date": pd.to_datetime(pd.Series([one.taken for one in rows], dtype="object")),
            "direction": pd.array([one.direction for one in rows], dtype="string"),
        },
        geometry=gpd.points_from_xy([one.lon for one in rows], [one.lat for one in rows]),
        crs="EPSG:4326",
    )
    with atomic(path) as temporary:
        pyogrio.write_dataframe(
            frame,
            temporary,
            layer=LAYER,
            driver="GPKG",
            geometry_type="Point",
            dataset_options={"VERSION": "1.2"},  # QGIS 3.22 warns about newer ones
        )
