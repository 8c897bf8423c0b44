"""Addresses as they may be shown: without keys."""

from __future__ import annotations

import logging
import os
import re
from collections import OrderedDict
from typing import Any
from urllib.parse import urlsplit

#: Query and fragment of an address: signed ones carry their key there. GDAL's form `/vsicurl?...` as well.
_QUERY = re.compile(
    r"((?:\b[a-z][a-z0-9+.-]*://|/vsi[a-z0-9_]+[/?])[^\s?#'\"<>]*)[?#][^\s'\"<>]*", re.IGNORECASE
)
_OPTIONS = re.compile(r"(/vsi[a-z0-9_]+)\?[^\s'\"<>]*", re.IGNORECASE)
#: The same behind a bare name, as libtiff says it: `?` after the name of a file, or before `name=value`.
_FILES = r"tiff?|jp2|vrt|img|nc|hdf5?|h5|zarr|safe|zip|xml|json|geojson|png|jpe?g"
_BARE = re.compile(rf"(?:(?<=\w)\?(?=[\w.~%\[\]-]+=)|(?P<kind>\.(?:{_FILES}))[?])[^\s'\"<>]*", re.IGNORECASE)
_USER = re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s/@'\"<>]+@", re.IGNORECASE)
#: Variables whose values are keys.
_KEYS = (
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_ACCESS_KEY_ID",
    "GS_SECRET_ACCESS_KEY",
    "GS_ACCESS_KEY_ID",
    "AZURE_STORAGE_ACCESS_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_CONNECTION_STRING",
    "GDAL_HTTP_USERPWD",
    "GDAL_HTTP_BEARER",
    "GDAL_HTTP_HEADERS",
    "GDAL_HTTP_PROXYUSERPWD",
)


#: Queries and passwords of the addresses that were opened last, and how many of them are remembered.
_hidden: OrderedDict[str, None] = OrderedDict()
_MOST = 2000
#: Shorter ones are words that occur anywhere.
_SHORTEST = 6


def hide(address: str) -> None:
    """Remember query, user and password of an address: no text shows them, wherever they stand in it."""
    scheme = address.find("://")
    begin = max(0, address.rfind("/", 0, scheme) + 1) if scheme > 0 else 0
    parts = urlsplit(address[begin:])
    user, _, _ = parts.netloc.rpartition("@")
    for secret in (parts.query, user, user.partition(":")[2]):
        if len(secret) >= _SHORTEST:
            _hidden[secret] = None
            _hidden.move_to_end(secret)
    while len(_hidden) > _MOST:
        _hidden.popitem(last=False)


def public(text: str) -> str:
    """`text`, the addresses in it without user, password and query; without keys of the environment."""
    if "://" in text or "/vsi" in text:
        text = _USER.sub(r"\1", _QUERY.sub(r"\1", _OPTIONS.sub(r"\1", text)))
    if "?" in text:
        text = _BARE.sub(lambda found: found["kind"] or "", text)
    for secret in list(_hidden):
        if secret in text:
            text = text.replace(secret, "(hidden)")
    for name in _KEYS:
        value = os.environ.get(name, "")
        if len(value) > 7:
            text = text.replace(value, f"({name})")
    return text


class PublicFormatter(logging.Formatter):
    """Lines of a log, tracebacks included, without keys: GDAL and libraries name full addresses."""

    def format(self, record: logging.LogRecord) -> str:
        """One entry."""
        return public(super().format(record))


def guard_logs() -> None:
    """Clean all log entries of this process before any handler sees them.

    For processes whose handlers aren't ours (a worker of Dask); calling it again changes nothing.
    """
    made = logging.getLogRecordFactory()
    if getattr(made, "guards", False):
        return
    plain = logging.Formatter()

    def clean(*args: Any, **named: Any) -> logging.LogRecord:
        record = made(*args, **named)
        record.msg, record.args = public(record.getMessage()), ()
        if record.exc_info and record.exc_info[0] is not None:
            # formatters take a text that is there
            record.exc_text = public(plain.formatException(record.exc_info))
        return record

    clean.guards = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(clean)
