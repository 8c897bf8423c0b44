"""Yes/no fields of a polygon layer: which ones there are, and what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sits_engine.errors import InputError
from sits_engine.samples.label_fields import ID_FIELD
from sits_engine.samples.vectors import SHOWN, VectorSource, read_vector, repaired
from sits_engine.samples.window_classes import listed

if TYPE_CHECKING:
    import geopandas as gpd

#: Texts that look like an answer to "is it there?".
WORDS = frozenset(
    {
        "yes",
        "no",
        "y",
        "n",
        "true",
        "false",
        "t",
        "f",
        "ja",
        "nein",
        "j",
        "oui",
        "non",
        "si",
        "sí",
        "1",
        "0",
        "x",
    }
)
#: Types of fields in words; a boolean is a subtype of an integer.
KINDS = {
    "OFTInteger": "integer",
    "OFTInteger64": "integer",
    "OFTReal": "decimal number",
    "OFTString": "text",
    "OFTDate": "date",
    "OFTDateTime": "date",
    "OFTTime": "time",
}


#: A field of numbers with 0, 1 and few others (a slip of the hand, an "unsure") may be meant as ticks.
MOST_ALIKE = 4


@dataclass(frozen=True)
class TickFields:
    """Fields that are ticked, and sentences on others: `warnings` where a crop may be lost."""

    names: list[str]
    notes: list[str]
    warnings: list[str]


@dataclass(frozen=True)
class YesNoTable:
    """A polygon layer with the types of its fields.

    Attributes:
        frame: rows with a polygon, repaired.
        name: file and layer, for messages.
        kinds: type of each field in words: boolean, integer, decimal number, text, date, …
    """

    frame: gpd.GeoDataFrame
    name: str
    kinds: Mapping[str, str]

    @classmethod
    def read(cls, layer: str, name: str) -> tuple[YesNoTable, list[str]]:
        """The layer, called `name` in messages, and sentences on what was dropped or repaired.

        Raises:
            InputError: as `read_vector`; or no polygons.
        """
        import shapely

        frame, source = read_vector(layer), VectorSource.parse(layer)
        geometries = frame.geometry.to_numpy()
        areal = (shapely.get_dimensions(geometries) == 2) & ~shapely.is_empty(geometries)
        if not areal.any():
            raise InputError(f"{name} holds no polygons.", "Give the layer of windows that you have ticked.")
        notes = []
        if not areal.all():
            notes.append(f"{name}: {int((~areal).sum())} rows without polygon were dropped.")
        frame, fixed = repaired(frame[areal].reset_index(drop=True))
        if fixed:
            notes.append(f"{name}: {fixed} invalid polygons were repaired.")
        kinds = field_kinds(source.path, source.chosen)
        return cls(frame, name, kinds), notes

    def tick_fields(
        self, fields: Sequence[str] | None, known: Mapping[str, str], done_field: str | None
    ) -> TickFields:
        """The fields that are ticked, and sentences on those that are not.

        Args:
            fields: those that the user names, or None.
            known: field -> crop, the list that the file itself has; {}: none.
            done_field: is none of them, however its capitals are.

        Raises:
            InputError: a named one isn't there; there is none; or one of the file's list is gone while the
                layer has a yes/no field that the list lacks.
        """
        if fields is not None:
            return self._named(fields, done_field)
        aside = {ID_FIELD, *([] if done_field is None else [done_field.casefold()])}
        own = [one for one in self.kinds if one.casefold() not in aside]
        ticked = [one for one in self.ticked() if one in own]
        chosen = [one for one in own if one in known]
        warnings = self._against_list(known, [one for one in ticked if one not in known])
        notes = []
        if not chosen:
            chosen = ticked
            whole = [one for one in chosen if self.kinds[one] == "integer"]
            if whole and len(whole) < len(chosen):
                notes.append(
                    f"{self.name}: integer fields that hold 0 and 1 only count as ticks: {listed(whole)}."
                )
        if not chosen:
            raise self._no_field(own)
        rest = [one for one in own if one not in chosen and one not in ticked]
        alike = [one for one in rest if self._looks_ticked(one)]
        if alike:
            warnings.append(
                f"{self.name}: these fields look like ticks but are of another type, so no crop was made of "
                f"them: {listed([self._described(one) for one in alike])}. Turn them into fields of type "
                "boolean if they are crops."
            )
        others = [f"{one} ({self.kinds[one]})" for one in rest if one not in alike]
        if others:
            notes.append(f"{self.name}: fields without yes and no were passed over: {listed(others)}.")
        return TickFields(chosen, notes, warnings)

    def ticked(self) -> list[str]:
        """All fields that hold ticks, the one for done windows too: boolean, or integer with 0 and 1 only."""
        return [one for one in self.kinds if one != ID_FIELD and self._says_yes_or_no(one)]

    def spelled(self, one: str) -> str:
        """The name of a field as the layer spells it, whose capitals may differ; else `one`."""
        if one in self.kinds:
            return one
        return next((there for there in self.kinds if there.casefold() == one.casefold()), one)

    def _named(self, fields: Sequence[str], done_field: str | None) -> TickFields:
        for one in fields:
            self._check_there(one)
        if not fields:
            raise InputError("FIELDS is empty.", "Name the yes/no fields, one a class, or none for all.")
        done = "" if done_field is None else done_field.casefold()
        chosen = [one for one in dict.fromkeys(fields) if one.casefold() != done]
        left = [one for one in dict.fromkeys(fields) if one.casefold() == done]
        said = [f"{self.name}: '{one}' says that a window was looked at; it is no crop." for one in left]
        if not chosen:
            raise InputError(said[0], "Name the yes/no fields of crops, or none for all.")
        return TickFields(chosen, said, [])

    def _against_list(self, known: Mapping[str, str], extra: list[str]) -> list[str]:
        """Sentences on crops of the file's list without a field, and on yes/no fields that the list lacks."""
        gone = [f"{crop} ({one})" for one, crop in known.items() if one not in self.kinds]
        if gone and extra:
            raise InputError(
                f"The list of crops in {self.name} names fields that the layer lacks: {listed(gone)}; and "
                f"the layer has yes/no fields that the list lacks: {listed(extra)}. Was a field renamed?",
                "Give the fields their names back, or choose the fields of all crops in FIELDS.",
            )
        if gone:
            return [
                f"{self.name}: crops of its list whose fields are gone, left out: {listed(gone)}. What was "
                "ticked in them counts as missing."
            ]
        if known and extra:
            return [
                f"{self.name}: yes/no fields that its list of crops lacks were passed over: {listed(extra)}. "
                "If they are crops, choose the fields of all crops in FIELDS."
            ]
        return []

    def _no_field(self, own: list[str]) -> InputError:
        for one in own:
            if self.kinds[one] == "text" and self._looks_ticked(one):
                return self._wrong_type(one)
        types = ", ".join(f"{one} ({self.kinds[one]})" for one in own[:SHOWN]) or "none"
        return InputError(
            f"The layer {self.name} has no yes/no field. Its fields: {types}.",
            "Make the layer with 'Create label windows', or add a field of type boolean for each crop.",
        )

    def answers(self, one: str) -> npt.NDArray[np.bool_]:
        """(N,) bool of a field; unknown is no.

        Raises:
            InputError: not there, or not of a type that says yes or no: names field, type and the way out.
        """
        import pandas as pd

        self._check_there(one)
        if self.kinds[one] not in ("boolean", "integer") or not self._fits(one):
            raise self._wrong_type(one)
        return np.array([not pd.isna(value) and bool(value) for value in self.frame[one]], dtype=bool)

    def _says_yes_or_no(self, one: str) -> bool:
        """Is it a boolean, or an integer with nothing but 0, 1 and unknown?"""
        if self.kinds[one] == "boolean":
            return True
        return self.kinds[one] == "integer" and bool(self._values(one)) and self._fits(one)

    def _looks_ticked(self, one: str) -> bool:
        """Has a field of another type the values of ticks?"""
        if self.kinds[one] == "text":
            words = {str(value).strip().casefold() for value in self._values(one)} - {""}
            return bool(words) and words <= WORDS
        if self.kinds[one] not in ("integer", "decimal number"):
            return False
        values = self._values(one)
        return len(values) <= MOST_ALIKE and {0, 1} <= set(values)

    def _described(self, one: str) -> str:
        values = listed(sorted(str(value) for value in self._values(one))[:6]) or "no values"
        return f"{one}: {self.kinds[one]} ({values})"

    def _values(self, one: str) -> list[Any]:
        """Different values of a field, without the unknown."""
        return list(self.frame[one].dropna().unique())

    def _fits(self, one: str) -> bool:
        return all(value in (0, 1) for value in self._values(one))

    def _check_there(self, one: str) -> None:
        if one not in self.kinds:
            shown = ", ".join(list(self.kinds)[:SHOWN]) or "none"
            raise InputError(
                f"The layer {self.name} has no field '{one}'. Its fields: {shown}.", "Choose one of these."
            )

    def _wrong_type(self, one: str) -> InputError:
        kind = self.kinds[one]
        values = listed(sorted(str(value) for value in self._values(one))[:6]) or "no values"
        way = "Choose fields of type boolean, or integer fields that hold 0 and 1 only."
        if kind == "text":
            way = (
                "In QGIS' field calculator make a new field of type boolean from it, for example with "
                f"lower(\"{one}\") in ('yes', 'true', '1')."
            )
        return InputError(
            f"The field '{one}' of {self.name} is of type {kind} ({values}); ticks need yes/no "
            "fields: boolean, or integers 0 and 1.",
            way,
            field=one,
            type=kind,
        )


def field_kinds(path: Path, layer: str | int | None) -> dict[str, str]:
    """Type of each field of a layer in words, see `KINDS`; a boolean is called so."""
    import pyogrio

    options: dict[str, Any] = {} if layer is None else {"layer": layer}
    info = pyogrio.read_info(path, **options)
    return {
        str(field): "boolean" if subtype == "OFSTBoolean" else KINDS.get(kind, "special")
        for field, kind, subtype in zip(info["fields"], info["ogr_types"], info["ogr_subtypes"], strict=True)
    }
