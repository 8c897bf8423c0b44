"""From label codes to classes: class table, rare classes, colours."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from sits_engine.errors import InputError
from sits_engine.samples.pixel_sets import PixelSets

OTHER = "other"
OTHER_COLOR = "#a0a0a0"
#: Colours by a word in the class name, first match wins; the habits of crop maps.
COLORS_BY_WORD = (
    (r"winter.?wheat", "#d9a01c"),
    (r"spring.?wheat|durum", "#f2c94c"),
    (r"wheat", "#d9a01c"),
    (r"winter.?barley", "#c9822b"),
    (r"barley", "#e2a76f"),
    (r"\brye\b|triticale", "#a8763e"),
    (r"\boats?\b|spring.?cereal", "#ecd9a0"),
    (r"cereal|grain", "#d8b365"),
    (r"maize|corn", "#f2e205"),
    (r"sorghum|millet", "#b5651d"),
    (r"\brice\b", "#4ec9c0"),
    (r"rape|canola|colza", "#ffee58"),
    (r"sunflower", "#ff9800"),
    (r"soy", "#6b8e23"),
    (r"beet", "#c2185b"),
    (r"potato", "#8e5ea2"),
    (r"bean|pea\b|peas\b|pulse|legume", "#7cb342"),
    (r"cotton", "#b3c7e6"),
    (r"clover|alfalfa|lucerne", "#66bb6a"),
    (r"grass|meadow|pasture", "#a5d66b"),
    (r"forest|wood|tree", "#1b5e20"),
    (r"orchard|fruit", "#e57373"),
    (r"vine|grape", "#7b1fa2"),
    (r"vegetable", "#26a69a"),
    (r"fallow|bare", "#bcaaa4"),
    (r"savanna|cerrado|shrub", "#9e9d24"),
    (r"water", "#1e88e5"),
    (r"urban|built", "#e53935"),
    (r"^other$|unknown", OTHER_COLOR),
)
#: Well distinguishable colours for the rest (Kelly's set without black, white and grey).
SPARE_COLORS = (
    *("#f3c300", "#875692", "#f38400", "#a1caf1", "#be0032", "#c2b280", "#008856"),
    *("#e68fac", "#0067a5", "#f99379", "#604e97", "#f6a600", "#b3446c", "#dcd300"),
    *("#882d17", "#8db600", "#654522", "#e25822", "#2b3d26"),
)
_COLOR = re.compile(r"#[0-9a-fA-F]{6}$")


@dataclass(frozen=True)
class ClassTable:
    """A table `code,class,color`: which codes of the label field mean which class, in which colour."""

    name: str
    class_of: Mapping[str, str]
    color_of: Mapping[str, str]

    @classmethod
    def read(cls, path: Path) -> ClassTable:
        """Read a CSV with the columns code, class and (optionally) color; `;` or `,` between them.

        A code with an empty class is left out of training.

        Raises:
            InputError: not there, a column is missing, a code occurs twice, a colour isn't #rrggbb.
        """
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                f"The class table {path} can't be read: {error}.", "Save it as CSV in UTF-8."
            ) from error
        first = text.partition("\n")[0]
        delimiter = ";" if first.count(";") > first.count(",") else ","
        reader = csv.DictReader(text.splitlines(), delimiter=delimiter, skipinitialspace=True)
        header = {name.strip().lower(): name for name in reader.fieldnames or []}
        if "code" not in header or "class" not in header:
            raise InputError(
                f"The class table {path.name} needs the columns code and class (color if you like); "
                f"it has: {', '.join(header) or 'none'}.",
                "Add a first line 'code,class,color'.",
            )
        color_name = header.get("color") or header.get("colour")
        class_of: dict[str, str] = {}
        color_of: dict[str, str] = {}
        for row in reader:
            code = (row[header["code"]] or "").strip()
            name = (row[header["class"]] or "").strip()
            color = (row.get(color_name) or "").strip() if color_name else ""
            if not code:
                continue
            if class_of.setdefault(code, name) != name:
                raise InputError(
                    f"The class table {path.name} maps code '{code}' to '{class_of[code]}' and to '{name}'.",
                    "Keep one of the two lines.",
                )
            if color and not _COLOR.match(color):
                raise InputError(
                    f"The class table {path.name} has the colour '{color}' for '{name}'.",
                    "Write colours as #rrggbb, e.g. #d9a01c.",
                )
            if color and name:
                color_of.setdefault(name, color.lower())
        if not any(class_of.values()):
            raise InputError(f"The class table {path.name} has no line with code and class.", "Fill it in.")
        return cls(path.name, class_of, color_of)


#: Classes that an error lists, and codes or classes that a note lists.
SHOWN, LISTED = 5, 20


@dataclass(frozen=True)
class ClassInfo:
    """One class of a model to be trained."""

    name: str
    color: str
    codes: tuple[str, ...]


def assign_classes(
    sets: PixelSets,
    *,
    table: ClassTable | None = None,
    min_parcels: int = 10,
    rare: Literal["drop", "merge"] = "drop",
) -> tuple[PixelSets, list[ClassInfo], list[str]]:
    """Map codes (the `classes` of `sets`) to classes, and deal with the rare ones.

    Args:
        sets: labelled by code.
        table: None takes each code as a class of its own.
        min_parcels: classes with fewer sets are dropped, or merged into a class 'other'.
        rare: what to do with them.

    Returns:
        The sets that are left, labelled by class (alphabetical, 'other' last); the classes; sentences
        on what was dropped or merged, with counts.

    Raises:
        InputError: fewer than two classes are left; names the counts.
    """
    notes: list[str] = []
    names = [code if table is None else table.class_of.get(code, "") for code in sets.classes]
    if table is not None:
        unknown = [
            f"{code} ({n})"
            for code, n in zip(sets.classes, sets.counts, strict=True)
            if code not in table.class_of and n
        ]
        if unknown:
            shown = listed(unknown)
            notes.append(
                f"{len(unknown)} codes are not in {table.name}; their parcels were dropped: {shown}."
            )
    totals: dict[str, int] = {}
    for name, n in zip(names, sets.counts, strict=True):
        if name and n:
            totals[name] = totals.get(name, 0) + int(n)
    if len(totals) < 2:
        what = f"only one class, '{next(iter(totals))}'" if totals else "no class"
        raise InputError(
            f"The labels hold {what}.", "Choose a class field (or class table) with at least two classes."
        )
    few = {name: n for name, n in totals.items() if n < min_parcels}
    merged = rare == "merge" and bool(few) and sum(few.values()) + totals.get(OTHER, 0) >= min_parcels
    if few:
        rarest = listed([f"{name} ({n})" for name, n in sorted(few.items())])
        done = f"were merged into '{OTHER}'" if merged else "were dropped"
        notes.append(f"Classes with fewer than {min_parcels} parcels {done}: {rarest}.")
    final = sorted(name for name in totals if name not in few and name != OTHER)
    if merged or (OTHER in totals and OTHER not in few):
        final.append(OTHER)
    if len(final) < 2:
        wrong = len(totals) > SHOWN and sum(totals.values()) < 2 * len(totals)
        raise InputError(
            f"Fewer than two classes have at least {min_parcels} parcels: {most_frequent(totals)}.",
            "The field may be the wrong one (hardly any value comes twice): choose the field with the crop."
            if wrong
            else "Add parcels, or lower MIN_PARCELS.",
            wrong_field=wrong,
        )
    place = {name: i for i, name in enumerate(final)}
    if merged:
        place |= dict.fromkeys(few, place[OTHER])
    by_code = np.array([place.get(name, -1) for name in names], dtype=np.int64)
    labels = np.where(sets.labels >= 0, by_code[sets.labels], -1)
    left = sets.subset(labels >= 0)
    left = _relabelled(left, labels[labels >= 0], tuple(final))
    colors = distinct_colors(final, {} if table is None else table.color_of)
    codes = [[c for c, k in zip(sets.classes, by_code, strict=True) if k == i] for i in range(len(final))]
    infos = [ClassInfo(name, colors[name], tuple(own)) for name, own in zip(final, codes, strict=True)]
    return left, infos, notes


def with_classes(sets: PixelSets, classes: Sequence[str]) -> PixelSets:
    """The same sets with labels counted in another list of classes that holds all of theirs."""
    place = np.array([list(classes).index(name) for name in sets.classes], dtype=np.int64)
    labels = np.where(sets.labels >= 0, place[sets.labels], -1) if len(place) else sets.labels
    return _relabelled(sets, labels, tuple(classes))


def most_frequent(totals: Mapping[str, int]) -> str:
    """The `SHOWN` largest counts in words, and how many more there are."""
    ordered = sorted(totals.items(), key=lambda item: (-item[1], item[0]))
    more = f" and {len(ordered) - SHOWN} more" if len(ordered) > SHOWN else ""
    return ", ".join(f"{name} {n}" for name, n in ordered[:SHOWN]) + more


def listed(words: Sequence[str]) -> str:
    """The first `LISTED` words; how many more there are where that isn't all."""
    shown = ", ".join(words[:LISTED])
    return shown if len(words) <= LISTED else f"{shown} and {len(words) - LISTED} more"


def distinct_colors(names: Sequence[str], given: Mapping[str, str] | None = None) -> dict[str, str]:
    """A colour for each class: the given one, else that of the crop, else a spare one; no colour twice."""
    out = {name: color for name, color in (given or {}).items() if name in names}
    used = set(out.values())
    for name in names:
        if name in out:
            continue
        words = name.lower().replace("_", " ").replace("-", " ")
        fitting = [color for word, color in COLORS_BY_WORD if re.search(word, words)]
        color = next((c for c in [*fitting[:1], *SPARE_COLORS] if c not in used), None)
        out[name] = color or _spread(len(used))
        used.add(out[name])
    return {name: out[name] for name in names}


def _spread(number: int) -> str:
    """Colour number `number` on a spiral of hues, for more classes than the palette has."""
    import colorsys

    red, green, blue = colorsys.hls_to_rgb((number * 0.618034) % 1, 0.35 + 0.1 * (number % 4), 0.65)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"


def _relabelled(sets: PixelSets, labels: npt.NDArray[np.int64], classes: tuple[str, ...]) -> PixelSets:
    import dataclasses

    return dataclasses.replace(sets, labels=labels, classes=classes)
