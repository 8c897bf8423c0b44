"""The file of a time series: a STAC ItemCollection (JSON), readable by other tools; theirs are readable here.

What STAC has no place for stands in one extra field of the collection, `sits:series`: the common grid, the
season year, the title, and which values of the mask band are not clear. All of it is optional.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pystac
from rasterio.crs import CRS
from rasterio.enums import WktVersion
from rasterio.warp import transform_bounds

from sits_engine import __version__
from sits_engine.errors import InputError
from sits_engine.outputs import atomic
from sits_engine.series import gridding
from sits_engine.series.bands import TO_COMMON
from sits_engine.series.items import UNUSED, scene_of_item
from sits_engine.series.probe import in_threads
from sits_engine.series.scenes import Band, Scene, relative
from sits_engine.series.types import Grid

EXTRA = "sits:series"
EXTENSIONS = [
    "https://stac-extensions.github.io/eo/v1.1.0/schema.json",
    "https://stac-extensions.github.io/projection/v1.1.0/schema.json",
    "https://stac-extensions.github.io/raster/v1.1.0/schema.json",
]
ADVICE = "Make one with 'Build image time series'."


@dataclass(frozen=True)
class Document:
    """Content of an item collection."""

    scenes: tuple[Scene, ...]
    grid: Grid | None = None
    title: str = ""
    season_year: int | None = None
    mask_band: str | None = None
    mask_values: tuple[int, ...] | None = None
    extra: dict[str, Any] = field(default_factory=dict)


def load_json(path: Path) -> Any:
    """Parsed JSON of a file; InputError that names the file and says what is wrong with it."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise InputError(f"Time series not found: {path}.", "Check the path.") from error
    except IsADirectoryError as error:
        raise InputError(f"{path} is a folder, not a time series file.", ADVICE) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no time series file: it isn't text.", ADVICE) from error
    try:
        return json.loads(text)
    except ValueError as error:
        raise InputError(f"{path} is no time series file: broken JSON ({error}).", ADVICE) from error


def read_document(path: Path) -> Document:
    """Read an item collection of any origin.

    Raises:
        InputError: broken JSON, not an item collection, no items, an item without date or images.
    """
    return document_of(load_json(path), str(path.absolute()))


def document_of(plain: Any, base: str) -> Document:
    """The document of parsed JSON; relative hrefs start from the file or URL `base`."""
    kind = plain.get("type") if isinstance(plain, dict) else None
    if kind in ("Catalog", "Collection"):
        raise InputError(
            f"{base} is a STAC {kind.lower()}, not a time series.",
            "Give it to 'Build image time series' (parameter STAC), which finds its items.",
        )
    if kind == "Feature":
        plain = {"features": [plain]}
    features = plain.get("features") if isinstance(plain, dict) else None
    if not isinstance(features, list) or not all(isinstance(f, dict) and "assets" in f for f in features):
        raise InputError(f"{base} is no time series file: it isn't a STAC item collection.", ADVICE)
    if not features:
        raise InputError(f"The time series {base} is empty: it has no items.", ADVICE)
    scenes = in_threads(lambda item: scene_of_item(item, base), features)
    extra = plain.get(EXTRA) or {}
    try:
        mask = extra.get("mask") or {}
        return Document(
            scenes=tuple(scenes),
            grid=gridding.from_json(extra["grid"]) if extra.get("grid") else None,
            title=str(extra.get("title") or ""),
            season_year=int(extra["season_year"]) if extra.get("season_year") else None,
            mask_band=mask.get("band"),
            mask_values=tuple(int(v) for v in mask["not_clear"]) if mask.get("not_clear") else None,
            extra=dict(extra),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{base} has a damaged field {EXTRA} ({type(error).__name__}: {error}).", ADVICE
        ) from error


def write_document(path: Path, document: Document) -> None:
    """Write an item collection (STAC 1.0.0, hrefs relative to its folder); complete or not at all."""
    folder = path.absolute().parent
    items = [item_of_scene(scene, folder) for scene in document.scenes]
    extra: dict[str, Any] = {**document.extra, "engine": __version__, "title": document.title}
    if document.grid is not None:
        extra["grid"] = gridding.to_json(document.grid)
    if document.season_year is not None:
        extra["season_year"] = document.season_year
    if document.mask_band is not None:
        extra["mask"] = {"band": document.mask_band, "not_clear": list(document.mask_values or ())}
    plain = {"type": "FeatureCollection", EXTRA: extra, "features": items}
    with atomic(path) as temporary:
        temporary.write_text(
            json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False), encoding="utf-8"
        )


def item_of_scene(scene: Scene, folder: Path) -> dict[str, Any]:
    """STAC item (JSON) of a scene; `folder` is where the collection will lie."""
    box = _lonlat_bounds(scene.bands)
    west, south, east, north = box
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    properties = dict(scene.properties)
    if scene.processed:
        properties["sits:processed"] = scene.processed
    if scene.cloud_cover is not None:
        properties["eo:cloud_cover"] = scene.cloud_cover
    item = pystac.Item(
        id=scene.id,
        geometry=scene.geometry or {"type": "Polygon", "coordinates": [ring]},
        bbox=list(box),
        datetime=scene.when,
        properties=properties,
        stac_extensions=list(EXTENSIONS),
    )
    for key, bands in _files(scene.bands).items():
        item.add_asset(key, _asset(bands, folder))
    plain: dict[str, Any] = item.to_dict(include_self_link=False, transform_hrefs=False)
    plain["stac_version"] = "1.0.0"  # the fields written here are those of 1.0 and its extensions
    return plain


def _files(bands: Sequence[Band]) -> dict[str, list[Band]]:
    """Asset key -> bands of one file."""
    by_href: dict[str, list[Band]] = {}
    for band in bands:
        by_href.setdefault(band.href, []).append(band)
    keyed: dict[str, list[Band]] = {}
    for group in by_href.values():
        key = group[0].name if len(group) == 1 and len(by_href) > 1 else "data"
        while key in keyed:
            key += "_"
        keyed[key] = group
    return keyed


def _asset(bands: list[Band], folder: Path) -> pystac.Asset:
    """Asset of one file. Bands of the file that the series doesn't use keep their place without a name."""
    by_index = {band.index: band for band in bands}
    grid = bands[0].grid
    code = gridding.epsg(grid.crs)
    fields: dict[str, Any] = {
        "proj:epsg": code,
        "proj:shape": [grid.height, grid.width],
        "proj:transform": list(grid.transform)[:6],
        "eo:bands": [],
        "raster:bands": [],
    }
    if code is None:
        fields["proj:wkt2"] = CRS.from_wkt(grid.crs).to_wkt(version=WktVersion.WKT2_2019)
    for index in range(1, max(by_index) + 1):
        band = by_index.get(index)
        if band is None:
            fields["eo:bands"].append({"name": UNUSED})
            fields["raster:bands"].append({"data_type": bands[0].dtype})
            continue
        named = {"name": band.name}
        if band.name in TO_COMMON:
            named["common_name"] = TO_COMMON[band.name]
        numbers: dict[str, Any] = {"data_type": band.dtype, "scale": band.scale, "offset": band.offset}
        if band.nodata is not None:
            numbers["nodata"] = _plain_nodata(band.nodata)
        fields["eo:bands"].append(named)
        fields["raster:bands"].append(numbers)
    href = bands[0].href
    jp2 = href.lower().split("?")[0].endswith(".jp2")
    media = pystac.MediaType.JPEG2000 if jp2 else pystac.MediaType.GEOTIFF
    return pystac.Asset(relative(href, folder), media_type=media, roles=["data"], extra_fields=fields)


def _plain_nodata(value: float) -> Any:
    if not math.isfinite(value):
        return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    return int(value) if value == int(value) else value


def _lonlat_bounds(bands: Sequence[Band]) -> tuple[float, float, float, float]:
    """Bounds of all bands in degrees."""
    boxes = []
    for grid in dict.fromkeys(band.grid for band in bands):
        found = transform_bounds(CRS.from_user_input(grid.crs), CRS.from_epsg(4326), *grid.bounds)
        boxes.append((float(found[0]), float(found[1]), float(found[2]), float(found[3])))
    return gridding.union(boxes)
