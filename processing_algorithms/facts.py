"""What a model file and a time-series file say about themselves, read with the standard library alone.

So a dialog can say at once what doesn't fit, before the engine starts. The engine checks again and more.
"""

import hashlib
import json
import os
import re
import struct
from collections import namedtuple

from ..i18n import tr

CARD_KEY = "sits_model_card"
#: A safetensors header holds names and card; a larger one is damaged, or made to fill the memory.
LARGEST_HEADER = 64 * 2**20

ClassFacts = namedtuple("ClassFacts", "name color")
ModelFacts = namedtuple("ModelFacts", "bands classes season_year")
SeriesFacts = namedtuple("SeriesFacts", "title dates bands season_year")
#: Files that were read: dialogs check on every change of a parameter.
_kept = {}


class FactsError(Exception):
    """A file is not what it should be; the text is for people."""


def model_facts(path):
    """`ModelFacts` of a .safetensors file: bands by name, classes with colours, season year.

    Raises:
        FactsError: no such file, or no model of SITS.
    """
    return _cached(path, _read_model)


def series_facts(path):
    """`SeriesFacts` of a time-series file.

    `bands` is None where the file was made by other tools: then only the engine knows their names.

    Raises:
        FactsError: no such file, or no item collection.
    """
    return _cached(path, _read_series)


def _cached(path, read):
    try:
        status = os.stat(path)
    except OSError as error:
        raise FactsError(tr("File not found: {path}. Check the path.").format(path=path)) from error
    key = (read.__name__, os.path.abspath(path), status.st_mtime_ns, status.st_size)
    if key not in _kept:
        if len(_kept) > 50:
            _kept.clear()
        _kept[key] = read(path)
    return _kept[key]


def _read_model(path):
    bad = tr(
        "{path} is no model of SITS: {why}. Choose a .safetensors file made by 'Train source model' or "
        "'Train segmentation model'."
    )
    try:
        with open(path, "rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > LARGEST_HEADER:
                raise FactsError(bad.format(path=path, why=tr("it is not in the safetensors format")))
            metadata = json.loads(file.read(length).decode("utf-8")).get("__metadata__") or {}
        card = json.loads(metadata[CARD_KEY])
        stated = metadata.get(CARD_KEY + "_sha256")
        if stated and hashlib.sha256(metadata[CARD_KEY].encode("utf-8")).hexdigest() != stated:
            text = tr(
                "The card of the model {path} was changed or damaged. Get the file again from its source."
            )
            raise FactsError(text.format(path=path))
        classes = [ClassFacts(str(c["name"]), str(c["color"])) for c in card["classes"]]
        return ModelFacts([str(b["name"]) for b in card["bands"]], classes, int(card["season_year"]))
    except KeyError as error:
        raise FactsError(bad.format(path=path, why=tr("it has no model card"))) from error
    except (OSError, ValueError, TypeError, AttributeError, struct.error) as error:
        raise FactsError(bad.format(path=path, why=tr("it is not in the safetensors format"))) from error


def _read_series(path):
    bad = tr("{path} is no image time series: {why}. Make one with 'Build image time series'.")
    try:
        with open(path, encoding="utf-8-sig") as file:
            plain = json.load(file)
    except (OSError, ValueError) as error:
        raise FactsError(bad.format(path=path, why=tr("it can't be read as JSON"))) from error
    items = plain.get("features") if isinstance(plain, dict) else None
    if (
        not isinstance(items, list)
        or not items
        or not all(isinstance(i, dict) and "assets" in i for i in items)
    ):
        raise FactsError(bad.format(path=path, why=tr("it has no images with dates")))
    own = plain.get("sits:series")
    dates = sorted({str((item.get("properties") or {}).get("datetime") or "")[:10] for item in items} - {""})
    stem = os.path.splitext(os.path.basename(path))[0]
    title = (own or {}).get("title") or stem
    year = (own or {}).get("season_year") or (int(dates[len(dates) // 2][:4]) if dates else None)
    bands = None
    if own:
        mask = (own.get("mask") or {}).get("band")
        bands = [name for name in _bands(items) if name != mask]
    return SeriesFacts(str(title), dates, bands, year)


def _bands(items):
    """Names of the bands that every date has, in the order of the first."""
    by_date = {}
    for item in items:
        date = str((item.get("properties") or {}).get("datetime") or "")[:10]
        names = by_date.setdefault(date, [])
        for asset in item["assets"].values():
            names.extend(str(band.get("name")) for band in asset.get("eo:bands") or asset.get("bands") or [])
    first, *others = by_date.values()
    common = set(first).intersection(*others)
    return [name for name in dict.fromkeys(first) if name in common and not name.startswith("unused")]


def missing_bands(model, series):
    """A sentence that names both lists where the series lacks a band of the model, else ''."""
    if series.bands is None:
        return ""
    have = {_key(name) for name in series.bands}
    missing = [name for name in model.bands if _key(name) not in have]
    if not missing:
        return ""
    text = tr(
        "The series lacks {missing} that the model needs. Bands of the model: {model}; of the series: "
        "{series}. "
        "Build the series with these bands, or choose another model."
    )
    return text.format(
        missing=", ".join(missing), model=", ".join(model.bands), series=", ".join(series.bands)
    )


def _key(name):
    """'b2' and 'B02' are the same band."""
    numbered = re.fullmatch(r"b0?(\d{1,2})(a?)", name.casefold())
    return f"b{int(numbered.group(1)):02d}{numbered.group(2)}" if numbered else name.casefold()
