"""Photos with EXIF position, day and direction, as a phone writes them."""

from __future__ import annotations

from pathlib import Path

from PIL import Image
from PIL.TiffImagePlugin import IFDRational


def degrees(value: float) -> tuple[IFDRational, IFDRational, IFDRational]:
    """Degrees, minutes and seconds of an absolute value."""
    whole = int(abs(value))
    minutes = int((abs(value) - whole) * 60)
    seconds = ((abs(value) - whole) * 60 - minutes) * 60
    return IFDRational(whole), IFDRational(minutes), IFDRational(round(seconds * 1e6), 10**6)


def write_photo(
    path: Path,
    lon_lat: tuple[float, float] | None = None,
    *,
    day: str | None = None,
    direction: float | None = None,
    size: tuple[int, int] = (40, 30),
    colour: tuple[int, int, int] = (60, 120, 40),
    gps: dict[int, object] | None = None,
) -> Path:
    """A JPEG; `day` as '2020-06-30', `gps` adds or replaces raw tags."""
    exif = Image.Exif()
    tags: dict[int, object] = {}
    if lon_lat is not None:
        lon, lat = lon_lat
        tags = {1: "N" if lat >= 0 else "S", 2: degrees(lat), 3: "E" if lon >= 0 else "W", 4: degrees(lon)}
    if direction is not None:
        tags |= {16: "T", 17: IFDRational(round(direction * 100), 100)}
    tags |= gps or {}
    if tags:
        exif.get_ifd(0x8825).update(tags)
    if day is not None:
        exif.get_ifd(0x8769)[0x9003] = day.replace("-", ":") + " 12:34:56"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, exif=exif)
    return path
