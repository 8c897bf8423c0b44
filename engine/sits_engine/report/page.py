"""One page: heading, figures that count, sentences, sections, provenance. HTML and numbers as JSON."""

from __future__ import annotations

import datetime
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import jinja2
import numpy as np

from sits_engine import __version__
from sits_engine.outputs import check_writable, discard, numbers_beside, partial, publish

_TEMPLATES = Path(__file__).with_name("templates")
_COLOR = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True)
class Tile:
    """A number that counts: value as text, its name, and what it means in a few words."""

    value: str
    name: str
    note: str = ""


@dataclass(frozen=True)
class Figure:
    """A drawing. `alt` says in words what it shows, for those who can't see it."""

    svg: str
    alt: str
    caption: str = ""


@dataclass(frozen=True)
class Column:
    """Heading of a column; numbers are aligned to the right."""

    name: str
    number: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of text; `colors` ('#rrggbb', one a row) put a colour patch before the first cell."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    colors: Sequence[str] = ()

    def __post_init__(self) -> None:
        # Colours go into a style attribute, so nothing but a colour may come through.
        clean = [color if _COLOR.fullmatch(color) else "#888888" for color in self.colors]
        object.__setattr__(self, "colors", clean)


@dataclass(frozen=True)
class Photo:
    """A photo with its caption; `source` is a data URI, '' leaves an empty frame."""

    source: str
    alt: str
    lines: Sequence[str]


@dataclass(frozen=True)
class Photos:
    """Photos next to each other, each at most `width` pixels wide; what is empty says `missing`."""

    photos: Sequence[Photo]
    width: int
    missing: str = ""


@dataclass(frozen=True)
class Section:
    """A titled part; `beside` puts its items next to each other where there is room."""

    title: str
    items: Sequence[Figure | Table | Photos]
    texts: Sequence[str] = ()
    beside: bool = False


@dataclass(frozen=True)
class Judgement:
    """A verdict in a frame at the top, with its reasons.

    Attributes:
        tone: sets the colour.
        word: the verdict in one to three words.
        headline: the verdict as a sentence.
        reasons: (+1 for, -1 against, 0 neutral; a whole sentence).
        note: what the verdict is worth.
    """

    tone: Literal["good", "even", "bad", "open"]
    word: str
    headline: str
    reasons: Sequence[tuple[int, str]] = ()
    note: str = ""


@dataclass
class Page:
    """A report.

    Attributes:
        kind: what sort of report, e.g. 'Training report'.
        title, subtitle: heading.
        sentences: three to five plain ones that come first.
        tiles: the figures that count.
        sections: the rest.
        provenance: group -> name -> value, shown at the end.
        warnings: what the reader must know.
        judgement: a verdict above all else, or None.
        made: date and time.
    """

    kind: str
    title: str
    sentences: Sequence[str]
    subtitle: str = ""
    tiles: Sequence[Tile] = ()
    sections: Sequence[Section] = ()
    provenance: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    judgement: Judgement | None = None
    made: str = field(
        default_factory=lambda: datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
    )


def render(page: Page, numbers_name: str = "") -> str:
    """HTML of the page. Every text is escaped; only figures drawn by `plots` go in as they are."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    style = (_TEMPLATES / "style.css").read_text(encoding="utf-8")
    template = environment.get_template("report.html.j2")
    return template.render(page=page, style=style, version=__version__, numbers=numbers_name)


def write_page(path: Path, page: Page, numbers: Mapping[str, Any]) -> Path:
    """Write the report and, beside it, its numbers; both appear together, complete.

    Returns:
        Path of the JSON file.

    Raises:
        EngineError: OUTPUT_NOT_WRITABLE.
    """
    beside = numbers_beside(path)
    check_writable(path)
    temporary, temporary_numbers = partial(path), partial(beside)
    try:
        temporary.write_text(render(page, beside.name), encoding="utf-8")
        text = json.dumps(plain(numbers), indent=1, ensure_ascii=False, allow_nan=False)
        temporary_numbers.write_text(text + "\n", encoding="utf-8")
        publish({temporary_numbers: beside, temporary: path})
    except BaseException:
        discard(temporary)
        discard(temporary_numbers)
        raise
    return beside


def plain(value: Any) -> Any:
    """`value` as strict JSON takes it: arrays as lists, NaN and infinities as None, the rest as text."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return str(value)
