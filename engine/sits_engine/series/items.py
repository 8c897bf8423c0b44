"""STAC items to scenes: items of any provider, with one asset a band or one file of many bands."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from affine import Affine

from sits_engine.errors import InputError
from sits_engine.series import sentinel2
from sits_engine.series.bands import NOT_SPECTRAL, canonical, default_scale, is_known, is_reflectance
from sits_engine.series.gridding import parse_crs
from sits_engine.series.probe import RasterInfo, probe
from sits_engine.series.scenes import Band, Scene, resolve
from sits_engine.series.types import Grid

Json = Mapping[str, Any]

_RASTER_NAMES = re.compile(r"\.(tiff?|jp2|vrt|img)(\?|$)", re.IGNORECASE)
#: Name of a band that a file has but the series doesn't use: it only keeps the count right.
UNUSED = "unused"
_SKIPPED_ROLES = frozenset({"thumbnail", "overview", "metadata", "visual", "date"})


@dataclass(frozen=True)
class _Entry:
    """A band as an item describes it; None where the item doesn't say."""

    name: str
    href: str
    index: int
    grid: Grid | None
    dtype: str | None
    nodata: float | None
    nodata_known: bool
    scale: float | None
    offset: float | None


def scene_of_item(item: Json, base: str) -> Scene:
    """The scene of a STAC item (1.0 or 1.1).

    Args:
        item: the item's JSON.
        base: file or URL of the item, which relative hrefs start from.

    Raises:
        InputError: no date, no readable band; or a file that must be looked at is missing or damaged.
    """
    identity = str(item.get("id", "without id"))
    properties = item.get("properties") or {}
    entries = list(_entries(item, base))
    if not entries:
        raise InputError(
            f"The item {identity} has no image that can be read "
            f"(assets: {', '.join(item.get('assets') or {})}).",
            "Choose a collection of GeoTIFF or JPEG 2000 images.",
        )
    infos: dict[str, RasterInfo] = {}
    for entry in entries:
        if (entry.grid is None or entry.dtype is None) and entry.href not in infos:
            infos[entry.href] = probe(entry.href)
    bands: dict[str, Band] = {}
    for entry in entries:
        band = _band(entry, infos.get(entry.href), item)
        kept = bands.get(band.name)
        if kept is None or _preferred(band, kept):
            bands[band.name] = band
    cover = properties.get("eo:cloud_cover")
    return Scene(
        id=identity,
        when=_when(properties, identity),
        bands=tuple(bands.values()),
        processed=_processed(properties),
        cloud_cover=float(cover) if isinstance(cover, (int, float)) else None,
        geometry=item.get("geometry"),
        properties={k: v for k, v in properties.items() if k not in ("datetime", "eo:cloud_cover")},
    )


def _when(properties: Json, identity: str) -> datetime.datetime:
    text = properties.get("datetime") or properties.get("start_datetime")
    try:
        found = datetime.datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError as error:
        raise InputError(
            f"The item {identity} has no readable date (datetime: {text!r}).", "Correct or remove it."
        ) from error
    return found if found.tzinfo else found.replace(tzinfo=datetime.UTC)


def _processed(properties: Json) -> str:
    number = sentinel2.baseline(properties)
    stamp = next(
        (str(properties[k]) for k in ("s2:generation_time", "updated", "created") if properties.get(k)), ""
    )
    given = properties.get("sits:processed")
    return str(given) if given else f"{number or 0:05.2f} {stamp}"


def _entries(item: Json, base: str) -> Iterator[_Entry]:
    """Every band of every raster asset."""
    properties = item.get("properties") or {}
    platform = f"{properties.get('platform', '')} {properties.get('constellation', '')}".lower()
    for key, asset in (item.get("assets") or {}).items():
        if not isinstance(asset, Mapping) or not _is_raster(key, asset):
            continue
        href = resolve(str(asset["href"]), base)
        described = _described(asset)
        for position, facts in enumerate(described):
            if facts.get("name") == UNUSED:
                continue
            alone = len(described) == 1
            yield _Entry(
                name=_name(facts, key if alone else None, position, "landsat" in platform),
                href=href,
                index=position + 1,
                grid=_grid(asset, properties),
                dtype=facts.get("data_type"),
                nodata=_number(facts.get("nodata")),
                nodata_known="nodata" in facts,
                scale=_number(facts.get("raster:scale", facts.get("scale"))),
                offset=_number(facts.get("raster:offset", facts.get("offset"))),
            )


def _is_raster(key: str, asset: Json) -> bool:
    """True for assets with data: GeoTIFF or JPEG 2000, no pictures, no metadata."""
    roles = set(asset.get("roles") or [])
    if not asset.get("href") or roles & _SKIPPED_ROLES or canonical(key).upper() in NOT_SPECTRAL:
        return False
    kind = str(asset.get("type") or "").lower()
    if kind:
        return kind.startswith(("image/tiff", "image/vnd.stac.geotiff", "image/jp2", "image/x.geotiff"))
    return bool(_RASTER_NAMES.search(str(asset["href"])))


def _described(asset: Json) -> list[dict[str, Any]]:
    """One dictionary a band: STAC 1.1 `bands`, or `eo:bands` joined with `raster:bands` of 1.0."""
    common = {k: asset[k] for k in ("data_type", "nodata", "raster:scale", "raster:offset") if k in asset}
    lists = [asset.get(k) or [] for k in ("bands", "eo:bands", "raster:bands")]
    length = max(1, *(len(part) for part in lists))
    return [
        {**common, **{k: v for part in lists if i < len(part) for k, v in part[i].items()}}
        for i in range(length)
    ]


def _name(facts: Json, key: str | None, position: int, landsat: bool) -> str:
    """Canonical name of a band.

    Names like B05 win over common names, since Sentinel-2 has three bands with the common name 'rededge';
    with Landsat it is the other way round, since its B5 is another band than Sentinel-2's.
    """
    common = facts.get("eo:common_name") or facts.get("common_name")
    names = [facts.get("name"), key, common]
    if landsat:
        names = [common, key, facts.get("name")]
    given = [str(name) for name in names if name]
    for name in given:
        if is_known(name):
            return canonical(name)
    return canonical(given[0]) if given else f"band{position + 1}"


def _grid(asset: Json, properties: Json) -> Grid | None:
    def field(name: str) -> Any:
        return asset.get(f"proj:{name}", properties.get(f"proj:{name}"))

    shape, transform = field("shape"), field("transform")
    code = field("code") or (f"EPSG:{field('epsg')}" if field("epsg") else None)
    crs = code or field("wkt2")
    if not (shape and transform and crs):
        return None
    return Grid(parse_crs(str(crs)), Affine(*(float(v) for v in transform[:6])), int(shape[0]), int(shape[1]))


def _number(value: Any) -> float | None:
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError):
        return None


def _band(entry: _Entry, info: RasterInfo | None, item: Json) -> Band:
    """Fill what the item doesn't say from the file, and from the rules for numbers."""
    properties = item.get("properties") or {}
    grid, dtype, nodata = entry.grid, entry.dtype, entry.nodata
    scale, offset = entry.scale, entry.offset
    name = entry.name
    if info is not None:
        if entry.index > info.count:
            raise InputError(
                f"{entry.href} has {info.count} bands, but the item {item.get('id')} names {entry.index}.",
                "Build the time series again.",
            )
        at = entry.index - 1
        grid, dtype = info.grid, info.dtypes[at]
        if not entry.nodata_known:
            nodata = info.nodata[at]
        if scale is None and offset is None and (info.scales[at], info.offsets[at]) != (1.0, 0.0):
            scale, offset = info.scales[at], info.offsets[at]
        described = info.descriptions[at]
        if described and not is_known(name) and is_known(described):
            name = canonical(described)
    if grid is None or dtype is None:
        raise InputError(f"The image {entry.href} has no grid.", "Build the time series again.")
    if is_reflectance(name):
        if sentinel2.is_sentinel2(properties, item.get("collection")):
            offset = sentinel2.offset(properties, offset)
        if nodata is None and not entry.nodata_known and dtype.startswith("uint"):
            nodata = 0.0
    if scale is None:
        scale = default_scale(name, dtype, None)
    return Band(name, entry.href, entry.index, dtype, nodata, scale, offset or 0.0, grid)


def _preferred(band: Band, kept: Band) -> bool:
    """True where `band` is the better of two sources of the same band: finer, then not JPEG 2000."""
    size, kept_size = band.grid.resolution[0], kept.grid.resolution[0]
    if abs(size - kept_size) > 1e-9 * kept_size:
        return size < kept_size
    return _is_jp2(kept.href) and not _is_jp2(band.href)


def _is_jp2(href: str) -> bool:
    return href.lower().split("?")[0].endswith(".jp2")
