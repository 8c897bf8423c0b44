"""Vector layers as QGIS names them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


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
    def name(self) -> str:
        """File name, with the layer where one is named."""
        return self.path.name if self.layer is None else f"{self.path.name} ({self.layer})"
