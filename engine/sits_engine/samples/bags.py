"""From polygons with ticks to windows of a network: a polygon is a bag of windows that share its ticks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import shapely

from sits_engine.errors import InputError
from sits_engine.samples.area_fractions import area_fractions, to_pixels
from sits_engine.samples.gather import affordable
from sits_engine.samples.label_windows import LabelWindows
from sits_engine.samples.vectors import Labelled, on_grid
from sits_engine.samples.window_grid import BandedSeries, read_pixels
from sits_engine.samples.window_layout import centres, check_size
from sits_engine.samples.windows import WindowSet
from sits_engine.series.bands import canonical
from sits_engine.series.dates import MIN_DATES
from sits_engine.series.types import Grid, Window

#: Corners that are nearer to those of pixels than this (in pixels) lie on them.
ALIGNED = 0.05
#: Share of a polygon's area that may lie outside of the image.
OUTSIDE = 0.01
#: A polygon that is longer than its windows by no more than this share of a window gets none more.
SLACK = 0.1
#: A pixel belongs to a polygon from this share of its area on.
HALF = 0.5 - 1e-6
#: Of a window of several, the share that must lie inside of its polygon.
LEAST_INSIDE = 0.25
Progress = Callable[[float], None]


@dataclass
class Bags:
    """N windows with ticks; several of them may share one polygon.

    Attributes:
        windows: images and dates of the N windows; their labels are -1 everywhere.
        classes: K names.
        present: (N, K) bool, ticks of the polygon: somewhere in it.
        bag: (N,) int32, place of the polygon in `ids`.
        inside: (N, H, W) bool, pixels that belong to the polygon; the ticks say nothing of others.
        ids: (M,) str, the polygons that are left.
        colors: colour of a class, where the layer names one.
        notes: sentences on what was left out, with counts.
        warnings: sentences on what will make the result worse.
    """

    windows: WindowSet
    classes: tuple[str, ...]
    present: npt.NDArray[np.bool_]
    bag: npt.NDArray[np.int32]
    inside: npt.NDArray[np.bool_]
    ids: npt.NDArray[np.str_]
    colors: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        n = len(self.windows)
        shapes = {
            "present": (n, len(self.classes)),
            "bag": (n,),
            "inside": (n, *self.windows.size),
        }
        for name, expected in shapes.items():
            found = getattr(self, name).shape
            if found != expected:
                raise ValueError(f"{name} has shape {found}, expected {expected}")

    def __len__(self) -> int:
        return len(self.windows)

    def subset(self, index: npt.ArrayLike) -> Bags:
        """The windows of `index` (numbers or a boolean mask), in that order; classes and `ids` stay."""
        chosen = np.asarray(index)
        if chosen.dtype == np.bool_:
            chosen = np.flatnonzero(chosen)
        chosen = chosen.astype(np.int64)
        return Bags(
            self.windows.subset(chosen),
            self.classes,
            self.present[chosen],
            self.bag[chosen],
            self.inside[chosen],
            self.ids,
            self.colors,
            self.notes,
            self.warnings,
        )


def cut_bags(
    series: BandedSeries,
    label_windows: LabelWindows,
    size: int,
    *,
    bands: Sequence[str] = (),
    least_inside: float = LEAST_INSIDE,
    max_windows: int = 4000,
    mask_clouds: bool = True,
    seed: int = 1,
    progress: Progress = lambda fraction: None,
) -> Bags:
    """Windows of `size` x `size` pixels of the images, on whole pixels, that cover the polygons.

    A square of that size on the pixels is one window. Other polygons get as many as cover them, beside each
    other and centred; a smaller one gets the window around its centre. Polygons that reach out of the image
    are left out: what is ticked there may lie outside.

    Args:
        series: images.
        label_windows: polygons and ticks.
        size: pixels along a side.
        bands: names in any usual spelling; empty: all of the series.
        least_inside: windows with a smaller share inside of their polygon are dropped, except the best one.
        max_windows: altogether, drawn at random from the polygons with most windows; each keeps one at least.
        mask_clouds: False keeps clouded pixels as valid.
        seed: of the draw.
        progress: gets 0..1; may raise to cancel.

    Raises:
        InputError: no overlap; every polygon reaches out of the image; a window larger than the image; too
            few dates; or classes that can't be told apart in what is left (`LabelWindows.usable`).
    """
    check_size(series.grid, size, series.title)
    if len(series.positions) < MIN_DATES:
        raise InputError(
            f"The series {series.title} has {len(series.positions)} dates; at least {MIN_DATES} are needed.",
            "Add images of more dates of the season.",
        )
    names = [canonical(name) for name in (bands or series.bands)]
    series.match_bands(names)
    shapes, left, notes = _inside_image(series, label_windows, size)
    progress(0.02)
    layout = _lay(shapes, series.grid, size, least_inside, lambda share: progress(0.02 + 0.1 * share))
    if len(layout.empty):
        notes.append(f"{left.name}: {len(layout.empty)} polygons hold not a single pixel and were left out.")
    most, said = _most(series, len(layout.rows), max_windows, size, len(names))
    notes += said
    if most < len(layout.rows):
        notes.append(
            f"{most} of {len(layout.rows)} windows were drawn at random, at least one of each polygon "
            f"(seed {seed})."
        )
        layout = layout.subset(_draw(layout.bag, most, seed))
    values, valid = read_pixels(
        series,
        layout.rows,
        layout.cols,
        size,
        names,
        keep_clouds=not mask_clouds,
        progress=lambda share: progress(0.12 + 0.88 * share),
    )
    seen = (valid & layout.inside[:, None]).any(axis=(2, 3)).sum(axis=1) >= MIN_DATES
    if not seen.all():
        notes.append(
            f"{series.title}: {int((~seen).sum())} windows with clear pixels on fewer than {MIN_DATES} dates "
            "were dropped."
        )
        layout, values, valid = layout.subset(np.flatnonzero(seen)), values[seen], valid[seen]
    kept, bag = np.unique(layout.bag, return_inverse=True)
    if not len(kept):
        raise InputError(
            f"No window of {left.name} can be used: {' '.join(notes)}", "Give larger polygons or more images."
        )
    left = left.subset(kept).usable()
    return Bags(
        windows=_window_set(series, names, values, valid, layout, size),
        classes=left.classes,
        present=left.ticks[bag],
        bag=bag.astype(np.int32),
        inside=layout.inside,
        ids=left.ids,
        colors=dict(left.colors),
        notes=[*label_windows.notes, *notes],
        warnings=left.warnings,
    )


@dataclass(frozen=True)
class _Layout:
    """N windows: upper left pixels, polygons, (N, H, W) pixels inside; polygons without any pixel."""

    rows: npt.NDArray[np.int32]
    cols: npt.NDArray[np.int32]
    bag: npt.NDArray[np.int64]
    inside: npt.NDArray[np.bool_]
    empty: list[int]

    def subset(self, index: npt.NDArray[np.int64]) -> _Layout:
        return _Layout(self.rows[index], self.cols[index], self.bag[index], self.inside[index], self.empty)


def _inside_image(
    series: BandedSeries, label_windows: LabelWindows, size: int
) -> tuple[npt.NDArray[np.object_], LabelWindows, list[str]]:
    """Polygons in pixel coordinates, those windows that lie inside the image, and sentences."""
    import geopandas as gpd

    name, n = label_windows.name, len(label_windows)
    frame = gpd.GeoDataFrame(
        {"id": np.arange(n), "code": [""] * n}, geometry=label_windows.polygons, crs=label_windows.frame.crs
    )
    here = on_grid(Labelled(frame, name), series.grid, series.title, kind="windows")
    notes = list(here.notes)
    shapes = to_pixels(here.frame.geometry.to_numpy(), series.grid)
    # reprojection may break polygons
    shapes = np.where(shapely.is_valid(shapes), shapes, shapely.make_valid(shapes))
    image = shapely.box(0, 0, series.grid.width, series.grid.height)
    inside = shapely.area(shapely.intersection(shapes, image)) >= (1 - OUTSIDE) * shapely.area(shapes)
    if not inside.any():
        raise InputError(
            f"Every window of {name} reaches out of the images of {series.title}.",
            "Lay the windows with 'Create label windows' over this series, or use images of a larger area.",
        )
    if not inside.all():
        notes.append(
            f"{name}: {int((~inside).sum())} of {n} windows reach out of the images of {series.title} and "
            "were left out: what is ticked there may lie outside."
        )
    shapes = shapes[inside]
    off = _off_pixels(shapes, size)
    if off.any():
        notes.append(
            f"{name}: {int(off.sum())} squares of {size} x {size} pixels don't lie on the pixels of "
            f"{series.title}; they were used as polygons, with the pixels that lie in them by at least half."
        )
    chosen = here.frame["id"].to_numpy()[inside]
    return shapes, label_windows.subset(chosen), notes


def _off_pixels(shapes: npt.NDArray[np.object_], size: int) -> npt.NDArray[np.bool_]:
    """(N,) bool: is it nearly a window of the training, but not on the pixels?"""
    bounds = shapely.bounds(shapes)
    sides = bounds[:, 2:] - bounds[:, :2]
    area = shapely.area(shapes)
    square = (np.abs(sides - size) < 0.05 * size).all(axis=1) & (area > 0.95 * size**2)
    off = (np.abs(bounds - np.rint(bounds)) > ALIGNED).any(axis=1)
    found: npt.NDArray[np.bool_] = square & off
    return found


def _lay(
    shapes: npt.NDArray[np.object_], grid: Grid, size: int, least_inside: float, progress: Progress
) -> _Layout:
    """Where the windows of each polygon lie."""
    rows: list[int] = []
    cols: list[int] = []
    bag: list[int] = []
    inside: list[npt.NDArray[np.bool_]] = []
    empty = []
    for number, (shape, bounds) in enumerate(zip(shapes, shapely.bounds(shapes).tolist(), strict=True)):
        found = []
        progress(number / len(shapes))
        for row in _along(bounds[1], bounds[3], size, grid.height):
            for col in _along(bounds[0], bounds[2], size, grid.width):
                mask = _mask(shape, Window(row, col, size, size))
                found.append((float(mask.mean()), row, col, mask))
        best = max(share for share, *_ in found)
        if best == 0:
            empty.append(number)
            continue
        for share, row, col, mask in found:
            if share >= min(least_inside, best):
                rows.append(row)
                cols.append(col)
                bag.append(number)
                inside.append(mask)
    masks = np.stack(inside) if inside else np.empty((0, size, size), dtype=bool)
    return _Layout(np.array(rows, np.int32), np.array(cols, np.int32), np.array(bag, np.int64), masks, empty)


def _along(low: float, high: float, size: int, whole: int) -> list[int]:
    """Starts of the windows that cover `low` .. `high`, side by side, centred, inside the image."""
    low, high = (round(end) if abs(end - round(end)) < ALIGNED else end for end in (low, high))
    count = max(1, int(np.ceil((high - low) / size - SLACK)))
    first = int(np.floor((low + high) / 2 - count * size / 2 + 0.5))
    return sorted({min(max(first + i * size, 0), whole - size) for i in range(count)})


def _mask(shape: object, window: Window) -> npt.NDArray[np.bool_]:
    """(H, W) bool: pixels of the window that lie in the polygon by half or more."""
    mask = np.zeros((window.height, window.width), dtype=bool)
    patch = area_fractions(np.array([shape], dtype=object), window)[0]
    if patch is not None:
        mask[patch.place] = patch.shares >= HALF
    return mask


def _most(
    series: BandedSeries, there: int, max_windows: int, size: int, n_bands: int
) -> tuple[int, list[str]]:
    """Windows at most, and a sentence where the memory is what limits them."""
    per_window = size**2 * (len(series.positions) * (4 * n_bands + 1) + 12)  # labels of a WindowSet, inside
    return affordable(
        max(1, min(there, max_windows)), per_window, kept="windows", read="windows", field="MAX_WINDOWS"
    )


def _draw(bag: npt.NDArray[np.int64], most: int, seed: int) -> npt.NDArray[np.int64]:
    """Windows in random order of each bag, first one of every bag, then a second one, until there are `most`.

    With more bags than `most` each bag keeps its one.
    """
    order = np.random.default_rng(seed).permutation(len(bag))
    turn = np.empty(len(bag), dtype=np.int64)
    seen: dict[int, int] = {}
    for i in order.tolist():
        turn[i] = seen[int(bag[i])] = seen.get(int(bag[i]), -1) + 1
    ranked = order[np.argsort(turn[order], kind="stable")]
    return np.sort(ranked[: max(most, int((turn == 0).sum()))])


def _window_set(
    series: BandedSeries,
    bands: Sequence[str],
    values: npt.NDArray[np.float32],
    valid: npt.NDArray[np.bool_],
    layout: _Layout,
    size: int,
) -> WindowSet:
    n = len(values)
    blank = (n, size, size)
    return WindowSet(
        bands=tuple(bands),
        values=values,
        valid=valid,
        positions=np.tile(np.asarray(series.positions, dtype=np.int32), (n, 1)),
        labels=np.full(blank, -1, dtype=np.int16),
        parcels=np.zeros(blank, dtype=np.int32),
        mixed=np.zeros(blank, dtype=np.uint8),
        covered=np.zeros(blank, dtype=np.float32),
        scale=1,
        classes=(),
        xy=centres(layout.rows, layout.cols, size, series.grid),
        region=np.zeros(n, dtype=np.int16),
        rows=layout.rows,
        cols=layout.cols,
    )
