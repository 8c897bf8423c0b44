"""Scenes from STAC: item collections, static catalogues and APIs, as files or over the network."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pystac
import requests
from pystac_client import Client
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO

from sits_engine.addresses import public
from sits_engine.context import JobContext
from sits_engine.errors import EngineError, InputError
from sits_engine.series import gridding
from sits_engine.series.item_collection import load_json
from sits_engine.series.items import scene_of_item
from sits_engine.series.probe import first_line, in_threads, look, middle
from sits_engine.series.scenes import Scene, is_remote, local_path

TIMEOUT = 60


@dataclass(frozen=True)
class Query:
    """What to ask for; None or empty: no limit."""

    collections: tuple[str, ...] = ()
    extent: tuple[gridding.Bounds, str | None] | None = None
    start: datetime.date | None = None
    end: datetime.date | None = None
    max_cloud: float | None = None
    auth_header: str | None = None

    @property
    def bbox(self) -> tuple[float, float, float, float] | None:
        """Extent in degrees (an extent without CRS is taken for degrees)."""
        if self.extent is None:
            return None
        box, crs = self.extent
        return box if crs is None else gridding.reproject_bounds(box, crs, gridding.parse_crs("EPSG:4326"))

    @property
    def interval(self) -> str | None:
        """Dates as STAC writes an interval; the last day is included."""
        if self.start is None and self.end is None:
            return None
        first = f"{self.start.isoformat()}T00:00:00Z" if self.start else ".."
        last = f"{self.end.isoformat()}T23:59:59Z" if self.end else ".."
        return f"{first}/{last}"


def scenes_of_stac(
    source: str, query: Query, tick: Callable[[float], None] | None, ctx: JobContext
) -> list[Scene]:
    """Scenes of a STAC source.

    Args:
        source: path or URL of an item collection, an item, a static catalogue or collection, an API or one
            of its collections.
        query: limits; every one is applied here too, in case a server ignores it.

    Raises:
        InputError: not STAC, or nothing found. EngineError NETWORK: no connection, refused, no access.
    """
    try:
        items, bases = _items(source, query, ctx)
    except (requests.RequestException, APIError) as error:
        raise network_error(source, error) from error
    wanted = [(item, base) for item, base in zip(items, bases, strict=True) if _matches(item, query)]
    if not wanted:
        raise InputError(
            f"{public(source)} has no images for this area, these dates and this cloud limit "
            f"({len(items)} items looked at).",
            "Widen EXTENT, START_DATE, END_DATE or MAX_CLOUD, or name other COLLECTIONS.",
        )
    ctx.info(f"{len(wanted)} images found in {public(source)}.")
    scenes = in_threads(lambda pair: scene_of_item(*pair), wanted, tick)
    return in_threads(lambda scene: _undo_double_offset(scene, ctx), scenes)


Items = tuple[list[Mapping[str, Any]], list[str]]


def _items(source: str, query: Query, ctx: JobContext) -> Items:
    """(items as JSON, what their relative hrefs start from)."""
    if source.startswith("file://"):
        source = local_path(source)
    reader = _reader(source, query)
    if not is_remote(source):
        path = Path(source)
        if path.is_dir():
            path = path / "catalog.json" if (path / "catalog.json").is_file() else path / "collection.json"
        plain, base = load_json(path), str(path.absolute())
    else:
        plain, base = _fetch(source, reader), source
    kind = plain.get("type") if isinstance(plain, dict) else None
    if kind in ("Catalog", "Collection"):
        if is_remote(source):
            api = _api_of(plain, source)
            if api is not None:
                api_url, collection = api
                return _search(
                    api_url, query if collection is None else replace(query, collections=(collection,)), ctx
                )
        return _walk(base, reader, query, ctx)
    if kind == "FeatureCollection" and is_remote(source):
        return _pages(plain, source, reader, ctx)
    features = _checked(plain, base)
    return features, [base] * len(features)


def _checked(plain: Any, base: str) -> list[Mapping[str, Any]]:
    """Items of an item collection or of a single item."""
    if isinstance(plain, dict) and plain.get("type") == "Feature":
        return [plain]
    features = plain.get("features") if isinstance(plain, dict) else None
    if not isinstance(features, list) or not all(isinstance(f, dict) and "assets" in f for f in features):
        raise InputError(
            f"{public(base)} is no STAC: neither an item collection nor a catalogue.",
            "Give the address of a STAC API, a catalog.json, or an item collection.",
        )
    return features


def _reader(source: str, query: Query) -> StacApiIO:
    """Reads JSON of files and URLs."""
    return StacApiIO(request_modifier=_signer(source, query), timeout=TIMEOUT, max_retries=3)


def _signer(source: str, query: Query) -> Callable[[requests.Request], requests.Request]:
    """Adds the header to requests to the server of `source`, and to no other.

    `next` links and children may point to other hosts, which must not see the key.
    """
    home = urlsplit(source)
    name, value = split_header(query.auth_header) if query.auth_header else ("", "")

    def sign(request: requests.Request) -> requests.Request:
        there = urlsplit(str(request.url))
        if name and (there.scheme, there.netloc) == (home.scheme, home.netloc):
            request.headers = {**(request.headers or {}), name: value}
        return request

    return sign


def split_header(header: str) -> tuple[str, str]:
    """(name, value) of 'Authorization: Bearer x', of 'Bearer x' and of a bare token."""
    name, separator, value = header.partition(":")
    if separator and name.strip() and " " not in name.strip():
        return name.strip(), value.strip()
    text = header.strip()
    return "Authorization", text if " " in text else f"Bearer {text}"


def _fetch(url: str, reader: StacApiIO) -> Any:
    """Parsed JSON of an address."""
    try:
        return json.loads(reader.request(url))
    except (APIError, ValueError) as error:
        if isinstance(error, APIError) and not isinstance(error.__context__, UnicodeDecodeError):
            raise
        raise InputError(
            f"{public(url)} is no STAC: the answer isn't JSON.",
            "Give the address of a STAC API or catalogue.",
        ) from error


def _api_of(plain: Mapping[str, Any], url: str) -> tuple[str, str | None] | None:
    """(address of the API, collection) if `plain` is the landing page of an API or one of its collections."""
    links = [link for link in plain.get("links") or [] if isinstance(link, dict)]
    if plain.get("conformsTo") and any(link.get("rel") == "search" for link in links):
        return url, None
    if plain.get("type") == "Collection" and any(link.get("rel") == "items" for link in links):
        root = next((str(link["href"]) for link in links if link.get("rel") == "root"), None)
        if root:
            from urllib.parse import urljoin

            return urljoin(url, root), str(plain.get("id"))
    return None


def _search(url: str, query: Query, ctx: JobContext) -> Items:
    """Ask an API; pystac-client follows the links to further pages."""
    # `open` sets modifier and timeout of the reader anew.
    reader, sign = _reader(url, query), _signer(url, query)
    client = Client.open(url, stac_io=reader, request_modifier=sign, timeout=TIMEOUT)
    limits = None
    if query.max_cloud is not None and client.conforms_to("QUERY"):
        limits = {"eo:cloud_cover": {"lte": query.max_cloud}}
    if query.bbox is None:
        raise InputError("A STAC API needs an area to search in.", "Give EXTENT.")
    if not query.collections:
        names = [collection.id for collection in client.get_collections()]
        if len(names) > 1:
            raise InputError(
                f"{public(url)} has {len(names)} collections.",
                f"Choose in COLLECTIONS: {', '.join(names[:20])}{' ...' if len(names) > 20 else ''}.",
            )
    search = client.search(
        collections=list(query.collections) or None,
        bbox=query.bbox,
        datetime=query.interval,
        query=limits,
        limit=100,
    )
    items: list[Mapping[str, Any]] = []
    for item in search.items_as_dicts():
        ctx.check_cancelled()
        items.append(item)
    return items, [_self_href(item) or url for item in items]


def _pages(plain: Mapping[str, Any], url: str, reader: StacApiIO, ctx: JobContext) -> Items:
    """An item collection at an address, with all its pages (links `next`)."""
    items: list[Mapping[str, Any]] = []
    bases: list[str] = []
    for page in reader.get_pages(url):
        ctx.check_cancelled()
        features = _checked(page, url)
        items += features
        bases += [_self_href(item) or url for item in features]
    return items, bases


def _self_href(item: Mapping[str, Any]) -> str | None:
    """An item's own address, which its relative hrefs start from."""
    for link in item.get("links") or []:
        if link.get("rel") == "self" and is_remote(str(link.get("href", ""))):
            return str(link["href"])
    return None


def _walk(start: str, reader: StacApiIO, query: Query, ctx: JobContext) -> Items:
    """All items of a static catalogue."""
    items: list[Mapping[str, Any]] = []
    bases: list[str] = []
    try:
        root: Any = pystac.read_file(start, stac_io=reader)
        for item in _all_items(root, query.collections):
            ctx.check_cancelled()
            items.append(item.to_dict(transform_hrefs=False))
            bases.append(item.get_self_href() or start)
    except (pystac.STACError, FileNotFoundError, KeyError, ValueError) as error:
        raise InputError(
            f"The catalogue {public(start)} can't be read: {first_line(error)}.",
            "One of its files is missing or damaged: copy or download it completely.",
        ) from error
    return items, bases


def _all_items(root: Any, collections: tuple[str, ...]) -> Iterable[pystac.Item]:
    for item in root.get_items(recursive=True):
        if not collections or item.collection_id in collections:
            yield item


def _matches(item: Mapping[str, Any], query: Query) -> bool:
    """The limits again: static catalogues have no search, and servers may ignore a limit."""
    if query.collections and item.get("collection") not in (None, *query.collections):
        return False
    properties = item.get("properties") or {}
    cover = properties.get("eo:cloud_cover")
    if query.max_cloud is not None and isinstance(cover, (int, float)) and cover > query.max_cloud:
        return False
    day = str(properties.get("datetime") or properties.get("start_datetime") or "")[:10]
    if day and (
        (query.start and day < query.start.isoformat()) or (query.end and day > query.end.isoformat())
    ):
        return False
    box = item.get("bbox")
    if query.bbox is None or not box or query.extent is None or query.extent[1] is None:
        return True
    west, south, east, north = (float(v) for v in (box if len(box) == 4 else [*box[:2], *box[3:5]]))
    return gridding.intersects((west, south, east, north), query.bbox)


def _undo_double_offset(scene: Scene, ctx: JobContext) -> Scene:
    """Drop an offset that the pixels show to be subtracted already.

    Earth Search marks some items as not harmonised though they are (Element84/earth-search issues 66 and
    71). With the offset, land of such an item would reflect less than nothing.
    """
    if scene.properties.get("earthsearch:boa_offset_applied") is not False:
        return scene
    band = scene.band("B04") or scene.band("B03")
    if band is None or band.offset >= 0:
        return scene
    try:
        numbers = look(band.href, lambda source: middle(source, 1, 512))
    except EngineError:
        return scene  # reading will say what is wrong with the file
    numbers = numbers[numbers != (band.nodata or 0)]
    if numbers.size == 0 or np.mean(numbers < -band.offset / band.scale) < 0.5:
        return scene
    ctx.warn(
        f"{scene.id}: the offset of {band.offset} is subtracted in the pixels already, so it is left out."
    )
    return replace(scene, bands=tuple(replace(b, offset=0.0) if b.offset < 0 else b for b in scene.bands))


def network_error(source: str, error: Exception) -> EngineError:
    """What a person can do about a failed request; never shows keys."""
    status = getattr(error, "status_code", None)
    name = public(source)
    if status in (401, 403):
        return EngineError(
            "NETWORK",
            f"{name} refuses access (HTTP {status}).",
            "Choose an authentication configuration with a valid user or key.",
        )
    if status is not None:
        return EngineError(
            "NETWORK", f"{name} answered with HTTP {status}.", "Check the address, or try again later."
        )
    proxy = " A proxy is set." if os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy") else ""
    return EngineError(
        "NETWORK",
        f"{name} can't be reached ({type(error).__name__}).",
        f"Check the address and the connection.{proxy}",
    )
