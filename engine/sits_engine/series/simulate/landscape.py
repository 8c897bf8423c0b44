"""Fields, forest, villages, water and roads as polygons."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import shapely
from affine import Affine
from rasterio import features
from shapely.geometry import LineString, MultiPoint, Polygon, box
from shapely.ops import split, voronoi_diagram

from sits_engine.series.simulate.settings import FINE

#: Surfaces that are no field, in the order of their codes after the crops.
OTHER = ("grassy margin", "forest", "built-up area", "road or track", "water")
MARGIN, FOREST, BUILT, ROAD, WATER_BODY = range(len(OTHER))

BLOCK_HA = 42.0
FIELD_HA = 2.3
SMALLEST_HA = 0.25
LARGEST_HA = 8.0


@dataclass(frozen=True)
class Landscape:
    """The ground.

    Attributes:
        parcels: P polygons in CRS units.
        ids: (H, W) int32 on the fine grid: parcel index, or -1 - kind for the surfaces of `OTHER`.
    """

    parcels: list[Polygon]
    ids: npt.NDArray[np.int32]


def make_landscape(rng: np.random.Generator, bounds: tuple[float, float, float, float]) -> Landscape:
    """A mosaic of fields in blocks between roads, with forest, villages and ponds.

    Args:
        rng: random numbers.
        bounds: (xmin, ymin, xmax, ymax) in metres, multiples of the fine pixel.
    """
    xmin, ymin, xmax, ymax = bounds
    frame = box(*bounds)
    others: list[tuple[Polygon, int]] = []
    parcels: list[Polygon] = []
    for block in _blocks(rng, frame):
        # The strip between two blocks is a road or a track, 6 to 12 m wide.
        inside = block.buffer(-rng.uniform(3.0, 6.0), join_style="mitre")
        if inside.is_empty or inside.geom_type != "Polygon":
            continue
        kind = rng.random()
        if kind < 0.10:
            others.append((inside, FOREST))
        elif kind < 0.15:
            others.append((inside, BUILT))
        elif kind < 0.165:
            others.append((inside, WATER_BODY))
        else:
            others.append((inside, MARGIN))
            target = FIELD_HA * float(np.exp(rng.normal(0, 0.35)))
            parcels += _fields(rng, inside, target)
    width, height = round((xmax - xmin) / FINE), round((ymax - ymin) / FINE)
    transform = Affine(FINE, 0, xmin, 0, -FINE, ymax)
    ids = np.full((height, width), -1 - ROAD, dtype=np.int32)
    shapes = [(polygon, -1 - kind) for polygon, kind in others]
    shapes += [(polygon, index) for index, polygon in enumerate(parcels)]
    if shapes:
        features.rasterize(shapes, out=ids, transform=transform)
    return Landscape(parcels, ids)


def _blocks(rng: np.random.Generator, frame: Polygon) -> list[Polygon]:
    """Voronoi cells of jittered points: the land between roads."""
    xmin, ymin, xmax, ymax = frame.bounds
    step = np.sqrt(BLOCK_HA * 1e4)
    # One ring of cells beyond the frame, so that those at the edge are cut and not bent.
    xs = np.arange(xmin - step, xmax + 2 * step, step)
    ys = np.arange(ymin - step, ymax + 2 * step, step)
    grid = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
    grid = grid + rng.uniform(-0.42, 0.42, grid.shape) * step
    cells = shapely.get_parts(voronoi_diagram(MultiPoint(grid)))
    cut = [cell.intersection(frame) for cell in cells if cell.intersects(frame)]
    found = [cell for cell in cut if cell.geom_type == "Polygon" and cell.area > 2_000]
    return sorted(found, key=lambda cell: (round(cell.centroid.y, 3), round(cell.centroid.x, 3)))


def _fields(rng: np.random.Generator, block: Polygon, target_ha: float) -> list[Polygon]:
    """Cut a block again and again, across its longer side, until the pieces are as large as fields."""
    done: list[Polygon] = []
    todo = [block]
    while todo:
        piece = todo.pop()
        wanted = float(np.clip(target_ha * np.exp(rng.normal(0, 0.55)), SMALLEST_HA, LARGEST_HA)) * 1e4
        if piece.area > 1.6 * wanted or piece.area > LARGEST_HA * 1e4:
            todo += _cut(rng, piece)
            continue
        # A grassy margin of 2 to 5 m between neighbours.
        field = piece.buffer(-rng.uniform(1.0, 2.5), join_style="mitre")
        if field.geom_type == "Polygon" and field.area > 800:
            done.append(field)
    return done


def _cut(rng: np.random.Generator, piece: Polygon) -> list[Polygon]:
    """Two or more parts of a polygon, cut by a line across its long side (now and then along it)."""
    frame = piece.minimum_rotated_rectangle
    corners = shapely.get_coordinates(frame)[:3]
    sides = np.diff(corners, axis=0)
    lengths = np.hypot(sides[:, 0], sides[:, 1])
    along = int(np.argmax(lengths))
    if rng.random() < 0.15 and lengths.max() < 2.2 * lengths.min():
        along = 1 - along
    direction = sides[along] / lengths[along]
    angle = np.pi / 2 + rng.normal(0, np.deg2rad(4))
    cosine, sine = np.cos(angle), np.sin(angle)
    across = np.array([[cosine, -sine], [sine, cosine]]) @ direction
    point = np.asarray(frame.centroid.coords)[0] + direction * rng.uniform(-0.18, 0.18) * lengths[along]
    reach = 2 * float(lengths.sum())
    line = LineString([point - across * reach, point + across * reach])
    return [part for part in shapely.get_parts(split(piece, line)) if part.area > 500]
