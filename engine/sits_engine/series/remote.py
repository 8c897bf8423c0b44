"""Files on servers: how GDAL opens them, what is tried again and when, and why it failed at last.

Retries are made here and not by GDAL (whose `GDAL_HTTP_MAX_RETRY` is 0 unless the user sets it): GDAL knows a
few status codes only, forgets short and damaged answers, and can't be cancelled while it waits.
"""

from __future__ import annotations

import os
import re
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from sits_engine.addresses import hide, public
from sits_engine.errors import Cancelled, EngineError
from sits_engine.series import answers
from sits_engine.series.scenes import gdal_path, over_network

T = TypeVar("T")

#: How often a read is tried, the pause after the first failure in seconds (it doubles each time), and the
#: shortest share of it that is waited: the rest is chance, so that many readers don't come back together.
TRIES, PAUSE, SHORTEST = 5, 1.0, 0.5

# What has no place is refused in our own words; rasterio also warns of every array that it warps, though its
# transform is given, and of what a server sends instead of an image.
warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)

# A user's own settings win. A silent server must not hold a cancelled job for long, and memory is bounded:
# GDAL keeps what it read ahead and all headers in one cache of this size.
for _name, _value in {
    "GDAL_HTTP_CONNECTTIMEOUT": "10",
    "GDAL_HTTP_LOW_SPEED_TIME": "10",
    "GDAL_HTTP_LOW_SPEED_LIMIT": "1000",
    "GDAL_HTTP_TIMEOUT": "120",
    "CPL_VSIL_CURL_CACHE_SIZE": str(32 * 2**20),
}.items():
    os.environ.setdefault(_name, _value)

#: While a remote file is opened. Without a list of its folder GDAL looks for no side-car files, which costs
#: requests and, unlike opening the file itself, holds Python's lock. The header comes in one request.
_OPENING = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_INGESTED_BYTES_AT_OPEN": "32768"}

#: Statuses that may be gone a little later; all others of 400 and above last.
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_STATUS = re.compile(
    r"(?:HTTP )?(?:response|error) code(?: on [^:]*)?: ?(\d{3})\b|\bHTTP (\d{3})\b", re.IGNORECASE
)
#: What GDAL's object stores say in words.
_WORDS = {
    "AccessDenied": 403,
    "InvalidCredentials": 403,
    "SignatureDoesNotMatch": 403,
    "Access Key Id you provided does not exist": 403,
    "ObjectNotFound": 404,
    "BucketNotFound": 404,
}
WEB_PAGE = "the server sent a web page, not an image"
#: Said of images, and of anything else that a server sends.
_NO_IMAGE = ("not recognized as being in a supported file format", "Range downloading not supported")
_LASTING_WORDS = ("Range downloading not supported", "SSL certificate", "certificate verify", "NoCredentials")


@dataclass(frozen=True)
class Failure:
    """Why a file can't be read.

    Attributes:
        reason: in words, without keys.
        status: of HTTP, where one was told.
        lasting: another try is of no use.
    """

    reason: str
    status: int | None
    lasting: bool


def failure(error: BaseException) -> Failure:
    """What GDAL says in an error and the errors that it came from; the first of them knows most."""
    said: list[str] = []
    kinds = ""
    one: BaseException | None = error
    while one is not None:
        said.append(str(one).strip().rstrip(". "))
        kinds += type(one).__name__
        one = one.__cause__ or one.__context__
    text = " ".join([*said, kinds])
    numbers = [int(a or b) for a, b in _STATUS.findall(text)]
    status = numbers[0] if numbers else next((code for word, code in _WORDS.items() if word in text), None)
    lasting = any(word in text for word in _LASTING_WORDS)
    if status is not None and status >= 400:
        return Failure(f"HTTP {status}", status, lasting or status not in _PASSING)
    last = next((words for words in reversed(said) if words), type(error).__name__)
    return Failure(public(last.splitlines()[0]).rstrip(". "), None, lasting)


def open_raster(href: str, *, fresh: bool = False) -> Any:
    """An open dataset; `fresh` forgets what GDAL remembers of a remote one, failures included."""
    path = gdal_path(href)
    if not over_network(href):
        return rasterio.open(path)
    hide(href)
    options = {name: value for name, value in _OPENING.items() if name not in os.environ}
    if fresh:
        options["CPL_VSIL_CURL_NON_CACHED"] = path
    with rasterio.Env(**options):
        return rasterio.open(path)


def tried(
    href: str,
    attempt: Callable[[bool], T],
    *,
    halted: Callable[[], bool] | None = None,
    again: Callable[[str, str], None] | None = None,
    tries: int = TRIES,
) -> T:
    """Result of `attempt`, which is repeated with growing pauses while its failures may pass.

    Args:
        href: the file, for the words of the error.
        attempt: reads; gets True where what GDAL remembers of the file is not to be trusted.
        halted: whether somebody asked to stop: asked ten times a second while waiting.
        again: gets address and reason, without keys, before each pause.
        tries: at most.

    Raises:
        EngineError: NETWORK; its details name file, reason, status and tries. GDAL's own words are not
            chained to it: they hold signatures. Cancelled.
    """
    pause = PAUSE
    for number in range(1, tries + 1):
        statuses: list[int] = []
        try:
            if number == 1:
                return attempt(False)
            with answers.listening(statuses):
                return attempt(True)
        except RasterioError as error:
            found = _understood(href, failure(error), statuses)
        if number == tries or (found.lasting and number > 1):
            raise unreachable(href, found, number)
        if found.lasting:
            continue  # it may be what GDAL remembers of an earlier run in this process: ask at once
        if again is not None:
            again(public(href), found.reason)
        _wait(pause * float(np.random.default_rng().uniform(SHORTEST, 1.0)), halted)
        pause *= 2
    raise AssertionError("the last try returns or raises")


def _understood(href: str, found: Failure, statuses: list[int]) -> Failure:
    """What is behind a failure that GDAL doesn't name: one of the `statuses` of its try, or a web page."""
    if found.status is not None:
        return found
    bad = next((code for code in statuses if code >= 400), None)
    if bad is not None:
        return Failure(f"HTTP {bad}", bad, bad not in _PASSING)
    if any(words in found.reason for words in _NO_IMAGE) and answers.is_web_page(gdal_path(href)):
        return Failure(WEB_PAGE, None, lasting=True)
    return found


def _wait(seconds: float, halted: Callable[[], bool] | None) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        if halted is not None and halted():
            raise Cancelled
        time.sleep(min(0.1, left))


def unreachable(href: str, found: Failure, tries: int = 1) -> EngineError:
    """The error for a remote file that can't be read."""
    return EngineError(
        "NETWORK",
        f"Can't read {public(href)}: {found.reason} ({tries} {'try' if tries == 1 else 'tries'}).",
        advice_for(found),
        file=public(href),
        reason=found.reason,
        status=found.status,
        tries=tries,
        lasting=found.lasting,
    )


def advice_for(found: Failure) -> str:
    """The way out."""
    if found.status in (401, 403):
        return (
            "The server refuses access: signed addresses expire, so build the series again; stores need "
            "valid credentials: AWS_PROFILE or AWS_ACCESS_KEY_ID for s3://, GOOGLE_APPLICATION_CREDENTIALS "
            "or GS_ACCESS_KEY_ID for gs://, AZURE_STORAGE_CONNECTION_STRING for az://; for open data "
            "AWS_NO_SIGN_REQUEST=YES (GS_..., AZURE_...)."
        )
    if found.status in (404, 410):
        return "The image is gone, or its address is wrong: build the series again."
    if found.reason == WEB_PAGE:
        return (
            "A login may be needed: open the address in a browser, and see docs/remote-images.md on signing "
            "in. Or download the images there, and build the series from the files."
        )
    if "Range downloading" in found.reason:
        return "This server can't send parts of files: download them, and build the series from the files."
    if "certificate" in found.reason.lower():
        return "Name the certificates of your network in CURL_CA_BUNDLE."
    return "Check the connection, and run it again later. Or make a clipped copy when building the series."
