"""Sentinel-2 products as downloaded (SAFE folders): JPEG 2000, one file a band, three resolutions."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from pathlib import Path

from sits_engine.context import JobContext
from sits_engine.errors import InputError
from sits_engine.series import sentinel2
from sits_engine.series.bands import canonical
from sits_engine.series.probe import in_threads, probe
from sits_engine.series.scenes import Band, Scene

METADATA = ("MTD_MSIL2A.xml", "MTD_MSIL1C.xml")
#: Order of the bands in the metadata of a product (attribute band_id).
BAND_IDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
_IMAGE = re.compile(r"_(B\d\d|B8A|SCL)(?:_(\d\d)m)?\.jp2$")


def is_product(path: Path) -> bool:
    """True for a SAFE folder (of any name) and for its metadata file."""
    return _root(path) is not None


def _root(path: Path) -> Path | None:
    if path.name in METADATA and path.is_file():
        return path.parent
    return path if path.is_dir() and any((path / name).is_file() for name in METADATA) else None


def products(folder: Path) -> list[Path]:
    """SAFE folders: the folder itself, or those directly in it; sorted by name."""
    if is_product(folder):
        return [folder]
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and is_product(path))


def scenes_of_products(
    paths: list[Path], tick: Callable[[float], None] | None, ctx: JobContext
) -> list[Scene]:
    """Scenes of SAFE folders, each band at its finest resolution.

    Raises:
        InputError: metadata without date, no image, or an image that is damaged (named).
    """
    roots = list(dict.fromkeys(root for root in map(_root, paths) if root is not None))
    ctx.warn(
        f"{len(roots)} Sentinel-2 products as JPEG 2000: reading them is about ten times slower than "
        "GeoTIFF. "
        "Give CLIP_FOLDER to make a clipped, fast copy once."
    )
    return in_threads(_scene, roots, tick)


def _scene(root: Path) -> Scene:
    metadata = next(root / name for name in METADATA if (root / name).is_file())
    text = metadata.read_text(encoding="utf-8", errors="replace")
    stamp = _value(text, "PRODUCT_START_TIME") or _value(text, "DATATAKE_SENSING_START")
    try:
        when = datetime.datetime.fromisoformat(str(stamp).replace("Z", "+00:00"))
    except ValueError as error:
        raise InputError(
            f"No acquisition time in {metadata}.", "The product is damaged: download it again."
        ) from error
    if when.tzinfo is None:
        when = when.replace(tzinfo=datetime.UTC)
    number = _value(text, "PROCESSING_BASELINE") or ""
    properties = {"platform": "sentinel-2", "s2:processing_baseline": number}
    cover = _value(text, "Cloud_Coverage_Assessment")
    bands = [_band(path, name, text, number) for name, path in _images(root).items()]
    return Scene(
        id=root.name.removesuffix(".SAFE"),
        when=when,
        bands=tuple(bands),
        processed=f"{number:>5} {_value(text, 'GENERATION_TIME') or ''}",
        cloud_cover=float(cover) if cover else None,
        properties=properties,
    )


def _images(root: Path) -> dict[str, Path]:
    """Band -> file of the finest resolution, in the order of the bands."""
    found: dict[str, tuple[int, Path]] = {}
    for path in root.glob("GRANULE/*/IMG_DATA/**/*.jp2"):
        named = _IMAGE.search(path.name)
        if named is None:
            continue
        name, size = canonical(named[1]), int(named[2] or 0)
        if name not in found or (size, path) < found[name]:
            found[name] = (size, path)
    if not found:
        raise InputError(
            f"No images in the Sentinel-2 product {root} (GRANULE/*/IMG_DATA/*.jp2).",
            "The product is incomplete: download it again, or unpack it completely.",
        )
    order = [*BAND_IDS, "SCL"]
    return {name: found[name][1] for name in sorted(found, key=order.index)}


def _band(path: Path, name: str, text: str, number: str) -> Band:
    # Some writers put metadata after the image: where the end mark is missing, decoding decides.
    info = probe(str(path.absolute()), check_data=not _is_whole(path))
    if name == "SCL":
        return Band(name, info.href, 1, info.dtypes[0], 0.0, 1.0, 0.0, info.grid)
    quantification = float(
        _value(text, "BOA_QUANTIFICATION_VALUE") or _value(text, "QUANTIFICATION_VALUE") or 10000
    )
    return Band(
        name,
        info.href,
        1,
        info.dtypes[0],
        0.0,
        1 / quantification,
        _offset(text, name, number) / quantification,
        info.grid,
    )


def _offset(text: str, name: str, number: str) -> float:
    """BOA_ADD_OFFSET (level 2A) or RADIO_ADD_OFFSET (level 1C) of a band, in numbers; 0 before 04.00."""
    pattern = rf'<(?:BOA|RADIO)_ADD_OFFSET\s+band_id="{BAND_IDS.index(name)}"\s*>\s*(-?[\d.]+)\s*<'
    found = re.search(pattern, text)
    if found:
        return float(found[1])
    return sentinel2.offset({"s2:processing_baseline": number}, None) / sentinel2.SCALE


def _value(text: str, tag: str) -> str | None:
    """Text of an element of the product metadata, e.g. PROCESSING_BASELINE."""
    found = re.search(rf"<(?:\w+:)?{tag}(?:\s[^>]*)?>\s*([^<]*?)\s*</", text)
    return found[1] if found else None


def _is_whole(path: Path) -> bool:
    """True if the file ends as JPEG 2000 does: decoding a block of 13 bands of each product takes minutes."""
    with path.open("rb") as stream:
        stream.seek(0, 2)
        stream.seek(max(0, stream.tell() - 2))
        return stream.read() == b"\xff\xd9"
