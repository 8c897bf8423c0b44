"""Classes of the LUCAS survey: from codes of a table to names, task by task.

Names are those of the survey (LUCAS 2018, technical reference C3), as in resources/prompts. The published
evaluation asked for 'crop' and 'bioregion' but tested for 'crops' and 'bio_region', and so scored land-cover
labels against crop prompts (pitfalls, 5.2): here a task that isn't known is an error, and its labels come
from its own field only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sits_engine.errors import InputError

LAND_COVER = {
    "A": "Artificial land", "B": "Cropland", "C": "Woodland", "D": "Shrubland", "E": "Grassland",
    "F": "Bare land", "G": "Water areas", "H": "Wetlands",
}  # fmt: skip
LAND_USE = {
    "U11": "Agriculture", "U12": "Forestry", "U13": "Aquaculture and fishing", "U14": "Mining and quarrying",
    "U15": "Other primary production", "U21": "Energy production", "U22": "Industry and manufacturing",
    "U31": "Transport, communication networks, storage and protection works",
    "U32": "Water and waste treatment", "U33": "Construction", "U34": "Commerce, finance and business",
    "U35": "Community services", "U36": "Recreation, leisure and sport",
    "U37": "Residential", "U41": "Abandoned areas", "U42": "Semi-natural and natural areas not in use",
}  # fmt: skip
CROPS = {
    "B11": "Common wheat", "B12": "Durum wheat", "B13": "Barley", "B14": "Rye", "B15": "Oats", "B16": "Maize",
    "B17": "Rice", "B18": "Triticale", "B19": "Other cereals", "B21": "Potatoes", "B22": "Sugar beet",
    "B23": "Other root crops", "B31": "Sunflower", "B32": "Rape and turnip rape", "B33": "Soya",
    "B34": "Cotton", "B35": "Other fibre and oleaginous crops", "B36": "Tobacco",
    "B37": "Other non-permanent industrial crops", "B41": "Dry pulses", "B42": "Tomatoes",
    "B43": "Other fresh vegetables", "B44": "Floriculture and ornamental plants", "B45": "Strawberries",
    "B51": "Clovers", "B52": "Lucerne", "B53": "Other leguminous and mixtures for fodder",
    "B54": "Mixed cereals for fodder", "B55": "Temporary grasslands", "B71": "Apple fruit",
    "B72": "Pear fruit", "B73": "Cherry fruit", "B74": "Nuts trees", "B75": "Other fruit trees and berries",
    "B76": "Oranges", "B77": "Other citrus fruit", "B81": "Olive groves", "B82": "Vineyards",
    "B83": "Nurseries", "B84": "Permanent industrial crops",
}  # fmt: skip


@dataclass(frozen=True)
class Task:
    """What places are classified by.

    Attributes:
        title: for people.
        fields: where its codes or names stand; the first that a table has counts.
        name_of: code -> name of the class, '' for codes of no class.
        templates: group of prompt templates that suits it.
        described: built-in set of descriptions, or None.
    """

    title: str
    fields: tuple[str, ...]
    name_of: Callable[[str], str]
    templates: str = "Generic"
    described: str | None = None


def _coded(names: Mapping[str, str], length: int) -> Callable[[str], str]:
    """Names by the first letters of a code; a name itself is fine as well."""
    known = {name.casefold(): name for name in names.values()}

    def name_of(code: str) -> str:
        text = code.strip()
        return names.get(text[:length].upper(), "") or known.get(text.casefold(), "")

    return name_of


def _as_it_stands(name: str) -> str:
    return " ".join(name.split())


#: Every task by its one name.
TASKS: dict[str, Task] = {
    "land_cover": Task(
        "land cover", ("lc1", "lc1_label"), _coded(LAND_COVER, 1), "LC_Generic", "lucas_land_cover"
    ),
    "land_use": Task("land use", ("lu1", "lu1_label"), _coded(LAND_USE, 3), "LU_Generic", "lucas_land_use"),
    "crops": Task("crops", ("lc1", "lc1_label"), _coded(CROPS, 3), "LC_Generic", "lucas_crops"),
    "habitat": Task(
        "habitats", ("eunis_class", "EUNIS_L2", "habitat"), _as_it_stands, described="eunis_habitats"
    ),
    "bioregion": Task("bioregions", ("bioregion_class", "bioregion"), _as_it_stands),
    "country": Task("countries", ("nuts_label", "country", "nuts0"), _as_it_stands),
}


def task_labels(
    labels: Mapping[str, npt.NDArray[np.str_]], task: str
) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """(N,) classes of places, -1 unknown, and their names, sorted.

    Args:
        labels: fields of the places.
        task: one of `TASKS`.

    Raises:
        InputError: no such task, none of its fields, or no code that it knows.
    """
    if task not in TASKS:
        raise InputError(f"There is no task '{task}'.", f"Tasks: {', '.join(TASKS)}.")
    known = TASKS[task]
    by_name = {name.casefold(): name for name in labels}
    field = next((by_name[f.casefold()] for f in known.fields if f.casefold() in by_name), None)
    if field is None:
        raise InputError(
            f"The places have no labels of {known.title}: none of the fields {', '.join(known.fields)} is "
            f"there. Their fields: {', '.join(labels) or 'none'}.",
            "Choose another task, or TASKS = field with LABEL_FIELD.",
        )
    return coded([known.name_of(str(code)) for code in labels[field]], f"{field} ({known.title})")


def coded(names: Sequence[str], source: str) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """(N,) places in the sorted list of names, -1 for '', and the list.

    Raises:
        InputError: fewer than two classes.
    """
    classes = tuple(sorted({name for name in names if name}))
    if len(classes) < 2:
        found = f"only '{classes[0]}'" if classes else "none"
        raise InputError(
            f"The labels of {source} have {found} class{'' if classes else 'es'}; scores need at least two.",
            "Choose another field or task, or more places.",
        )
    place = {name: number for number, name in enumerate(classes)}
    return np.array([place.get(name, -1) for name in names], np.int64), classes
