"""Vector layers as QGIS names them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sits_engine.errors import Notice


@dataclass(frozen=True)
class VectorSource:
    """A vector layer as QGIS writes it: `path|layername=NAME|subset=WHERE`."""

    path: Path
    layer: str | int | None = None
    where: str | None = None

    @classmethod
    def parse(cls, text: str) -> VectorSource:
        """Take such a string apart; unknown options (geometrytype, …) are ignored."""
        # a filter may hold '|' itself; QGIS writes it last
        head, separator, where = text.partition("|subset=")
        path, *options = head.split("|")
        named = dict(option.split("=", 1) for option in options if "=" in option)
        layer: str | int | None = named.get("layername")
        if layer is None and named.get("layerid", "").isdigit():
            layer = int(named["layerid"])
        return cls(Path(path).expanduser(), layer, where if separator else None)

    @property
    def chosen(self) -> str | int | None:
        """The layer that is read: the one that is named, else the first of the file.

        Warns with a `Notice` where another one with geometries could be meant. None where the layers can't be
        listed: whoever reads the file says what is wrong with it.
        """
        import pyogrio

        if self.layer is not None or self.path.suffix.lower() == ".geojson":
            return self.layer  # a GeoJSON holds one, and would be read as a whole to list it
        try:
            layers = pyogrio.list_layers(self.path)
        except pyogrio.errors.DataSourceError:
            return None
        if not len(layers):
            return None
        first = str(layers[0][0])
        if others := ", ".join(f"'{name}'" for name, geometry in layers[1:] if geometry is not None):
            warnings.warn(
                f"{self.path.name} has several layers and none is named: its first one, '{first}', is used. "
                f"To use another one ({others}), write {self.path.name}|layername=NAME.",
                Notice,
                stacklevel=2,
            )
        return first

    @property
    def options(self) -> dict[str, Any]:
        """What pyogrio's functions need beside the path to read `chosen`."""
        return {} if (layer := self.chosen) is None else {"layer": layer}

    @property
    def name(self) -> str:
        """File name, with the layer where one is named."""
        return self.path.name if self.layer is None else f"{self.path.name} ({self.layer})"
