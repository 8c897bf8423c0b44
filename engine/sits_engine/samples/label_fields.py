"""Names of crops as fields of a layer: one yes/no field a crop, with a name that every program can read."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from sits_engine.errors import InputError

#: Layer of windows that are ticked, and its fields beside the crops.
LAYER, ID_FIELD, DONE_FIELD = "windows", "window", "done"
#: Names that GeoPackage or the layer itself needs.
TAKEN = frozenset({"fid", "ogc_fid", "id", "geom", "geometry", "rowid", ID_FIELD, DONE_FIELD})
#: Put before names that are taken or begin with a digit.
PREFIX = "crop_"
#: Nobody ticks more in one form.
MOST_CLASSES = 100
#: Letters that Unicode doesn't take apart.
_LETTERS = str.maketrans({"ß": "ss", "ø": "o", "ł": "l", "æ": "ae", "œ": "oe", "đ": "d", "ð": "d", "þ": "th"})


def listed_classes(text: str) -> tuple[str, ...]:
    """Names in a text: one a line or separated by semicolons; without either, by commas.

    Raises:
        InputError: no name, an empty one, one alone, one that occurs twice, or more than `MOST_CLASSES`.
    """
    separator = r"[;\n]" if re.search(r"[;\n]", text.strip(" ;,\n\r\t")) else ","
    pieces = [piece.strip() for piece in re.split(separator, text.strip(" ;,\n\r\t"))]
    for place, piece in enumerate(pieces, start=1):
        if not piece:
            where = f"name {place} of {len(pieces)} is empty" if len(pieces) > 1 else "it holds no name"
            raise InputError(
                f"The list of crops, '{text.strip()}', can't be used: {where}.",
                "Write names with commas between them, for example: wheat, maize, grassland.",
            )
    return checked_classes(pieces)


def checked_classes(names: Sequence[str]) -> tuple[str, ...]:
    """The names, if each can have a field of its own.

    Raises:
        InputError: no name, a single one, too many, or names that collide (see `field_names_of`).
    """
    if not names:
        raise InputError("No crop is given.", "Write the names of the crops in CLASSES.")
    if len(names) == 1:
        raise InputError(
            f"There is one crop only, '{names[0]}'; with nothing beside it masks can't be learned.",
            "Write two or more in CLASSES; where one crop matters, add 'other crops' and tick that, too.",
        )
    if len(names) > MOST_CLASSES:
        raise InputError(
            f"{len(names)} crops are given; windows hold {MOST_CLASSES} at most.",
            "Name the crops that matter in CLASSES, or join rare ones with a class table. If the names come "
            "from a field, it may be the wrong one.",
        )
    field_names_of(names)
    return tuple(names)


def field_name(name: str) -> str:
    """A safe name of a field: lower-case letters and digits, '_' between words; '' if nothing is left.

    Accents go (maïs -> mais); letters of other alphabets stay, GeoPackage stores them.
    """
    plain = unicodedata.normalize("NFKD", name.lower().translate(_LETTERS))
    plain = unicodedata.normalize("NFC", "".join(c for c in plain if not "\u0300" <= c <= "\u036f"))
    safe = re.sub(r"\W+", "_", plain).strip("_")[:50].rstrip("_")
    return f"{PREFIX}{safe}" if safe in TAKEN or safe[:1].isdigit() else safe


def field_names_of(names: Sequence[str]) -> tuple[str, ...]:
    """The field of each crop.

    Raises:
        InputError: a name without letter or digit, or two names that would be the same field.
    """
    owner: dict[str, str] = {}
    for name in names:
        field = field_name(name)
        if not field:
            raise InputError(
                f"The crop '{name}' has no letter or digit, so that no field can have its name.",
                "Give it another name.",
            )
        if field in owner:
            what = (
                "is named twice" if owner[field] == name else f"and '{owner[field]}' are one field, '{field}'"
            )
            raise InputError(
                f"The crop '{name}' {what}: capitals, accents and signs don't tell fields apart.",
                "Leave one of them out, or give it another name.",
            )
        owner[field] = name
    return tuple(owner)
