"""Classes of the published TimeMatch data: from the crop codes of a country to the names of an experiment."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from sits_engine.errors import InputError
from sits_engine.samples.classes import ClassTable

UNKNOWN = "unknown"
#: Parts of the names that `combine_spring_and_winter` drops.
SEASONS = ("spring_", "winter_")


def read_class_mapping(path: Path, *, combine_spring_and_winter: bool = False) -> dict[str, str]:
    """National crop code -> class name.

    Args:
        path: a CSV with the columns code and class (`ClassTable`), or a JSON object {code: name}. The
            published YAML becomes such a CSV with `tools/convert_timematch.py mapping`.
        combine_spring_and_winter: 'spring_wheat' and 'winter_wheat' are both 'wheat'.

    Raises:
        InputError: not there, neither form, or nothing in it.

    Source: shared/spec/timematch.md section 1.4.
    """
    if not path.is_file():
        raise InputError(f"There is no class mapping {path}.", "Check the path.")
    mapping = _read_json(path) if path.suffix.lower() == ".json" else dict(ClassTable.read(path).class_of)
    if combine_spring_and_winter:
        mapping = {code: _without_season(name) for code, name in mapping.items()}
    return {code: name or UNKNOWN for code, name in mapping.items()}


def names_of(codes: Sequence[str], mapping: Mapping[str, str]) -> list[str]:
    """Class name of each crop code; 'unknown' where the mapping doesn't have it."""
    return [mapping.get(code, UNKNOWN) for code in codes]


def class_list(
    source_names: Sequence[str], *, min_parcels: int = 200, with_unknown: bool = True
) -> list[str]:
    """Classes of an experiment, in the alphabetical order of the published networks' outputs.

    Args:
        source_names: name of each parcel of the source tile.
        min_parcels: fewest parcels of a class in the source tile.
        with_unknown: 'unknown' is a class like any other, also where it has fewer parcels (the published
            code needs it in the list), or none. Without a parcel of it in the source there is none either.

    Raises:
        InputError: fewer than two classes have that many parcels.

    Source: shared/spec/timematch.md section 1.4, pitfalls.md 1.19.
    """
    counts = Counter(source_names)
    kept = {name for name, n in counts.items() if n >= min_parcels and name != UNKNOWN}
    rest = with_unknown and any(name not in kept for name in counts)
    classes = sorted({*kept, UNKNOWN} if rest else kept)
    if len(classes) < 2 or not kept:
        most = ", ".join(f"{name} {n}" for name, n in counts.most_common(5))
        raise InputError(
            f"Fewer than two classes have at least {min_parcels} parcels in the source tile: {most}.",
            "Check that the class mapping belongs to the source's country, or lower MIN_PARCELS.",
        )
    return classes


def _without_season(name: str) -> str:
    for season in SEASONS:
        name = name.removeprefix(season)
    return name


def _read_json(path: Path) -> dict[str, str]:
    advice = 'Write a JSON object of crop code and class name, e.g. {"251": "meadow"}, or a CSV code,class.'
    try:
        raw = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise InputError(f"The class mapping {path} can't be read: {error}.", advice) from error
    if (
        not isinstance(raw, dict)
        or not raw
        or not all(isinstance(name, str) and name.strip() for name in raw.values())
    ):
        raise InputError(f"The class mapping {path.name} is no object of codes and names.", advice)
    return {code.strip(): name.strip() for code, name in raw.items()}
