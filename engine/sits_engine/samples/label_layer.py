"""The layer of windows to be ticked, as a GeoPackage that nobody's ticks are lost from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sits_engine.errors import InputError
from sits_engine.outputs import atomic
from sits_engine.samples.label_fields import DONE_FIELD, ID_FIELD, LAYER, field_names_of
from sits_engine.samples.label_grid import LabelGrid
from sits_engine.samples.yes_no import YesNoTable, field_kinds
from sits_engine.series.vector_source import VectorSource

if TYPE_CHECKING:
    import pandas as pd

#: Tables beside the windows: which crop a field is; how the windows were made.
CLASSES_TABLE, FACTS_TABLE = "classes", "facts"
#: Fact that tells whether somebody has changed the ticks since they were written.
DIGEST = "ticks"


def write_windows(
    path: Path,
    windows: LabelGrid,
    classes: Sequence[str],
    colors: Mapping[str, str],
    ticks: npt.NDArray[np.bool_],
    done: npt.NDArray[np.bool_],
    facts: Mapping[str, str],
) -> None:
    """Write a GeoPackage; it appears complete or not at all.

    Layers: `windows` (polygons: window, a number from 1 in reading order; done; one yes/no field a crop);
    tables `classes` (field, class, color) and `facts` (name, value).

    Args:
        path: .gpkg.
        windows: N of them.
        classes: K crops.
        colors: of each crop.
        ticks: (N, K).
        done: (N,).
        facts: how the windows were made.
    """
    import geopandas as gpd
    import pandas as pd
    import pyogrio

    fields = field_names_of(classes)
    columns = {
        ID_FIELD: np.arange(1, len(windows) + 1, dtype=np.int32),
        DONE_FIELD: done.astype(bool),
        **{field: ticks[:, k].astype(bool) for k, field in enumerate(fields)},
    }
    layer = gpd.GeoDataFrame(columns, geometry=windows.polygons(), crs=windows.grid.crs)
    names = pd.DataFrame(
        {"field": fields, "class": list(classes), "color": [colors[name] for name in classes]}
    )
    all_facts = {**facts, DIGEST: _digest(layer, (DONE_FIELD, *fields))}
    about = pd.DataFrame({"name": list(all_facts), "value": [str(value) for value in all_facts.values()]})
    with atomic(path) as temporary:
        # 1.2: QGIS 3.22 warns about newer ones
        pyogrio.write_dataframe(
            layer, temporary, layer=LAYER, driver="GPKG", dataset_options={"VERSION": "1.2"}
        )
        for name, table in ((CLASSES_TABLE, names), (FACTS_TABLE, about)):
            pyogrio.write_dataframe(table, temporary, layer=name, driver="GPKG", append=True)


def named_layer(layer: str) -> str:
    """The vector string with the layer of windows named, where the file has one and none is named."""
    import pyogrio

    source = VectorSource.parse(layer)
    if source.layer is not None or source.where is not None or not source.path.is_file():
        return layer
    try:
        there = {str(name) for name, _ in pyogrio.list_layers(source.path)}
    except pyogrio.errors.DataSourceError:
        return layer  # whoever reads it says what is wrong
    return f"{layer}|layername={LAYER}" if len(there) > 1 and LAYER in there else layer


def classes_of(path: Path) -> dict[str, tuple[str, str]]:
    """Field -> (crop, colour) as the table `classes` of a file says; {} where it has none."""
    table = _table(path, CLASSES_TABLE, ("field", "class", "color"))
    if table is None:
        return {}
    rows = zip(*(table[name].astype(str) for name in ("field", "class", "color")), strict=True)
    return {field: (name, color) for field, name, color in rows}


def refuse_ticked(path: Path) -> None:
    """Before `path` is replaced: has somebody ticked windows in it?

    A file whose ticks are still those that it was written with may be made anew.

    Raises:
        InputError: there are ticks that would be lost.
    """
    import pyogrio

    if not path.is_file():
        return
    try:
        layers = [str(name) for name, kind in pyogrio.list_layers(path) if kind is not None]
        for layer in layers:
            kinds = field_kinds(path, layer)
            numbers = [one for one, kind in kinds.items() if kind in ("boolean", "integer")]
            if not numbers:
                continue
            frame = pyogrio.read_dataframe(path, layer=layer, columns=numbers, read_geometry=False)
            yes_no = YesNoTable(frame, layer, {one: kinds[one] for one in numbers}).ticked()
            if not yes_no:
                continue
            ticked = int(_yes(frame[yes_no]).any(axis=1).sum())
            if ticked and _digest(frame, yes_no) != _fact(path, DIGEST):
                raise InputError(
                    f"{path} holds {ticked} windows that are ticked or done (layer {layer}); they would be "
                    "lost.",
                    "Choose another name for the output, or delete the file if its ticks are not needed.",
                    ticked=ticked,
                )
    except pyogrio.errors.DataSourceError:
        return  # no layer: nothing that was ticked


def _fact(path: Path, name: str) -> str | None:
    table = _table(path, FACTS_TABLE, ("name", "value"))
    if table is None:
        return None
    return next(
        (str(value) for key, value in zip(table["name"], table["value"], strict=True) if key == name), None
    )


def _table(path: Path, layer: str, columns: Sequence[str]) -> pd.DataFrame | None:
    """A table of the file with these columns, or None."""
    import pyogrio

    try:
        if layer not in {str(name) for name, _ in pyogrio.list_layers(path)}:
            return None
        table = pyogrio.read_dataframe(path, layer=layer, read_geometry=False)
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError):
        return None
    return table if set(columns) <= set(table.columns) else None


def _digest(frame: pd.DataFrame, fields: Sequence[str]) -> str:
    """Changes when a tick does."""
    digest = hashlib.sha256("|".join(fields).encode())
    digest.update(np.packbits(_yes(frame[list(fields)])).tobytes())
    return digest.hexdigest()


def _yes(frame: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """(N, F) bool; what is unknown counts as no."""
    return np.column_stack([[value is True or value == 1 for value in frame[name]] for name in frame.columns])
