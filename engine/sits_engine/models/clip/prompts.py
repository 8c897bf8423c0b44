"""Classes as words: what a user writes, tables, templates and the built-in sets of descriptions.

Prompt kinds of the paper (specification, section 6): the class name alone, the name in templates, and
descriptive sentences. Several prompts of a class become one vector: the mean of their unit vectors, at unit
length.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sits_engine.errors import InputError
from sits_engine.models.clip.cache import Encoder, text_vectors

#: Tables of templates and descriptions: beside the engine in the repository and in the plugin, else within an
#: engine that was installed alone (`engine/setup.py` puts them there).
_BESIDE = Path(__file__).resolve().parents[4] / "resources" / "prompts"
RESOURCES = _BESIDE if _BESIDE.is_dir() else Path(__file__).resolve().parents[2] / "prompts"
#: Prompts of a class that has none of its own: its name alone …
NAME = "name"
#: … or its name in a group of templates (`templates.csv`; names of the published groups) …
TEMPLATES = ("Generic", "LC_Generic", "LU_Generic", "SAT_Generic", "Generic_SATGeneric")
#: … or the description that a built-in set has for it.
SETS = ("lucas_land_cover", "lucas_crops", "lucas_land_use", "eunis_habitats")
KINDS = (NAME, *TEMPLATES, *SETS)
#: Values of a map.
MOST_CLASSES = 255
BACKGROUND_COLOR = "#d9d9d9"
_COLOR = re.compile(r"#[0-9a-fA-F]{6}$")
_TABLE_ADVICE = "Write a CSV in UTF-8 with the columns class and prompt (color if you like), a line a prompt."


@dataclass(frozen=True)
class ClassPrompts:
    """K classes in words.

    Attributes:
        names: K, for people.
        prompts: K, one or more sentences each.
        colors: K, '#rrggbb' or None.
    """

    names: tuple[str, ...]
    prompts: tuple[tuple[str, ...], ...]
    colors: tuple[str | None, ...]

    def __len__(self) -> int:
        return len(self.names)


def read_classes(
    text: str | None, table: Path | None, prompts: str = NAME, background: str | None = None
) -> ClassPrompts:
    """Classes from a text or a table, with prompts.

    Prompts that text or table give are used as they stand. A class without any gets those of `prompts`: its
    name, its name in templates, or its description in a built-in set. With a set, and without text and table,
    all classes of the set are taken; otherwise those that are named.

    Args:
        text: one class a line, `class` or `class: prompt; prompt`. A single line without a colon is cut at
            its semicolons, or else commas.
        table: CSV with the columns class, prompt (may be empty) and color (optional), several lines a class.
        prompts: one of `KINDS`.
        background: a text such as 'none of these' that becomes a further class, the last one.

    Raises:
        InputError: both or neither of text and table, less than two classes or too many, a class that occurs
            twice or is not in the set, an empty prompt, the built-in tables are missing.
    """
    if prompts not in KINDS:
        raise InputError(f"There are no prompts '{prompts}'.", f"Choose one of {', '.join(KINDS)}.")
    found, source = _named(text, table, prompts)
    filled = [own or _described(name, prompts) for name, own in zip(found.names, found.prompts, strict=True)]
    names, colors = found.names, found.colors
    if prompts in SETS:
        known = built_in(prompts)
        by_name = {_key(name): color for name, color in zip(known.names, known.colors, strict=True)}
        colors = tuple(color or by_name.get(_key(name)) for name, color in zip(names, colors, strict=True))
    if background and background.strip():
        other = " ".join(background.split())
        names, colors, source = (*names, other), (*colors, BACKGROUND_COLOR), f"{source} with BACKGROUND"
        filled.append((other,))
    check_several(len(names), f"{source}, '{names[0]}'")
    return _checked(names, tuple(filled), colors, source)


def check_several(count: int, source: str) -> None:
    """Refuse to map a single class.

    Args:
        count: of classes, with that of BACKGROUND.
        source: where they are given, for the message.

    Raises:
        InputError: there is only one.
    """
    if count == 1:
        raise InputError(
            f"There is only one class in {source}: every pixel would get it.",
            "Name at least two classes, or set BACKGROUND to a text such as 'none of these'. How similar "
            "places are to a single text, 'Map similarity' shows.",
        )


def _named(text: str | None, table: Path | None, prompts: str) -> tuple[ClassPrompts, str]:
    """The classes as they were given, and where."""
    given = text if text and text.strip() else None
    if given is not None and table is not None:
        raise InputError(
            "Classes are given twice: as a list and as a table.", "Give CLASSES or CLASS_TABLE, not both."
        )
    if given is not None:
        return _parse(given), "the list of classes"
    if table is not None:
        return read_table(table), table.name
    if prompts in SETS:
        return built_in(prompts), prompts
    raise InputError(
        "No class is given.",
        "Write one class a line in CLASSES, give a CLASS_TABLE, or choose a built-in set as PROMPTS.",
    )


def built_in(name: str) -> ClassPrompts:
    """A set of descriptions that comes with SITS, one of `SETS`."""
    return read_table(_resource(f"{name}.csv"))


def templates(group: str) -> tuple[str, ...]:
    """Templates of a group, one of `TEMPLATES`; '{}' stands for the class."""
    with _resource("templates.csv").open(encoding="utf-8", newline="") as file:
        return tuple(row["template"] for row in csv.DictReader(file) if row["group"] == group)


def read_table(path: Path) -> ClassPrompts:
    """Classes of a CSV with the columns class, prompt and, if it likes, color; `;` or `,` between them.

    Classes come in the order of their first line. A class whose prompt is empty in its only line has none.

    Raises:
        InputError: unreadable, a column is missing, no class, an empty prompt, two colours of a class.
    """
    rows = read_rows(path, ("class", "prompt"), _TABLE_ADVICE)
    prompts: dict[str, list[str]] = {}
    colors: dict[str, str] = {}
    spelling: dict[str, str] = {}
    for number, row in enumerate(rows, start=2):
        name, prompt = " ".join(row["class"].split()), " ".join(row["prompt"].split())
        color = row.get("color") or row.get("colour") or ""
        if not name:
            raise InputError(f"{path.name}: line {number} has no class.", _TABLE_ADVICE)
        if spelling.setdefault(_key(name), name) != name:
            raise InputError(
                f"{path.name}: '{spelling[_key(name)]}' and '{name}' are the same class.",
                "Write it the same way in all of its lines.",
            )
        prompts.setdefault(name, []).append(prompt)
        if color and not _COLOR.match(color):
            raise InputError(
                f"{path.name}: the colour '{color}' of '{name}' can't be read.",
                "Write colours as #rrggbb, e.g. #d9a01c.",
            )
        if color and colors.setdefault(name, color.lower()) != color.lower():
            raise InputError(f"{path.name}: '{name}' has two colours.", "Keep one of them.")
    for name, own in prompts.items():
        if len(own) > 1 and not all(own):
            raise InputError(f"{path.name}: a prompt of '{name}' is empty.", "Write it, or drop the line.")
    filled = tuple(tuple(own) if all(own) else () for own in prompts.values())
    return _checked(tuple(prompts), filled, tuple(colors.get(name) for name in prompts), path.name)


def read_rows(path: Path, columns: Sequence[str], advice: str) -> list[dict[str, str]]:
    """Lines of a CSV as dictionaries; names of columns in lower case, texts without space around them.

    Raises:
        InputError: unreadable, a column is missing.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The table {path} can't be read: {error}.", advice) from error
    first = text.strip().partition("\n")[0]
    delimiter = ";" if first.count(";") > first.count(",") else ","
    reader = csv.DictReader(io.StringIO(text.strip()), delimiter=delimiter, skipinitialspace=True)
    header = {name: (name or "").strip().lower() for name in reader.fieldnames or []}
    missing = [name for name in columns if name not in header.values()]
    if missing:
        raise InputError(
            f"The table {path.name} has no column {' and '.join(missing)}; it has: "
            f"{', '.join(header.values()) or 'none'}.",
            advice,
        )
    found = []
    for row in reader:
        if None in row:
            raise InputError(
                f"The table {path.name} has more fields in line {reader.line_num} than columns: a text that "
                f"holds '{delimiter}' must stand in double quotes.",
                advice,
            )
        found.append({header[name]: (value or "").strip() for name, value in row.items()})
    return found


def class_vectors(encoder: Encoder, classes: ClassPrompts) -> npt.NDArray[np.float32]:
    """(K, dim): each class is the mean of the unit vectors of its prompts, at unit length.

    Raises:
        InputError: a prompt is longer than the model reads (named).
    """
    flat = [prompt for own in classes.prompts for prompt in own]
    return mean_vectors(text_vectors(encoder, flat), [len(own) for own in classes.prompts])


def mean_vectors(vectors: npt.NDArray[np.float32], counts: Sequence[int]) -> npt.NDArray[np.float32]:
    """(K, dim) unit means of consecutive groups of vectors, each first brought to unit length.

    Args:
        vectors: (N, dim), the groups one after the other.
        counts: K sizes of groups, of sum N.
    """
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.intp)
    means = np.add.reduceat(unit, starts, axis=0) / np.asarray(counts, np.float32)[:, None]
    return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True), np.float32)


def _parse(text: str) -> ClassPrompts:
    """Classes of a text; those without prompts have none yet."""
    lines = text.replace("\\n", "\n").strip().splitlines()
    if len(lines) == 1 and ":" not in lines[0]:
        lines = lines[0].strip(" ;,").split(";" if ";" in lines[0].strip(" ;,") else ",")
    names: list[str] = []
    prompts: list[tuple[str, ...]] = []
    for line in lines:
        name, colon, rest = line.partition(":")
        if not line.strip():
            continue
        if not name.strip():
            raise InputError(
                f"The line '{line.strip()}' of the classes has no name before its colon.",
                "Write 'class', or 'class: prompt; prompt'.",
            )
        own = tuple(" ".join(part.split()) for part in rest.strip(" ;").split(";")) if colon else ()
        if not all(own):
            raise InputError(
                f"A prompt of the class '{name.strip()}' is empty.",
                "Write the prompts after the colon, with semicolons between them, or leave the colon out.",
            )
        names.append(" ".join(name.split()))
        prompts.append(own)
    return _checked(tuple(names), tuple(prompts), (None,) * len(names), "the list of classes")


def _described(name: str, prompts: str) -> tuple[str, ...]:
    """Prompts of a class that has none of its own."""
    if prompts == NAME:
        return (name,)
    if prompts in TEMPLATES:
        return tuple(template.replace("{}", name) for template in templates(prompts))
    known = built_in(prompts)
    for other, own in zip(known.names, known.prompts, strict=True):
        if _key(other) == _key(name):
            return own
    raise InputError(
        f"The prompts '{prompts}' describe no class '{name}'. They describe: {', '.join(known.names)}.",
        "Use these names, write prompts of your own ('class: prompt; prompt'), or choose other PROMPTS.",
    )


def _checked(
    names: tuple[str, ...],
    prompts: tuple[tuple[str, ...], ...],
    colors: tuple[str | None, ...],
    source: str,
) -> ClassPrompts:
    """The classes, if a map can be made of them."""
    if not names:
        raise InputError(f"There is no class in {source}.", "Write one class a line.")
    if len(names) > MOST_CLASSES:
        raise InputError(
            f"There are {len(names)} classes in {source}; a map holds at most {MOST_CLASSES}.",
            "Name fewer classes.",
        )
    seen: dict[str, str] = {}
    for name in names:
        if _key(name) in seen:
            raise InputError(f"The class '{name}' stands twice in {source}.", "Name each class once.")
        seen[_key(name)] = name
    same: dict[frozenset[str], str] = {}
    for name, own in zip(names, prompts, strict=True):
        if own and (other := same.setdefault(frozenset(own), name)) != name:
            raise InputError(
                f"The classes '{other}' and '{name}' of {source} have the same prompts: nothing could tell "
                "them apart.",
                "Write other prompts for one of them, or make them one class.",
            )
    return ClassPrompts(names, prompts, colors)


def _key(name: str) -> str:
    return " ".join(name.split()).casefold()


def _resource(name: str) -> Path:
    path = RESOURCES / name
    if not path.is_file():
        raise InputError(
            f"The built-in prompts are not there: {path}.",
            "Install the plugin again, or give prompts of your own with CLASS_TABLE.",
        )
    return path
