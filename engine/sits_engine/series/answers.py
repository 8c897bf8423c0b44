"""What servers answered, where GDAL's errors don't tell: statuses, and pages instead of images."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from xml.sax.saxutils import escape

import rasterio
from rasterio.errors import RasterioError

#: GDAL says them to who debugs only; rasterio hands that on to this logger, in the thread that reads.
_GDAL = logging.getLogger("rasterio._env")
_STATUS = re.compile(r"\bresponse_code=(\d{3})\b")
_heard = threading.local()
_listeners, _lock = 0, threading.Lock()
#: Bytes in which a web page shows itself.
_START = 256
_PAGE = re.compile(rb"^(?:\xef\xbb\xbf)?\s*<(?:!doctype html|html|head|body|!--)", re.IGNORECASE)
#: A band of bytes, so that GDAL fetches the start of any file with the user's proxies and keys.
_BYTES = """<VRTDataset rasterXSize="{n}" rasterYSize="1">
<VRTRasterBand dataType="Byte" band="1" subClass="VRTRawRasterBand">
<SourceFilename relativetoVRT="0">{path}</SourceFilename>
<ImageOffset>0</ImageOffset><PixelOffset>1</PixelOffset><LineOffset>{n}</LineOffset>
</VRTRasterBand></VRTDataset>"""


def _listen(record: logging.LogRecord) -> bool:
    """Note a status for the thread that listens; whether the entry goes on to the log."""
    statuses: list[int] | None = getattr(_heard, "statuses", None)
    if statuses is None:
        return record.levelno >= logging.INFO
    statuses += [int(code) for code in _STATUS.findall(record.getMessage())]
    return record.levelno >= logging.INFO and "response_code" not in record.getMessage()


@contextmanager
def listening(statuses: list[int]) -> Iterator[None]:
    """`statuses` gets those of all answers to this thread, in their order."""
    global _listeners
    with _lock:
        if not _listeners:
            _GDAL.addFilter(_listen)
            _GDAL.setLevel(logging.DEBUG)
        _listeners += 1
    _heard.statuses = statuses
    try:
        with rasterio.Env(CPL_DEBUG="VSICURL"):
            yield
    finally:
        _heard.statuses = None
        with _lock:
            _listeners -= 1
            if not _listeners:
                _GDAL.removeFilter(_listen)
                _GDAL.setLevel(logging.NOTSET)


def is_web_page(path: str) -> bool:
    """Whether a server sends HTML for a path of GDAL's (/vsicurl/...); False if it sends nothing."""
    name, _, rest = path.removeprefix("/").partition("/")
    # not in parts, which servers refuse for pages
    stream = f"/{name}_streaming/{rest}"
    options = {"GDAL_VRT_RAWRASTERBAND_ALLOWED_SOURCE": "ALL", "CPL_VSIL_CURL_NON_CACHED": stream}
    try:
        with rasterio.Env(**options), rasterio.open(_BYTES.format(n=_START, path=escape(stream))) as image:
            return _PAGE.match(image.read(1).tobytes()) is not None
    except RasterioError:
        return False
