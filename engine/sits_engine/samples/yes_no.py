"""Yes/no fields of a polygon layer: which ones there are, and what they say."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
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
        import pyogrio
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
        options: dict[str, Any] = {} if source.layer is None else {"layer": source.layer}
        info = pyogrio.read_info(source.path, **options)
        kinds = {
            str(field): "boolean" if subtype == "OFSTBoolean" else KINDS.get(kind, "special")
            for field, kind, subtype in zip(
                info["fields"], info["ogr_types"], info["ogr_subtypes"], strict=True
            )
        }
        return cls(frame, name, kinds), notes

    def tick_fields(
        self, fields: Sequence[str] | None, known: Collection[str], done_field: str | None
    ) -> list[str]:
        """The fields that are ticked.

        Args:
            fields: those that the user names, or None.
            known: those that the file itself names.
            done_field: is none of them.

        Raises:
            InputError: a named one isn't there, or there is none.
        """
        if fields is not None:
            for one in fields:
                self._check_there(one)
            if not fields:
                raise InputError("FIELDS is empty.", "Name the yes/no fields, one a class, or none for all.")
            return list(dict.fromkeys(fields))
        own = [one for one in self.kinds if one not in (done_field, ID_FIELD)]
        chosen = [one for one in own if one in known]
        chosen = chosen or [one for one in own if self.kinds[one] == "boolean"]
        chosen = chosen or [
            one
            for one in own
            if self.kinds[one] == "integer" and 0 < len(self._values(one)) <= 2 and self._fits(one)
        ]
        if chosen:
            return chosen
        for one in own:
            words = {str(value).strip().casefold() for value in self._values(one)} - {""}
            if self.kinds[one] == "text" and words and words <= WORDS:
                raise self._wrong_type(one)
        types = ", ".join(f"{one} ({self.kinds[one]})" for one in own[:SHOWN]) or "none"
        raise InputError(
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
