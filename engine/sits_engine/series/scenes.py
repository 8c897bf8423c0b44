"""What a series is made of: scenes (one acquisition of one place) and where their bands lie."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from sits_engine.series.types import Grid

#: GDAL's file systems that go over a network.
_NETWORK = ("/vsicurl", "/vsis3", "/vsigs", "/vsiaz", "/vsiadls", "/vsioss", "/vsiswift", "/vsiwebhdfs")


@dataclass(frozen=True)
class Band:
    """One band of one scene: where to read it and what its numbers mean.

    Attributes:
        name: canonical name.
        href: absolute local path, URL, or a path that GDAL understands (/vsi...).
        index: band of the file, counted from 1.
        nodata: value of missing pixels, or None.
        scale, offset: physical value = number * scale + offset.
        grid: the file's own grid.
    """

    name: str
    href: str
    index: int
    dtype: str
    nodata: float | None
    scale: float
    offset: float
    grid: Grid


@dataclass(frozen=True)
class Scene:
    """One acquisition of one place.

    Attributes:
        when: acquisition, UTC.
        processed: sortable stamp; of two versions of the same acquisition the larger one is the newer.
        bands: every readable band, masks included.
        cloud_cover: percent, where known.
        geometry: GeoJSON footprint of the data in longitude and latitude, where known.
        properties: further STAC properties to be kept.
    """

    id: str
    when: datetime.datetime
    bands: tuple[Band, ...]
    processed: str = ""
    cloud_cover: float | None = None
    geometry: dict[str, Any] | None = None
    properties: dict[str, Any] = field(default_factory=dict)

    @property
    def date(self) -> datetime.date:
        """Day of the acquisition (UTC)."""
        return self.when.date()

    def band(self, name: str) -> Band | None:
        """The band `name`, or None."""
        return next((band for band in self.bands if band.name == name), None)

    def hrefs(self) -> list[str]:
        """Files of the scene, each once, in the order of the bands."""
        return list(dict.fromkeys(band.href for band in self.bands))


def is_remote(href: str) -> bool:
    """True for anything that isn't a file of this computer."""
    return "://" in href and not href.startswith("file://")


def over_network(href: str) -> bool:
    """True for what is read from a server, as a URL or as a path of GDAL's (/vsicurl/, /vsis3/ ...)."""
    return is_remote(href) or href.startswith(_NETWORK)


def resolve(href: str, base: str) -> str:
    """Absolute path or URL of `href`, which is relative to the file or URL `base`."""
    if href.startswith("file://"):
        return local_path(href)
    if is_remote(href) or href.startswith("/vsi"):
        return href
    if is_remote(base):
        from urllib.parse import urljoin

        return urljoin(base, href)
    if os.path.isabs(href):
        return href
    return os.path.normpath(os.path.join(os.path.dirname(base), href))


def local_path(url: str) -> str:
    """Path of a file:// URL."""
    path = unquote(urlparse(url).path)
    if os.name == "nt":
        path = path.lstrip("/")
    return path


def gdal_path(href: str) -> str:
    """How GDAL opens `href`: http(s) through /vsicurl/, s3 and gs through their own file systems."""
    scheme = href.split("://", 1)[0].lower() if "://" in href else ""
    if scheme in ("http", "https"):
        return f"/vsicurl/{href}"
    if scheme in ("s3", "gs", "az"):
        return f"/vsi{scheme}/{href.split('://', 1)[1]}"
    return local_path(href) if scheme == "file" else href


def relative(href: str, folder: Path) -> str:
    """`href` as written into an item collection in `folder`: relative, with forward slashes."""
    if is_remote(href) or href.startswith("/vsi"):
        return href
    try:
        path = os.path.relpath(href, folder)
    except ValueError:  # another drive of Windows
        return Path(href).as_uri()
    path = path.replace(os.sep, "/")
    return path if path.startswith("../") else f"./{path}"


def common_bands(scenes: Iterable[Scene]) -> list[str]:
    """Names of the bands that every scene has, in the order of the first scene."""
    every = [[band.name for band in scene.bands] for scene in scenes]
    if not every:
        return []
    shared = set(every[0]).intersection(*every[1:])
    return [name for name in every[0] if name in shared]
