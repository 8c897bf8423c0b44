"""Addresses as they may be shown: without keys."""

from __future__ import annotations

import logging
import os
import re

#: Query and fragment of an address: signed ones carry their key there. GDAL's form `/vsicurl?...` as well.
_QUERY = re.compile(
    r"((?:\b[a-z][a-z0-9+.-]*://|/vsi[a-z0-9_]+[/?])[^\s?#'\"<>]*)[?#][^\s'\"<>]*", re.IGNORECASE
)
_OPTIONS = re.compile(r"(/vsi[a-z0-9_]+)\?[^\s'\"<>]*", re.IGNORECASE)
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


def public(text: str) -> str:
    """`text`, the addresses in it without user, password and query; without keys of the environment."""
    if "://" in text or "/vsi" in text:
        text = _USER.sub(r"\1", _QUERY.sub(r"\1", _OPTIONS.sub(r"\1", text)))
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
