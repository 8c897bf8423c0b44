"""Parcels classified as a whole: all their pixels at once, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from sits_engine.errors import InputError
from sits_engine.mapping.journal import Journal
from sits_engine.models.card import ModelCard
from sits_engine.outputs import atomic
from sits_engine.samples.footprints import default_buffer, eroded, inside_pixels
from sits_engine.samples.parcels import Series, read_pixels
from sits_engine.samples.pixel_sets import PixelSets, offsets_of
from sits_engine.samples.region import Region, read_polygons
from sits_engine.samples.vectors import VectorSource
from sits_engine.series.types import Cube, Grid, Window

if TYPE_CHECKING:
    import geopandas as gpd

#: Pixels of one parcel that a model of pixels reads at most, drawn at random: as in training.
MAX_PIXELS = 128
#: Fewer pixels than this inside the eroded parcel, and the pixel under its inner point is used.
MIN_PIXELS = 1
#: Values of one group of parcels in memory (bytes of float32).
GROUP_BYTES = 96 * 2**20
#: Field of the result that holds the identifier, where the user names one.
ID = "parcel_id"
#: Fields that the result adds; a field of the input with such a name gets the ending `_input`.
FIELDS = ("class", "confidence", "runner_up", "runner_up_confidence", "n_pixels", "n_dates", "small")


class SetPredictor(Protocol):
    """The part of `models.inference.Predictor` that parcels need."""

    def predict_sets(self, sets: PixelSets) -> npt.NDArray[np.float32]:
        """See `Predictor.predict_sets`."""


@dataclass
class Parcels:
    """Parcels of the region of interest, sorted so that neighbours are read together.

    Attributes:
        frame: as in the file (geometry repaired, own CRS, own attributes), sorted.
        pixels: one array of flat pixel numbers a parcel; empty for a parcel outside the images.
        small: (N,) bool, the parcel holds no whole pixel: its one pixel is that under its inner point.
        notes: sentences for the user.
        ids: identifier of each parcel, by the index of `frame`; None where no field was named.
    """

    frame: gpd.GeoDataFrame
    pixels: list[npt.NDArray[np.int64]]
    small: npt.NDArray[np.bool_]
    notes: list[str]
    ids: pd.Series | None = None


def find_parcels(
    source: str,
    region: Region,
    id_field: str | None,
    seed: int = 0,
    max_pixels: int | None = MAX_PIXELS,
) -> Parcels:
    """Read parcels and find their pixels: those inside, without the edge.

    Args:
        source: polygon layer, any CRS.
        region: only parcels whose inner point lies in it are kept (counted).
        id_field: field whose values name the parcels; `fid` is the number of the feature itself.
        seed: of the draw among the pixels of large parcels.
        max_pixels: of one parcel; None for all.

    Raises:
        InputError: unreadable, no polygons, no such field, no parcel in the region.
    """
    frame = read_polygons(source, "The parcels")
    name = VectorSource.parse(source).name
    ids = _identifiers(source, frame, id_field) if id_field else None
    grid = region.grid
    moved = frame.to_crs(grid.crs)
    inner = shapely.point_on_surface(moved.geometry.to_numpy())
    inside = _in_region(inner, region)
    notes = []
    if not inside.any():
        x0, y0, x1, y1 = moved.total_bounds
        box = Grid(grid.crs, grid.window_transform(region.window), region.window.height, region.window.width)
        theirs = ", ".join(f"{v:.8g}" for v in box.bounds)
        raise InputError(
            f"No parcel of {name} lies in the mapped region: parcels {x0:.8g}, {y0:.8g}, {x1:.8g}, {y1:.8g}, "
            f"region {theirs} (xmin, ymin, xmax, ymax in the CRS of the images).",
            "Choose parcels of this place, or correct the CRS of the layer.",
        )
    if not inside.all():
        notes.append(
            f"{name}: {int((~inside).sum())} of {len(frame)} parcels lie outside the region: left out."
        )
    frame, moved, inner = frame[inside], moved[inside], inner[inside]
    if ids is not None:
        ids = ids[inside]
        unclear = int((ids.isna() | ids.duplicated(keep=False)).sum())
        if unclear:
            notes.append(
                f"{name}: {unclear} of {len(ids)} parcels have no value of their own in '{id_field}': the "
                f"field {ID} of the result does not tell them apart."
            )
    order = _reading_order(inner, grid)
    frame, moved, inner = frame.iloc[order], moved.iloc[order], inner[order]
    rng = np.random.default_rng(seed)
    shapes = eroded(moved, default_buffer(grid), grid)
    pixels, small = [], np.zeros(len(frame), bool)
    for i, (shape, point) in enumerate(zip(shapes, inner, strict=True)):
        own = np.empty(0, np.int64) if shapely.is_empty(shape) else inside_pixels(shape, grid)
        if len(own) < MIN_PIXELS:
            own, small[i] = inside_pixels(point, grid), True
        if max_pixels is not None and len(own) > max_pixels:
            own = np.sort(rng.choice(own, max_pixels, replace=False))
        pixels.append(own)
    if small.any():
        notes.append(
            f"{name}: {int(small.sum())} of {len(frame)} parcels hold no whole pixel; the pixel under their "
            "inner point was used (field 'small')."
        )
    return Parcels(frame, pixels, small, notes, ids)


def classify_parcels(
    series: Series,
    parcels: Parcels,
    bands: Sequence[str],
    predictor: SetPredictor,
    n_classes: int,
    journal: Journal,
    tick: Callable[[float], None],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Probabilities (N, K), zeros where nothing is clear, and (N,) dates seen, of each parcel.

    Groups of neighbouring parcels are read and classified one after the other; finished groups of the
    journal are not computed again.
    """
    probabilities = np.zeros((len(parcels.frame), n_classes), np.float32)
    dates = np.zeros(len(parcels.frame), np.int64)
    sizes = np.array([len(own) for own in parcels.pixels])
    depth = len(series.positions) * (4 * len(bands) + 1)
    for part in _groups(sizes, max(1, GROUP_BYTES // depth)):
        name = f"parcels-{part.start}-{part.stop}"
        if name not in journal.done:
            tick(part.start / len(sizes))
            span = (part.stop - part.start) / len(sizes)

            def reading(share: float, start: float = part.start / len(sizes), span: float = span) -> None:
                tick(start + 0.5 * span * share)

            watched = _Watched(series)
            sets = _sets(watched, parcels, part, bands, reading)
            answers = predictor.predict_sets(sets)
            found: dict[str, npt.NDArray[Any]] = {"probabilities": answers, "dates": _dates_seen(sets)}
            journal.store(name, found, for_good=not watched.missing)
        stored = journal.load(name)
        probabilities[part], dates[part] = stored["probabilities"], stored["dates"]
        tick(part.stop / len(sizes))
    return probabilities, dates


def write_parcels(
    path: Path,
    parcels: Parcels,
    card: ModelCard,
    probabilities: npt.NDArray[np.float32],
    dates: npt.NDArray[np.int64],
) -> int:
    """Write the layer `parcels` of a GeoPackage; returns the number of parcels with a class.

    Fields: `parcel_id` where the user named the field of the identifier, those of the input, and `class`
    (null where nothing was clear), `confidence` (percent),
    `runner_up`, `runner_up_confidence` (percent), `n_pixels`, `n_dates` (dates with a clear pixel),
    `small` (see `Parcels`).
    """
    import pyogrio

    names = np.array(card.class_names, dtype=object)
    seen = probabilities.max(axis=1) > 0
    order = np.argsort(-probabilities, axis=1, kind="stable")
    rows = np.arange(len(order))
    second = order[:, min(1, len(names) - 1)]
    has_second = seen & (len(names) > 1)
    frame = parcels.frame.drop(columns=[c for c in ("fid", "ogc_fid") if c in parcels.frame.columns])
    taken = {name.lower() for name in FIELDS}
    if parcels.ids is not None:
        taken.add(ID)
    frame = frame.rename(columns={c: f"{c}_input" for c in frame.columns if str(c).lower() in taken})

    def share(which: npt.NDArray[np.int64], known: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
        return np.where(known, np.round(100 * probabilities[rows, which].astype(float), 1), np.nan)

    def named(which: npt.NDArray[np.int64], known: npt.NDArray[np.bool_]) -> npt.NDArray[np.object_]:
        chosen = names[which]
        chosen[~known] = None
        return chosen

    if parcels.ids is not None:
        frame.insert(0, ID, parcels.ids)
    frame["class"] = named(order[:, 0], seen)
    frame["confidence"] = share(order[:, 0], seen)
    frame["runner_up"] = named(second, has_second)
    frame["runner_up_confidence"] = share(second, has_second)
    frame["n_pixels"] = np.array([len(own) for own in parcels.pixels], dtype=np.int32)
    frame["n_dates"] = dates.astype(np.int32)
    frame["small"] = parcels.small
    # back to the order of the file
    frame = frame.sort_index()
    for column in frame.columns:
        if column != "geometry" and isinstance(frame[column].dtype, pd.CategoricalDtype):
            frame[column] = frame[column].astype(str)
    with atomic(path) as temporary:
        # 1.2: QGIS 3.22 warns about newer ones
        pyogrio.write_dataframe(
            frame, temporary, layer="parcels", driver="GPKG", dataset_options={"VERSION": "1.2"}
        )
    return int(seen.sum())


def _identifiers(source: str, frame: gpd.GeoDataFrame, id_field: str) -> pd.Series:
    """Values of the field that names the parcels, by the index of `frame`."""
    import pyogrio

    if id_field in frame.columns and id_field != "geometry":
        values: pd.Series = frame[id_field]
        return values
    vector = VectorSource.parse(source)
    if id_field.lower() in ("fid", "ogc_fid"):  # QGIS shows the number of the feature as a field
        every = pyogrio.read_dataframe(
            vector.path,
            columns=[],
            read_geometry=False,
            fid_as_index=True,
            where=vector.where,
            **vector.options,
        )
        return pd.Series(every.index.to_numpy()[frame.index.to_numpy()], index=frame.index)
    fields = ", ".join(str(c) for c in frame.columns if c != "geometry")
    raise InputError(
        f"The layer {vector.name} has no field '{id_field}'. Its fields: {fields}.", "Choose one."
    )


def _in_region(points: npt.NDArray[Any], region: Region) -> npt.NDArray[np.bool_]:
    grid = region.grid
    box = Grid(grid.crs, grid.window_transform(region.window), region.window.height, region.window.width)
    inside: npt.NDArray[np.bool_] = shapely.intersects(points, shapely.box(*box.bounds))
    if region.polygons is None:
        return inside
    tree = shapely.STRtree(region.polygons)
    hit = np.zeros(len(points), bool)
    hit[tree.query(points, predicate="intersects")[0]] = True
    return inside & hit


def _reading_order(points: npt.NDArray[Any], grid: Grid, side: int = 256) -> npt.NDArray[np.intp]:
    """Parcels by tile, so that a group of neighbours in the list is a group on the ground."""
    cols, rows = ~grid.transform * (shapely.get_x(points), shapely.get_y(points))
    return np.lexsort((cols // side, rows // side))


def _groups(sizes: npt.NDArray[np.int64], limit: int) -> Iterator[slice]:
    """Consecutive parcels of at most `limit` pixels together (at least one parcel)."""
    start, total = 0, 0
    for i, size in enumerate(sizes):
        if total + size > limit and i > start:
            yield slice(start, i)
            start, total = i, 0
        total += int(size)
    if start < len(sizes):
        yield slice(start, len(sizes))


class _Watched:
    """A series that notes whether an image was missing in what was read."""

    def __init__(self, series: Series) -> None:
        self._series = series
        self.title, self.grid, self.positions = series.title, series.grid, series.positions
        self.missing = False

    def read(self, window: Window, bands: Sequence[str], *, keep_clouds: bool = False) -> Cube:
        """See `TimeSeries.read`."""
        cube = self._series.read(window, bands, keep_clouds=keep_clouds)
        self.missing |= bool(cube.missing)
        return cube


def _sets(
    series: Series, parcels: Parcels, part: slice, bands: Sequence[str], tick: Callable[[float], None]
) -> PixelSets:
    own = parcels.pixels[part]
    n = len(own)
    pixels = np.concatenate(own)
    values, valid = read_pixels(series, pixels, bands, progress=tick)
    return PixelSets(
        bands=tuple(bands),
        values=values,
        valid=valid,
        offsets=offsets_of([len(p) for p in own]),
        positions=np.tile(np.asarray(series.positions, dtype=np.int32), (n, 1)),
        labels=np.full(n, -1, np.int64),
        classes=(),
        ids=np.array([str(i) for i in range(n)], dtype=np.str_),
        xy=np.full((n, 2), np.nan),
        region=np.zeros(n, np.int16),
        blocks=np.full(n, -1, np.int64),
    )


def _dates_seen(sets: PixelSets) -> npt.NDArray[np.int64]:
    """(N,) dates at which at least one pixel of the set is clear."""
    dates: npt.NDArray[np.int64] = sets.set_means()[1].sum(axis=1).astype(np.int64)
    return dates
