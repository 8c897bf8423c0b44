"""Ticks before anybody has looked: what parcels, points or a coarse map say of windows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import shapely

from sits_engine.errors import InputError
from sits_engine.samples.area_fractions import area_fractions, to_pixels
from sits_engine.samples.label_grid import LabelGrid
from sits_engine.samples.vectors import Labelled, on_grid
from sits_engine.samples.window_classes import listed
from sits_engine.series.types import Grid, Window, intersect

#: A crop is in a window where it covers more than this share (shared/spec/exact.md, section 1).
LEAST_SHARE = 0.01
#: Windows whose parcels are cut at once.
AT_ONCE = 500
Progress = Callable[[float], None]


class CoarseMap(Protocol):
    """What this module needs of a `mapping.class_map.ClassMap`."""

    @property
    def grid(self) -> Grid:
        """Its own grid, in any CRS."""

    @property
    def lookup(self) -> npt.NDArray[np.int64]:
        """(256,) place of each value in the classes of the map, -1 none."""

    def read(self, windows: list[Window]) -> Iterator[tuple[Window, Any]]:
        """(window, values) of each window."""


@dataclass(frozen=True)
class Names:
    """Which crop a label means.

    Attributes:
        classes: crops that windows have a field for.
        class_of: crop of a code, from a class table; a code that isn't there means itself.
    """

    classes: tuple[str, ...]
    class_of: Mapping[str, str]

    def places(self, labels: Sequence[str], what: str) -> tuple[npt.NDArray[np.int64], list[str]]:
        """(len(labels),) place of each label's crop, -1 where it has no field; and a sentence on these.

        Capitals don't matter.

        Raises:
            InputError: not one label means a crop of the list; names both.
        """
        place = {name.casefold(): i for i, name in enumerate(self.classes)}
        found = np.array(
            [place.get(self.class_of.get(label, label).casefold(), -1) for label in labels], dtype=np.int64
        )
        left = [label for label, k in zip(labels, found, strict=True) if k < 0]
        if len(left) == len(labels):
            raise InputError(
                f"{what}: none of its labels is a crop of the windows. Its labels: {listed(sorted(left))}. "
                f"Crops of the windows: {', '.join(self.classes)}.",
                "Use the same names, or give a class table that says which crop a code means.",
            )
        notes = [
            f"{what}: {len(left)} other crops have no field and were passed over: {listed(sorted(left))}."
        ]
        return found, notes if left else []


def from_features(
    windows: LabelGrid,
    labelled: Labelled,
    names: Names,
    title: str,
    *,
    least: float = LEAST_SHARE,
    progress: Progress = lambda fraction: None,
) -> tuple[npt.NDArray[np.bool_], list[str]]:
    """Ticks from parcels (share of the window's area, exact) and points (one is enough).

    Args:
        windows: N windows.
        labelled: polygons or points with codes, in any CRS.
        names: K crops.
        title: of the series, for messages.
        least: a crop of parcels is there where it covers more than this share of the window.
        progress: gets 0..1; may raise to cancel.

    Returns:
        (N, K) bool, and sentences.

    Raises:
        InputError: no overlap with the images, or no known crop.
    """
    here = on_grid(labelled, windows.grid, title)
    codes, place = np.unique(here.frame["code"].to_numpy().astype(str), return_inverse=True)
    of_code, notes = names.places(codes.tolist(), here.name)
    crop = of_code[place]
    shapes = to_pixels(here.frame.geometry.to_numpy(), windows.grid)[crop >= 0]
    crop = crop[crop >= 0]
    # reprojection may break polygons
    shapes = np.where(shapely.is_valid(shapes), shapes, shapely.make_valid(shapes))
    areal = shapely.get_dimensions(shapes) == 2
    squares, tree = windows.squares(), shapely.STRtree(shapes)
    share = np.zeros((len(windows), len(names.classes)))
    seen = np.zeros(share.shape, dtype=bool)
    for start in range(0, len(squares), AT_ONCE):
        progress(start / len(squares))
        own, other = tree.query(squares[start : start + AT_ONCE], predicate="intersects")
        own, flat = own + start, areal[other]
        parts = shapely.area(shapely.intersection(squares[own[flat]], shapes[other[flat]]))
        np.add.at(share, (own[flat], crop[other[flat]]), parts / windows.size**2)
        seen[own[~flat], crop[other[~flat]]] = True
    progress(1.0)
    return seen | (share > least), [*here.notes, *notes]


def from_map(
    windows: LabelGrid,
    coarse: CoarseMap,
    labels: Sequence[Sequence[str]],
    names: Names,
    what: str,
    *,
    least: float = LEAST_SHARE,
    progress: Progress = lambda fraction: None,
) -> tuple[npt.NDArray[np.bool_], list[str]]:
    """Ticks from a class map of any pixel size and CRS, by the exact share of its pixels in each window.

    Args:
        windows: N windows.
        coarse: the map.
        labels: of each class of the map its name and codes; the first that means a crop counts.
        names: K crops.
        what: name of the map, for messages.
        least: see `from_features`.
        progress: gets 0..1; may raise to cancel.

    Returns:
        (N, K) bool, and sentences.

    Raises:
        InputError: the map lies elsewhere, or holds no known crop.
    """
    of_class, notes = _of_classes(labels, names, what)
    crop_of_value = np.append(of_class, -1)[coarse.lookup]
    squares = _on_map(windows, coarse.grid)
    frames = [_frame(bounds, coarse.grid) for bounds in shapely.bounds(squares)]
    inside = [i for i, frame in enumerate(frames) if frame is not None]
    if not inside:
        raise InputError(
            f"The map {what} doesn't overlap the windows.",
            "Choose a map of the same place, or check its CRS.",
        )
    ticks = np.zeros((len(windows), len(names.classes)), dtype=bool)
    wanted = [frame for frame in frames if frame is not None]
    for done, (i, (frame, values)) in enumerate(zip(inside, coarse.read(wanted), strict=True)):
        progress(done / len(inside))
        patch = area_fractions(squares[i : i + 1], frame)[0]
        if patch is None:
            continue
        crop = crop_of_value[values[patch.place]]
        area = np.bincount(crop.ravel() + 1, patch.shares.ravel(), len(names.classes) + 1)[1:]
        ticks[i] = area / shapely.area(squares[i]) > least
    progress(1.0)
    if len(inside) < len(frames):
        notes.append(f"{what}: {len(frames) - len(inside)} windows lie outside the map.")
    return ticks, notes


def _of_classes(
    labels: Sequence[Sequence[str]], names: Names, what: str
) -> tuple[npt.NDArray[np.int64], list[str]]:
    known = {name.casefold() for name in names.classes}
    first = [
        next((one for one in own if names.class_of.get(one, one).casefold() in known), own[0])
        for own in labels
    ]
    return names.places(first, what)


def _on_map(windows: LabelGrid, grid: Grid) -> npt.NDArray[np.object_]:
    """The windows in pixel coordinates of the map; straight edges, which are short, stay straight."""
    import geopandas as gpd
    from pyproj import CRS

    moved = gpd.GeoSeries(windows.polygons(), crs=windows.grid.crs)
    target = CRS.from_user_input(grid.crs)
    if moved.crs != target:
        moved = moved.to_crs(target)
    return to_pixels(moved.to_numpy(), grid)


def _frame(bounds: npt.NDArray[np.float64], grid: Grid) -> Window | None:
    """Pixels of the map around a window, None if there are none."""
    if not np.isfinite(bounds).all():
        return None
    left, top = np.floor(bounds[:2]).astype(int).tolist()
    right, bottom = np.ceil(bounds[2:]).astype(int).tolist()
    return intersect(Window(top, left, bottom - top, right - left), grid.whole)
