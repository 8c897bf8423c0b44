"""All labelled samples of a training run, from any mix of images with parcels and tables of series."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from sits_engine.errors import InputError
from sits_engine.samples.classes import with_classes
from sits_engine.samples.parcels import ParcelOptions, collect
from sits_engine.samples.pixel_sets import STORE, PixelSets
from sits_engine.samples.tables import TableOptions, read_labelled_series, read_table
from sits_engine.samples.vectors import Labelled, read_labelled
from sits_engine.series.bands import canonical, match
from sits_engine.series.time_series import TimeSeries

#: Share of the machine's memory that the samples may take: of all of it, not of what happens to be free, so
#: that the same inputs and seed give the same samples again.
MEMORY_SHARE = 0.4


@dataclass
class Sources:
    """What to read.

    Attributes:
        series: images, one a region.
        parcels: vector strings: one a series, or one for all series, or several for the only series.
        label_field: class field of the parcels.
        options: how parcels become pixel sets.
        bands: names in any usual spelling; empty: all that every source has.
        table: table of labelled series, or None.
        table_options: how to read it.
        id_field: field that names a parcel.
    """

    series: list[TimeSeries]
    parcels: list[str]
    label_field: str
    options: ParcelOptions
    bands: list[str] = field(default_factory=list)
    table: Path | None = None
    table_options: TableOptions | None = None
    id_field: str | None = None


@dataclass
class Gathered:
    """Samples labelled by code, what was dropped or repaired, and whether they came from the store."""

    sets: PixelSets
    notes: list[str]
    reused: bool = False


#: Ends the mark of samples for which images couldn't be read: they are kept, and read anew the next time.
INCOMPLETE = "without some images"


def gather(
    sources: Sources, *, store: Path | None = None, progress: Callable[[float], None] = lambda fraction: None
) -> Gathered:
    """Read all samples, or take them from `store` if it was made from the same inputs.

    Raises:
        InputError: nothing given, series and parcels that don't go together, or a source is unusable.
    """
    pairs = _pairs(sources)
    bands = [canonical(name) for name in common_bands(sources)]
    layers = [read_labelled(text, sources.label_field, sources.id_field) for _, text in pairs]
    cap, warning = _affordable(sources, pairs, layers, len(bands))
    options = dataclasses.replace(sources.options, max_pixels=cap)
    mark = _fingerprint(sources, pairs, layers, bands, options)
    if store is not None:
        kept = STORE.facts(store)
        if kept is not None and kept[0] == mark:
            progress(1.0)
            return Gathered(PixelSets.load(store), list(kept[1].get("notes", [])), reused=True)
    parts, notes = [], []
    regions = {id(series): number for number, series in enumerate(sources.series)}
    steps = len(pairs) + (sources.table is not None)
    for number, ((series, _), layer) in enumerate(zip(pairs, layers, strict=True)):
        sets, said = collect(
            series,
            layer,
            series.match_bands(bands),
            options,
            region=regions[id(series)],
            progress=lambda fraction, n=number: progress((n + fraction) / steps),  # type: ignore[misc]
        )
        parts.append(dataclasses.replace(sets, bands=tuple(bands)))
        notes += said
    if sources.table is not None and sources.table_options is not None:
        wanted = dataclasses.replace(sources.table_options, bands=bands)
        sets, said = read_labelled_series(sources.table, wanted, region=len(sources.series))
        parts.append(dataclasses.replace(sets, bands=tuple(bands)))
        notes += said
        progress(1.0)
    codes = sorted({code for part in parts for code in part.classes})
    joined = PixelSets.concatenate([with_classes(part, codes) for part in parts])
    notes = [*dict.fromkeys(notes), *warning]
    if store is not None:
        whole = not any(series.missing for series in sources.series)
        joined.save(store, fingerprint=mark if whole else f"{mark} {INCOMPLETE}", extra={"notes": notes})
    return Gathered(joined, notes)


def common_bands(sources: Sources) -> list[str]:
    """The bands to use, named as in the first source.

    Raises:
        InputError: a wanted band is missing somewhere, or the sources have no band in common.
    """
    lists: list[tuple[str, tuple[str, ...]]] = [(s.title, s.bands) for s in sources.series]
    if sources.table is not None and sources.table_options is not None:
        lists.append((sources.table.name, _table_bands(sources.table, sources.table_options)))
    first = list(sources.bands) or list(lists[0][1])
    if sources.bands:
        for series in sources.series:
            series.match_bands(sources.bands)
        found, missing = match(lists[0][1], sources.bands)
        if not missing:
            return found
        return first  # only a table is given, and it says itself what is missing
    common = [name for name in first if all(not match(own, [name])[1] for _, own in lists)]
    if not common:
        each = "; ".join(f"{title}: {', '.join(own)}" for title, own in lists)
        raise InputError(f"The sources have no band in common. {each}.", "Use images of the same kind.")
    return common


def _table_bands(path: Path, options: TableOptions) -> tuple[str, ...]:
    from sits_engine.samples.tables import band_columns

    return tuple(band_columns(read_table(path), options, path.name))


def _pairs(sources: Sources) -> list[tuple[TimeSeries, str]]:
    series, parcels = sources.series, sources.parcels
    if not series and not parcels and sources.table is None:
        raise InputError(
            "There is nothing to train on.", "Give SERIES and PARCELS, or a table of LABELLED_SERIES."
        )
    if bool(series) != bool(parcels):
        missing = "PARCELS" if series else "SERIES"
        raise InputError(
            f"Time series and parcels go together, but {missing} is empty.",
            "Give both, or only LABELLED_SERIES.",
        )
    if len(parcels) == 1:
        return [(one, parcels[0]) for one in series]
    if len(series) == 1:
        return [(series[0], text) for text in parcels]
    if len(series) != len(parcels):
        raise InputError(
            f"{len(series)} time series and {len(parcels)} parcel layers don't go together.",
            "Give one parcel layer for each series in the same order, or one layer for all.",
        )
    return list(zip(series, parcels, strict=True))


def _affordable(
    sources: Sources, pairs: Sequence[tuple[TimeSeries, str]], layers: Sequence[Labelled], bands: int
) -> tuple[int, list[str]]:
    """Pixels a parcel that the machine can hold, and a sentence if that is fewer than asked for."""
    per_pixel = sum(
        len(layer.frame) * len(series.positions) * (4 * bands + 1)
        for (series, _), layer in zip(pairs, layers, strict=True)
    )
    return affordable(sources.options.max_pixels, per_pixel)


def affordable(
    wanted: int,
    per_pixel: int,
    *,
    kept: str = "pixels of a parcel",
    read: str = "parcels",
    field: str = "MAX_PIXELS",
) -> tuple[int, list[str]]:
    """`wanted`, or as much as the machine can hold of what takes `per_pixel` bytes each; and a sentence.

    A power of two where it is fewer, so that machines sold as alike agree. Memory that others use changes
    nothing: there is only a warning.
    """
    if not per_pixel:
        return wanted, []
    # joining the parts and cutting out the training side hold the samples twice
    memory = psutil.virtual_memory()
    most = max(1, int(MEMORY_SHARE * memory.total / (2 * per_pixel)))
    cap, notes = wanted, []
    if most < wanted:
        cap = 1 << (most.bit_length() - 1)
        notes.append(
            f"At most {cap} {kept} are kept instead of {wanted}: this machine's memory holds no "
            f"more. For the same model on another machine, set {field} to {cap} there."
        )
    if 2 * per_pixel * cap > memory.available:
        notes.append(
            f"Reading the {read} may take up to {2 * per_pixel * cap / 1e9:.1f} GB of memory, and "
            f"{memory.available / 1e9:.1f} GB are free. Close other programs, or lower {field}."
        )
    return cap, notes


def _fingerprint(
    sources: Sources,
    pairs: Sequence[tuple[TimeSeries, str]],
    layers: Sequence[Labelled],
    bands: list[str],
    options: ParcelOptions,
) -> str:
    """Changes when images, geometries, labels, the table or the way of reading (as it is done) change."""
    plain: dict[str, Any] = {
        "series": [series.fingerprint() for series, _ in pairs],
        "bands": bands,
        "options": dataclasses.asdict(options),
    }
    if sources.table is not None and sources.table_options is not None:
        plain["table"] = [file_mark(sources.table), dataclasses.asdict(sources.table_options)]
        labels = sources.table_options.labels_table
        if labels:
            plain["labels"] = file_mark(Path(labels.split("|")[0]))
    digest = hashlib.sha256(json.dumps(plain, sort_keys=True, default=str).encode())
    for layer in layers:
        digest.update(layer_mark(layer))
    return digest.hexdigest()


def layer_mark(layer: Labelled) -> bytes:
    """Changes when the labels or outlines of a layer do; another file with the same content has the same."""
    # the content, not the file: a selection comes as a new temporary file each time
    digest = hashlib.sha256(str(layer.frame.crs).encode())
    digest.update(json.dumps(layer.frame[["id", "code"]].to_numpy().tolist()).encode())
    for wkb in layer.frame.geometry.to_wkb():
        digest.update(wkb)
    return digest.digest()


def file_mark(path: Path) -> list[Any]:
    """Changes when a file does."""
    if not path.exists():
        return [str(path)]
    found = path.stat()
    return [str(path), found.st_size, found.st_mtime_ns]
