"""Samples of a region whose crops nobody knows: parcels without class, random pixels, tables of series."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sits_engine.errors import InputError
from sits_engine.samples.classes import with_classes
from sits_engine.samples.gather import Gathered, affordable
from sits_engine.samples.parcels import ParcelOptions, collect
from sits_engine.samples.pixel_sets import PixelSets
from sits_engine.samples.random_pixels import MOST_TRIES, random_pixels
from sits_engine.samples.region import Region, make_region
from sits_engine.samples.tables import TableOptions, read_labelled_series
from sits_engine.samples.vectors import Labelled, codes_of, read_features
from sits_engine.series.bands import canonical
from sits_engine.series.time_series import TimeSeries

_NUMBER = r"\s*[-+]?[\d.]+(?:[eE][-+]?\d+)?\s*"
_EXTENT = re.compile(rf"{_NUMBER}(?:,{_NUMBER}){{3}}(?:\[[^\]]*\]\s*)?$")


@dataclass
class TargetSources:
    """What to read of the target. Labels, where given, are for a report only: they don't touch the samples.

    Attributes:
        series: images, one a tile or year.
        parcels: polygon or point layer for all series; None draws single pixels.
        region: where to draw them, a polygon layer or an extent (xmin,xmax,ymin,ymax [EPSG:code]); None is
            the whole of the images.
        n_pixels: pixels to draw, from all series together.
        options: how parcels become pixel sets; its seed and cloud rule hold for drawn pixels, too.
        label_field: field of the parcels with their labels, or None.
        id_field: field that names a parcel.
        table: table of series, or None.
        table_options: how to read it; its `field` may be ''.
    """

    series: list[TimeSeries] = field(default_factory=list)
    parcels: str | None = None
    region: str | None = None
    n_pixels: int = 4000
    options: ParcelOptions = field(default_factory=ParcelOptions)
    label_field: str | None = None
    id_field: str | None = None
    table: Path | None = None
    table_options: TableOptions = field(default_factory=lambda: TableOptions(""))


def gather_target(
    sources: TargetSources,
    bands: Sequence[str],
    progress: Callable[[float], None] = lambda fraction: None,
) -> Gathered:
    """Read the samples of a region without labels.

    Args:
        sources: see `TargetSources`.
        bands: of the model, in its order, in any usual spelling.
        progress: gets 0..1; may raise to cancel.

    Returns:
        The sets with the labels -1 and no classes; where labels were asked for, `classes` are their codes
        and sets without one stay -1. And sentences on what was dropped.

    Raises:
        InputError: nothing given, things that don't go together, a missing band, or a source is unusable.
    """
    _check(sources)
    parts, notes = [], []
    steps = len(sources.series) + (sources.table is not None)

    def part(number: int) -> Callable[[float], None]:
        return lambda fraction: progress((number + fraction) / steps)

    if sources.series and sources.parcels:
        features = read_features(sources.parcels, sources.label_field, sources.id_field)
        depth = sum(len(series.positions) for series in sources.series)
        cap, said = affordable(sources.options.max_pixels, len(features.frame) * depth * (4 * len(bands) + 1))
        notes += said
        options = dataclasses.replace(sources.options, max_pixels=cap)
        for number, series in enumerate(sources.series):
            sets, said = _parcels(series, features, bands, options, number, part(number))
            parts.append(sets)
            notes += said
    elif sources.series:
        regions = [_region(series, sources.region) for series in sources.series]
        dates = max(len(series.positions) for series in sources.series)
        # a round of the draw may read more pixels than it keeps
        cap, said = affordable(
            sources.n_pixels,
            MOST_TRIES * dates * (4 * len(bands) + 1),
            kept="pixels of the region",
            read="pixels",
            field="N_PIXELS",
        )
        notes += said
        counts = _shares(regions, cap)
        for number, (series, region) in enumerate(zip(sources.series, regions, strict=True)):
            sets, said = random_pixels(
                series,
                region,
                series.match_bands(bands),
                counts[number],
                keep_clouds=not sources.options.mask_clouds,
                seed=sources.options.seed,
                number=number,
                progress=part(number),
            )
            parts.append(sets)
            notes += said
    if sources.table is not None:
        wanted = dataclasses.replace(sources.table_options, bands=list(bands), keep_unlabelled=True)
        sets, said = read_labelled_series(sources.table, wanted, region=len(sources.series))
        parts.append(sets)
        notes += said
        progress(1.0)
    names = tuple(canonical(band) for band in bands)
    codes = sorted({code for one in parts for code in one.classes})
    parts = [with_classes(dataclasses.replace(one, bands=names), codes) for one in parts]
    return Gathered(PixelSets.concatenate(parts), list(dict.fromkeys(notes)))


def is_extent(text: str) -> bool:
    """True where a region is written as an extent, not as a layer."""
    return _EXTENT.match(text) is not None


def _check(sources: TargetSources) -> None:
    if not sources.series and sources.table is None:
        raise InputError(
            "There is no target.", "Give TARGET_SERIES (images of your region), or a TARGET_TABLE of series."
        )
    for value, name in ((sources.parcels, "TARGET_PARCELS"), (sources.region, "REGION")):
        if value and not sources.series:
            raise InputError(
                f"{name} is given without TARGET_SERIES.", "Give the time series of the target as well."
            )
    if sources.parcels and sources.region:
        raise InputError(
            "TARGET_PARCELS and REGION are both given: samples are either parcels or pixels of a region.",
            "Leave one of them empty.",
        )
    if sources.label_field and not sources.parcels and sources.table is None:
        raise InputError(
            "TARGET_FIELD names labels, but TARGET_PARCELS is empty: drawn pixels have none.",
            "Give TARGET_PARCELS, or leave TARGET_FIELD empty.",
        )


def _region(series: TimeSeries, text: str | None) -> Region:
    if text is None:
        return make_region(series.grid)
    return make_region(series.grid, text) if is_extent(text) else make_region(series.grid, polygons=text)


def _shares(regions: Sequence[Region], count: int) -> list[int]:
    """How many pixels come from each region: by area, at least one."""
    areas = np.array([r.window.height * r.window.width * np.prod(r.grid.resolution) for r in regions])
    return [max(1, round(count * share)) for share in areas / areas.sum()]


def _parcels(
    series: TimeSeries,
    features: Labelled,
    bands: Sequence[str],
    options: ParcelOptions,
    number: int,
    progress: Callable[[float], None],
) -> tuple[PixelSets, list[str]]:
    """Parcels read as if none had a label; labels are put beside them afterwards."""
    frame = features.frame
    # all alike, so that no label decides to whom a shared pixel belongs; the id is the way back to the row
    nameless = frame.assign(id=np.arange(len(frame)).astype(str), code="")
    sets, notes = collect(
        series,
        Labelled(nameless, features.name, features.notes),
        series.match_bands(bands),
        options,
        region=number,
        progress=progress,
    )
    rows = sets.ids.astype(np.int64)
    known = codes_of(frame["code"].to_numpy(dtype=object)[rows])
    codes = sorted({code for code in known if code is not None})
    place = {code: k for k, code in enumerate(codes)}
    return dataclasses.replace(
        sets,
        ids=frame["id"].to_numpy()[rows].astype(np.str_),
        labels=np.array([place.get(code, -1) for code in known], dtype=np.int64),
        classes=tuple(codes),
    ), notes
