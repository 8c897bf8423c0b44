"""Where, when and in which direction a photo was taken, as its EXIF says."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

#: Endings of files that count as photos in a folder.
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp"})
# Numbers of EXIF tags (CIPA DC-008).
_GPS, _EXIF, _DATE_TIME, _DATE_TIME_ORIGINAL = 0x8825, 0x8769, 0x0132, 0x9003
_LATITUDE_REF, _LATITUDE, _LONGITUDE_REF, _LONGITUDE, _IMAGE_DIRECTION = 1, 2, 3, 4, 17


@dataclass(frozen=True)
class Taken:
    """Facts of a photo: `lon_lat` (WGS 84), `day`, `direction` (whole degrees); None or '' where unknown."""

    lon_lat: tuple[float, float] | None = None
    day: date | None = None
    direction: str = ""


def read_exif(path: Path) -> Taken | None:
    """Facts of a photo, without decoding it; None where it can't be opened as an image.

    A position without hemisphere, outside of the globe or at exactly 0, 0 (a camera that had no fix) is none.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            tags = image.getexif()
            gps, more = tags.get_ifd(_GPS), tags.get_ifd(_EXIF)
            return Taken(
                _position(gps),
                _day(more.get(_DATE_TIME_ORIGINAL)) or _day(tags.get(_DATE_TIME)),
                _direction(gps.get(_IMAGE_DIRECTION)),
            )
    except Exception:  # damaged headers make Pillow raise nearly anything; decoding says later what is wrong
        return None


def _position(gps: dict[int, Any]) -> tuple[float, float] | None:
    lat = _degrees(gps.get(_LATITUDE), gps.get(_LATITUDE_REF), "NS", 90)
    lon = _degrees(gps.get(_LONGITUDE), gps.get(_LONGITUDE_REF), "EW", 180)
    if lat is None or lon is None or (lat == 0 and lon == 0):
        return None
    return lon, lat


def _degrees(parts: Any, hemisphere: Any, letters: str, limit: float) -> float | None:
    """Degrees, minutes and seconds as degrees; the second of the letters means minus."""
    letter = hemisphere.decode("ascii", "ignore") if isinstance(hemisphere, bytes) else str(hemisphere or "")
    letter = letter.strip("\0 ").upper()[:1]
    if not letter or letter not in letters:
        return None
    try:
        values = [float(part) for part in parts]
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    found = math.fsum(value / 60.0**place for place, value in enumerate(values))
    if not values or not math.isfinite(found) or not 0 <= found <= limit:
        return None
    return -found if letter == letters[1] else found


def _day(text: Any) -> date | None:
    try:
        return datetime.strptime(str(text)[:10], "%Y:%m:%d").date()
    except ValueError:
        return None


def _direction(value: Any) -> str:
    try:
        degrees = float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return ""
    return str(round(degrees) % 360) if math.isfinite(degrees) else ""
