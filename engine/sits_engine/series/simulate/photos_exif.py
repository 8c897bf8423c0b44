"""EXIF of drawn photos: position, direction, date, and that they are drawn."""

from __future__ import annotations

import datetime

from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IFDRational


def exif(lon: float, lat: float, direction: float, moment: datetime.datetime) -> Image.Exif:
    """EXIF with what geotagged photos carry.

    Args:
        lon, lat: degrees, WGS 84.
        direction: degrees from true north that the camera looks in.
        moment: when it was taken, local time.
    """
    data = Image.Exif()
    time = moment.strftime("%Y:%m:%d %H:%M:%S")
    data[ExifTags.Base.ImageDescription] = "Drawn by SITS for QGIS; not a photograph"
    data[ExifTags.Base.Make] = "SITS for QGIS"
    data[ExifTags.Base.Model] = "simulation"
    data[ExifTags.Base.DateTime] = time
    data.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = time
    gps = data.get_ifd(ExifTags.IFD.GPSInfo)
    gps[ExifTags.GPS.GPSVersionID] = b"\x02\x03\x00\x00"
    gps[ExifTags.GPS.GPSLatitudeRef] = "N" if lat >= 0 else "S"
    gps[ExifTags.GPS.GPSLatitude] = _sexagesimal(abs(lat))
    gps[ExifTags.GPS.GPSLongitudeRef] = "E" if lon >= 0 else "W"
    gps[ExifTags.GPS.GPSLongitude] = _sexagesimal(abs(lon))
    gps[ExifTags.GPS.GPSImgDirectionRef] = "T"
    gps[ExifTags.GPS.GPSImgDirection] = IFDRational(round(100 * direction), 100)
    gps[ExifTags.GPS.GPSDateStamp] = moment.strftime("%Y:%m:%d")
    return data


def _sexagesimal(degrees: float) -> tuple[IFDRational, IFDRational, IFDRational]:
    """Degrees, minutes and seconds to a tenth of a millisecond of arc (3 mm)."""
    ticks = round(degrees * 3600 * 10_000)
    whole, rest = divmod(ticks, 3600 * 10_000)
    minutes, seconds = divmod(rest, 60 * 10_000)
    return IFDRational(whole, 1), IFDRational(minutes, 1), IFDRational(seconds, 10_000)
