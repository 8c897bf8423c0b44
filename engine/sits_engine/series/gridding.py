"""One grid for a whole series: CRS and resolution of the majority, extent of the union or as asked."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.warp import transform, transform_bounds

from sits_engine.errors import InputError
from sits_engine.series.types import Grid

Bounds = tuple[float, float, float, float]


@lru_cache(maxsize=256)
def _crs(text: str) -> CRS:
    return CRS.from_user_input(text)


@lru_cache(maxsize=1024)
def same_crs(one: str, other: str) -> bool:
    """True where two descriptions (WKT or EPSG:n) mean the same CRS."""
    return one == other or _crs(one) == _crs(other)


def parse_crs(text: str, what: str = "CRS") -> str:
    """WKT of a CRS that a user wrote (EPSG:32631, WKT, PROJ string)."""
    try:
        return str(CRS.from_user_input(text).to_wkt())
    except (RasterioError, ValueError) as error:
        raise InputError(
            f"{what}: {text!r} is no coordinate reference system.", "Write it as EPSG:32631."
        ) from error


def reproject_bounds(bounds: Bounds, source: str, target: str) -> Bounds:
    """Bounds in another CRS; edges are densified, so nothing is lost."""
    if same_crs(source, target):
        return bounds
    left, bottom, right, top = transform_bounds(_crs(source), _crs(target), *bounds, densify_pts=21)
    return float(left), float(bottom), float(right), float(top)


def intersects(one: Bounds, other: Bounds) -> bool:
    """True where two rectangles share an area."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def parse_extent(text: str) -> tuple[Bounds, str | None]:
    """(xmin, ymin, xmax, ymax) and CRS of QGIS' extent string 'xmin,xmax,ymin,ymax [EPSG:32631]'.

    Raises:
        InputError: not four finite numbers, nothing inside, or an unknown CRS.
    """
    body, _, rest = text.partition("[")
    crs = rest.rstrip("] ").strip() or None
    try:
        xmin, xmax, ymin, ymax = (float(part) for part in body.split(","))
        if not all(map(math.isfinite, (xmin, xmax, ymin, ymax))):
            raise ValueError("not finite")
    except ValueError as error:
        raise InputError(
            f"EXTENT {text!r} can't be read.", "Write it as xmin,xmax,ymin,ymax [EPSG:32631]."
        ) from error
    if not (xmin < xmax and ymin < ymax):
        raise InputError(f"EXTENT {text!r} is empty.", "The order is xmin,xmax,ymin,ymax.")
    return (xmin, ymin, xmax, ymax), None if crs is None else parse_crs(crs, "EXTENT")


def snap(bounds: Bounds, anchor: Grid, resolution: tuple[float, float]) -> Grid:
    """The grid that covers `bounds`, its pixels in line with the corner of `anchor`."""
    x_size, y_size = resolution
    left, bottom, right, top = bounds
    x0, y0 = anchor.bounds[0], anchor.bounds[3]
    # Bounds that went through a file's transform may be off by rounding: an edge is hit within 1e-6 px.
    first_col = math.floor((left - x0) / x_size + 1e-6)
    last_col = math.ceil((right - x0) / x_size - 1e-6)
    first_row = math.floor((y0 - top) / y_size + 1e-6)
    last_row = math.ceil((y0 - bottom) / y_size - 1e-6)
    corner = Affine(x_size, 0, x0 + first_col * x_size, 0, -y_size, y0 - first_row * y_size)
    return Grid(anchor.crs, corner, max(1, last_row - first_row), max(1, last_col - first_col))


def choose(
    grids: Sequence[Grid],
    *,
    extent: tuple[Bounds, str | None] | None = None,
    resolution: float | None = None,
    crs: str | None = None,
) -> Grid:
    """The one grid of a series.

    Args:
        grids: own grids of the bands (one entry a scene and resolution; repeats count as votes).
        extent: rectangle to cover and its CRS (None: the CRS of the result); the union of `grids` without.
        resolution: pixel size in CRS units; the finest of the majority CRS without.
        crs: CRS of the result; that of most grids without.
    """
    if crs is None:
        names: list[str] = []
        votes: Counter[str] = Counter()
        for grid in grids:
            name = next((known for known in names if same_crs(known, grid.crs)), None)
            if name is None:
                name = grid.crs
                names.append(name)
            votes[name] += 1
        target = votes.most_common(1)[0][0]
    else:
        target = crs
    own = [grid for grid in grids if same_crs(grid.crs, target)]
    if own:
        finest = min(grid.resolution[0] for grid in own)
        anchors = Counter(grid for grid in own if grid.resolution[0] <= finest * (1 + 1e-9))
        anchor = anchors.most_common(1)[0][0]
        sizes = anchor.resolution
    else:
        anchor, sizes = _foreign_anchor(grids[0], target)
    if resolution is not None:
        if resolution <= 0:
            raise InputError(f"RESOLUTION must be above 0 (given: {resolution}).")
        sizes = (resolution, resolution)
    if extent is None:
        boxes = [reproject_bounds(grid.bounds, grid.crs, target) for grid in dict.fromkeys(grids)]
        bounds = union(boxes)
    else:
        box, box_crs = extent
        bounds = box if box_crs is None else reproject_bounds(box, box_crs, target)
    return snap(bounds, Grid(target, anchor.transform, anchor.height, anchor.width), sizes)


def _foreign_anchor(grid: Grid, target: str) -> tuple[Grid, tuple[float, float]]:
    """Anchor and pixel size in a CRS that no file has: the size of a pixel in the middle of `grid` there."""
    left, bottom, right, top = grid.bounds
    x, y = (left + right) / 2, (bottom + top) / 2
    width, height = grid.resolution
    xs, ys = transform(_crs(grid.crs), _crs(target), [x, x + width, x], [y, y, y + height])
    across, up = math.hypot(xs[1] - xs[0], ys[1] - ys[0]), math.hypot(xs[2] - xs[0], ys[2] - ys[0])
    size = math.sqrt(across * up)
    if abs(size - width) < 0.02 * width:
        size = width  # both in metres: 9.99 m is 10 m
    elif not _crs(target).is_geographic:
        size = float(f"{size:.3g}")
    left, _, _, top = reproject_bounds(grid.bounds, grid.crs, target)
    left, top = math.floor(left / size) * size, math.ceil(top / size) * size
    return Grid(target, Affine(size, 0, left, 0, -size, top), 1, 1), (size, size)


def union(boxes: Iterable[Bounds]) -> Bounds:
    """The rectangle around all rectangles."""
    parts = list(zip(*boxes, strict=True))
    return min(parts[0]), min(parts[1]), max(parts[2]), max(parts[3])


def to_json(grid: Grid) -> dict[str, Any]:
    """Plain values of a grid, with EPSG code beside the WKT where there is one."""
    found = _crs(grid.crs).to_epsg()
    return {
        "crs": grid.crs,
        "epsg": found,
        "transform": list(grid.transform)[:6],
        "height": grid.height,
        "width": grid.width,
    }


def from_json(plain: dict[str, Any]) -> Grid:
    """Inverse of `to_json`; KeyError, TypeError or ValueError if it isn't one."""
    return Grid(
        parse_crs(str(plain["crs"])),
        Affine(*(float(v) for v in plain["transform"][:6])),
        int(plain["height"]),
        int(plain["width"]),
    )


@lru_cache(maxsize=256)
def epsg(crs: str) -> int | None:
    """EPSG code of a CRS, where it has one."""
    found = _crs(crs).to_epsg()
    return None if found is None else int(found)


def label(crs: str) -> str:
    """Short name of a CRS for people: 'EPSG:32631', or its own name."""
    code = epsg(crs)
    if code is not None:
        return f"EPSG:{code}"
    name = crs.split('"')[1] if '"' in crs else crs[:40]
    return name or "a CRS without name"


def is_geographic(crs: str) -> bool:
    """True where coordinates are degrees."""
    return bool(_crs(crs).is_geographic)
