"""Pixel labels for the report on masks: read, and counted in the ticked crops."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sits_engine.errors import InputError
from sits_engine.samples.classes import ClassTable, listed
from sits_engine.samples.raster_classes import named_classes
from sits_engine.samples.window_labels import open_labels
from sits_engine.series.types import Window

if TYPE_CHECKING:
    from sits_engine.learning.exact.truth import PixelTruth
    from sits_engine.samples.bags import Bags
    from sits_engine.series.time_series import TimeSeries


def read_truth(
    series: TimeSeries,
    bags: Bags,
    *,
    parcels: str | None = None,
    field: str | None = None,
    raster: Path | None = None,
    table: ClassTable | None = None,
) -> PixelTruth | None:
    """Labels of the pixels of all windows, or None where nothing is given.

    A label means the ticked crop of its name (capitals don't matter) or of its line in the class table;
    those of other crops are background. Pixels without a label are unknown.

    Raises:
        InputError: unreadable, elsewhere, or not one label means a ticked crop.
    """
    from sits_engine.learning.exact.truth import PixelTruth

    text = parcels or (str(raster) if raster else None)
    if text is None:
        return None
    labels = open_labels([text], field, series.grid, 1, series.title)
    name = Path(text.split("|")[0]).name
    named = {} if raster is None else {str(c.value): c.name for c in named_classes(raster)}
    place = {one.casefold(): k for k, one in enumerate(bags.classes)}
    k = len(bags.classes)
    lookup = np.full(len(labels.codes) + 1, -1, np.int16)  # the last one: unknown
    for i, code in enumerate(labels.codes):
        meant = table.class_of.get(code, code) if table else named.get(code, code)
        if meant:
            lookup[i] = place.get(meant.casefold(), k)
    if not ((lookup >= 0) & (lookup < k)).any():
        raise InputError(
            f"No label of {name} means a ticked crop. Labels: {listed(labels.codes)}; crops: "
            f"{listed(bags.classes)}.",
            "Give a class table (code,class) whose classes are the ticked crops, or another field.",
        )
    height, width = bags.windows.size
    found = [
        lookup[labels.burn(Window(row, col, height, width)).labels]
        for row, col in zip(bags.windows.rows.tolist(), bags.windows.cols.tolist(), strict=True)
    ]
    truth = np.stack(found)
    truth[~bags.inside] = -1
    return PixelTruth(name, truth, bool((truth == k).any()))
