"""Contact sheet of retrieved photos: query by query, small pictures inside the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sits_engine.report import words
from sits_engine.report.page import Page, Photo, Photos, Section, Tile, write_page
from sits_engine.retrieval.answers import Answer, Answers
from sits_engine.retrieval.queries import Queries
from sits_engine.samples.photos_image import PhotoProblem, open_photo

#: (pictures of the sheet up to which, longer side in pixels): the page stays below about 8 MB.
SIZES = ((24, 420), (100, 300), (400, 200))
#: More pictures than this are not shown, and queries beyond `MOST_QUERIES` neither; the layer has them all.
MOST_PICTURES, MOST_QUERIES = SIZES[-1][0], 100
QUALITY = 78
MISSING = "The photo is not there any more, or not readable."


@dataclass
class SheetData:
    """What a sheet shows.

    Attributes:
        title: heading.
        model, clip, series: names.
        queries, answers: what was asked and found.
        n_photos: photos that were searched in.
        kind: 'exact' or 'cells'.
        provenance, parameters: facts for the end of the page.
        notes, warnings: sentences.
    """

    title: str
    model: str
    clip: str
    series: str
    queries: Queries
    answers: Answers
    n_photos: int
    kind: str = "exact"
    provenance: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The numbers of the page."""
        return {
            "title": self.title,
            "photos_searched": self.n_photos,
            "search": self.kind,
            "queries": [
                {
                    "query": str(self.queries.ids[row]),
                    "lon": float(self.queries.xy[row, 0]),
                    "lat": float(self.queries.xy[row, 1]),
                    "pixels": int(self.queries.pixels[row]),
                    "photos": [_plain(one) for one in self.answers.of(row)],
                }
                for row in range(len(self.queries))
            ],
            "provenance": dict(self.provenance),
            "parameters": dict(self.parameters),
            "notes": self.notes,
            "warnings": self.warnings,
        }


def _plain(one: Answer) -> dict[str, Any]:
    return {
        "rank": one.rank,
        "similarity": one.similarity,
        "photo": one.photo,
        "there": one.there,
        "place": one.place,
        "distance_m": one.distance,
        "date": None if one.taken is None else one.taken.isoformat(),
        "direction": one.direction,
    }


def write_contact_sheet(
    path: Path, data: SheetData, progress: Callable[[float], None] = lambda share: None
) -> Path:
    """Write the sheet to `path` and its numbers beside it; returns the path of the numbers.

    Raises:
        EngineError: OUTPUT_NOT_WRITABLE.
    """
    return write_page(path, sheet_page(data, progress), data.as_json())


def sheet_page(data: SheetData, progress: Callable[[float], None] = lambda share: None) -> Page:
    """The page: what was searched, then a row of photos for each query."""
    shown = min(len(data.queries), MOST_QUERIES)
    found = [data.answers.of(row) for row in range(shown)]
    each = max((len(answers) for answers in found), default=0)
    most = max(1, min(each, MOST_PICTURES // max(1, shown)))
    side = next((size for up_to, size in SIZES if shown * most <= up_to), SIZES[-1][1])
    thumbnails: dict[str, str] = {}
    sections = []
    for row, answers in enumerate(found):
        progress(row / shown)
        some = answers[:most]
        for one in some:
            if one.photo not in thumbnails:
                thumbnails[one.photo] = thumbnail(Path(one.photo), side)
        photos = [_photo(one, thumbnails[one.photo], str(data.queries.ids[row])) for one in some]
        sections.append(
            Section(f"Query {data.queries.ids[row]}", [Photos(photos, side, MISSING)], [_where(data, row)])
        )
    progress(1.0)
    left = _left_out(data, shown, most, each)
    similar = [one.similarity for one in data.answers.answers if one.rank == 1]
    near = [one.distance for one in data.answers.answers if one.rank == 1]
    return Page(
        kind="Retrieved photos",
        title=data.title,
        subtitle=f"{data.series}, by the model {data.model}",
        sentences=[
            f"For {_plural(len(data.queries), 'place')} of the images, the most similar of "
            f"{_plural(data.n_photos, 'photo')}: the satellite series of a place and each photo become "
            "vectors, and the similarity is the cosine between them (1 is the same direction, 0 unrelated).",
            "The similarity orders photos for one place. It is no probability, and between models or places "
            "its height says little. The distance plays no part in the order.",
            *left,
        ],
        tiles=[
            Tile(words.count(len(data.queries)), "places asked"),
            Tile(words.count(data.n_photos), "photos searched", _KINDS[data.kind]),
            *(
                [Tile(words.score(sum(similar) / len(similar), 3), "mean similarity", "of the best photos")]
                if similar
                else []
            ),
            *(
                [Tile(_distance(sorted(near)[len(near) // 2]), "median distance", "to the best photos")]
                if near
                else []
            ),
        ],
        sections=sections,
        provenance={
            "Inputs": words.facts(data.provenance),
            "Parameters": words.facts(data.parameters),
            "Notes": {str(i): note for i, note in enumerate(data.notes, start=1)},
        },
        warnings=list(dict.fromkeys(data.warnings)),
    )


_KINDS = {"exact": "every photo compared", "cells": "the nearest cells of the index compared"}


def thumbnail(path: Path, side: int) -> str:
    """Data URI of a JPEG whose longer side has at most `side` pixels; '' where the photo can't be read."""
    from PIL import Image

    try:
        image = open_photo(path, side)
    except PhotoProblem:
        return ""
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY, optimize=True)  # without EXIF: no position leaves by accident
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _photo(one: Answer, source: str, query: str) -> Photo:
    facts = [one.taken.isoformat() if one.taken else "", _looking(one.direction)]
    lines = [
        f"{one.rank}. similarity {words.score(one.similarity, 3)}, {_distance(one.distance)} away",
        ", ".join(filter(None, [f"place {one.place}", *facts])),
        Path(one.photo).name,
    ]
    return Photo(source, f"Photo {one.rank} for query {query}: {Path(one.photo).name}", lines)


def _looking(direction: str) -> str:
    """'looking N', 'looking 120°', or what LUCAS shows with P (the point) and C (the cover)."""
    if direction.isdigit():
        return f"looking {direction}°"
    return {"": "", "P": "of the point", "C": "of the cover"}.get(direction, f"looking {direction}")


def _where(data: SheetData, row: int) -> str:
    lon, lat = data.queries.xy[row]
    pixels = int(data.queries.pixels[row])
    mean = "" if pixels == 1 else f", mean over {pixels} pixels"
    return f"{abs(lat):.5f}° {'N' if lat >= 0 else 'S'}, {abs(lon):.5f}° {'E' if lon >= 0 else 'W'}{mean}"


def _left_out(data: SheetData, shown: int, most: int, each: int) -> list[str]:
    said = []
    if shown < len(data.queries):
        said.append(f"the first {shown} of {words.count(len(data.queries))} places")
    if most < each:
        said.append(f"the first {most} of {each} photos of each")
    if not said:
        return []
    return [f"So that the page stays small it shows {' and '.join(said)}; the layer has them all."]


def _plural(number: int, noun: str) -> str:
    return f"{words.count(number)} {noun}{'' if number == 1 else 's'}"


def _distance(metres: float) -> str:
    if metres < 1000:
        return f"{metres:.0f} m"
    return f"{metres / 1000:.1f} km" if metres < 100_000 else f"{words.count(metres / 1000)} km"
