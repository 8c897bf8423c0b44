"""From time series with parcels or a label raster to training windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sits_engine.errors import InputError
from sits_engine.samples.gather import affordable
from sits_engine.samples.parcels import Series
from sits_engine.samples.rasterise import LEAST, Burnt
from sits_engine.samples.vectors import Labelled
from sits_engine.samples.window_labels import RegionLabels, matched, open_labels
from sits_engine.samples.window_layout import batches, centres, check_size, starts
from sits_engine.samples.windows import WindowSet
from sits_engine.series.bands import canonical, match
from sits_engine.series.dates import MIN_DATES
from sits_engine.series.types import Window

SCALES = (1, 2, 4)
Progress = Callable[[float], None]


class BandedSeries(Series, Protocol):
    """What this module needs of a `series.time_series.TimeSeries`."""

    @property
    def bands(self) -> tuple[str, ...]:
        """Spectral bands."""

    def match_bands(self, wanted: Sequence[str]) -> list[str]:
        """Own names of the wanted bands."""


@dataclass
class WindowSources:
    """What to read.

    Attributes:
        series: images, one a region.
        labels: polygon layers (`path|layername=NAME`) or label rasters: one a series, one for all series, or
            several polygon layers for the only series.
        label_field: class field of the polygons.
        bands: names in any usual spelling; empty: all that every series has.
        named: values of label rasters have the names that the files give them; False: they are numbers.
    """

    series: Sequence[BandedSeries]
    labels: Sequence[str]
    label_field: str | None = None
    bands: Sequence[str] = field(default_factory=list)
    named: bool = True


@dataclass(frozen=True)
class WindowOptions:
    """How windows are cut.

    Attributes:
        size: pixels of the images along a side.
        scale: pixels of the labels along a pixel of the images: 1, 2 or 4.
        stride: pixels from one window to the next; None: `size`, so that windows don't overlap. At the right
            and lower edge the last window is moved inside and overlaps (`WindowSet.sharing_groups`).
        min_labelled: windows with a smaller share of labelled pixels are dropped.
        max_windows: of all regions together, an equal share of each, drawn at random; None keeps all.
        mask_clouds: False keeps clouded pixels as valid.
        least: of a pixel, the least that its class must cover (parcels).
        seed: of the draw.
    """

    size: int = 24
    scale: int = 1
    stride: int | None = None
    min_labelled: float = 0.05
    max_windows: int | None = 4000
    mask_clouds: bool = True
    least: float = LEAST
    seed: int = 1


def gather_windows(
    sources: WindowSources, options: WindowOptions, progress: Progress = lambda fraction: None
) -> tuple[WindowSet, list[str]]:
    """Cut labelled windows out of all series.

    Args:
        sources, options: see there.
        progress: gets 0..1; may raise to cancel.

    Returns:
        The windows, their `classes` being the sorted label codes of all regions, ordered by region, row and
        column; and sentences on what was dropped or repaired, with counts.

    Raises:
        InputError: nothing given, series and labels that don't go together, a window larger than an image, a
            raster off the grid, no common band, too few dates, or no window with enough labels.
    """
    if options.scale not in SCALES:
        raise InputError(f"SCALE is {options.scale}.", "Choose 1, 2 or 4.")
    if options.size < 1 or (options.stride is not None and options.stride < 1):
        raise InputError("WINDOW and STRIDE must be at least 1.", "Choose a larger number.")
    texts = matched(len(sources.series), sources.labels)
    bands = [canonical(name) for name in _common_bands(sources)]
    for series in sources.series:
        check_size(series.grid, options.size, series.title)
        if len(series.positions) < MIN_DATES:
            raise InputError(
                f"The series {series.title} has {len(series.positions)} dates; at least {MIN_DATES} are "
                "needed.",
                "Add images of more dates of the season.",
            )
    progress(0.0)
    layers: dict[str, Labelled] = {}
    labels = [
        open_labels(
            own,
            sources.label_field,
            series.grid,
            options.scale,
            series.title,
            least=options.least,
            read=layers,
            named=sources.named,
        )
        for series, own in zip(sources.series, texts, strict=True)
    ]
    notes = [note for region in labels for note in region.notes]
    spots = [_spots(s, region, options) for s, region in zip(sources.series, labels, strict=True)]
    most, said = _most(sources, options, spots, len(bands))
    codes = tuple(sorted({code for region in labels for code in region.codes}))
    parts: list[WindowSet] = []
    n = len(sources.series)
    for number, (series, region) in enumerate(zip(sources.series, labels, strict=True)):
        tell = _part(progress, number / n, (number + 1) / n)
        choice = _choose(series, region, spots[number], options, most, number, _part(tell, 0, 0.4))
        notes += choice.notes
        if len(choice.rows):
            read, dropped = _read(series, choice, bands, codes, region, options, number, _part(tell, 0.4, 1))
            notes += dropped
            parts.append(read)
    windows = WindowSet.concatenate(parts) if parts else None
    if windows is None or not len(windows):
        raise InputError(
            f"No window of {options.size} x {options.size} pixels can be used: {' '.join(notes)}",
            "Lower MIN_LABELLED, choose another WINDOW, or give labels and images of the same place.",
        )
    return windows, [*dict.fromkeys(notes), *said]


@dataclass
class _Choice:
    """Windows that hold enough labels."""

    rows: npt.NDArray[np.int32]
    cols: npt.NDArray[np.int32]
    burnt: list[Burnt]
    notes: list[str]


def _common_bands(sources: WindowSources) -> list[str]:
    first = list(sources.bands) or list(sources.series[0].bands)
    if sources.bands:
        for series in sources.series:
            series.match_bands(sources.bands)
        return first
    common = [name for name in first if all(not match(s.bands, [name])[1] for s in sources.series)]
    if not common:
        each = "; ".join(f"{s.title}: {', '.join(s.bands)}" for s in sources.series)
        raise InputError(f"The series have no band in common. {each}.", "Use images of the same kind.")
    return common


def _spots(
    series: BandedSeries, labels: RegionLabels, options: WindowOptions
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Rows and columns of all windows that labels reach into."""
    stride = options.stride or options.size
    down = starts(series.grid.height, options.size, stride)
    across = starts(series.grid.width, options.size, stride)
    rows, cols = np.repeat(down, len(across)), np.tile(across, len(down))
    found = labels.reach(rows * options.scale, cols * options.scale, options.size * options.scale)
    return rows[found], cols[found]


def _most(
    sources: WindowSources,
    options: WindowOptions,
    spots: Sequence[tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]],
    n_bands: int,
) -> tuple[int, list[str]]:
    """Windows of one region at most, and a sentence where the memory is what limits them."""
    there = sum(len(rows) for rows, _ in spots)
    wanted = max(1, there if options.max_windows is None else min(options.max_windows, there))
    dates = max(len(series.positions) for series in sources.series)
    fine = 11 * options.scale**2  # labels, parcels, mixed, covered
    per_window = options.size**2 * (dates * (4 * n_bands + 1) + fine)
    most, notes = affordable(wanted, per_window, kept="windows", read="windows", field="MAX_WINDOWS")
    if most == wanted == there:
        return there, notes  # every window of every region
    return -(-most // len(sources.series)), notes


def _choose(
    series: BandedSeries,
    labels: RegionLabels,
    spots: tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]],
    options: WindowOptions,
    most: int,
    number: int,
    progress: Progress,
) -> _Choice:
    """Burn labels in random order until there are enough windows; then put these in order."""
    rows, cols = spots
    order = np.random.default_rng([options.seed, number]).permutation(len(rows))
    kept: list[tuple[int, Burnt]] = []
    few, best = 0, 0.0
    for tried, i in enumerate(order):
        if len(kept) == most:
            break
        progress(max(tried / len(order), len(kept) / most))
        window = Window(int(rows[i]), int(cols[i]), options.size, options.size)
        burnt = labels.burn(_finer(window, options.scale))
        best = max(best, burnt.labelled)
        if burnt.labelled < options.min_labelled or burnt.labelled == 0:
            few += 1
        else:
            kept.append((int(i), burnt))
    progress(1.0)
    notes = []
    if few:
        so = "" if kept else f" (the best has {100 * best:.2g} %)"
        notes.append(
            f"{series.title}: {few} windows with fewer than {100 * options.min_labelled:g} % of labelled "
            f"pixels were left out{so}."
        )
    left = len(order) - few - len(kept)
    if left:
        notes.append(
            f"{series.title}: {len(kept)} windows were drawn at random; {left} more were not looked at."
        )
    kept.sort(key=lambda pair: (rows[pair[0]], cols[pair[0]]))
    index = np.array([i for i, _ in kept], dtype=np.int64)
    return _Choice(rows[index], cols[index], [burnt for _, burnt in kept], notes)


def _read(
    series: BandedSeries,
    choice: _Choice,
    bands: Sequence[str],
    codes: tuple[str, ...],
    labels: RegionLabels,
    options: WindowOptions,
    number: int,
    progress: Progress,
) -> tuple[WindowSet, list[str]]:
    """Images of the chosen windows; those that are hardly ever clear are dropped."""
    n, size = len(choice.rows), options.size
    values, valid = read_pixels(
        series, choice.rows, choice.cols, size, bands, keep_clouds=not options.mask_clouds, progress=progress
    )
    place = np.array([codes.index(code) for code in labels.codes] + [-1], dtype=np.int16)
    windows = WindowSet(
        bands=tuple(bands),
        values=values,
        valid=valid,
        positions=np.tile(np.asarray(series.positions, dtype=np.int32), (n, 1)),
        labels=np.stack([place[burnt.labels] for burnt in choice.burnt]),
        parcels=np.stack([burnt.parcels for burnt in choice.burnt]),
        mixed=np.stack([burnt.mixed for burnt in choice.burnt]),
        covered=np.stack([burnt.covered for burnt in choice.burnt]),
        scale=options.scale,
        classes=codes,
        xy=centres(choice.rows, choice.cols, size, series.grid),
        region=np.full(n, number, dtype=np.int16),
        rows=choice.rows.astype(np.int32),
        cols=choice.cols.astype(np.int32),
    )
    seen = valid.any(axis=(2, 3)).sum(axis=1) >= MIN_DATES
    if seen.all():
        return windows, []
    return windows.subset(seen), [
        f"{series.title}: {int((~seen).sum())} windows with clear pixels on fewer than {MIN_DATES} dates "
        "were dropped."
    ]


def read_pixels(
    series: BandedSeries,
    rows: npt.NDArray[np.int32],
    cols: npt.NDArray[np.int32],
    size: int,
    bands: Sequence[str],
    *,
    keep_clouds: bool = False,
    progress: Progress = lambda fraction: None,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Images of windows, read in pieces of the series that lie together.

    Args:
        series: what is read.
        rows, cols: (N,) upper left pixels; all windows lie inside the image.
        size: pixels along a side.
        bands: C names in any usual spelling.
        keep_clouds: clouded pixels count as valid.
        progress: gets 0..1; may raise to cancel.

    Returns:
        (N, T, C, size, size) in physical units, 0 where not valid, and (N, T, size, size) bool, valid.
    """
    n, dates = len(rows), len(series.positions)
    values = np.zeros((n, dates, len(bands), size, size), dtype=np.float32)
    valid = np.zeros((n, dates, size, size), dtype=bool)
    own = series.match_bands(bands)
    done = 0
    for area, members in batches(rows, cols, size, dates * len(bands)):
        cube = series.read(area, own, keep_clouds=keep_clouds)
        for i in members:
            top, left = int(rows[i]) - area.row, int(cols[i]) - area.col
            at = np.s_[..., top : top + size, left : left + size]
            part = values[i]
            np.multiply(cube.values[at], cube.scale[:, :, None, None], out=part, casting="unsafe")
            part += cube.offset[:, :, None, None]
            valid[i] = cube.valid[at]
            part[np.broadcast_to(~valid[i][:, None], part.shape)] = 0
        done += len(members)
        progress(done / n)
    return values, valid


def _finer(window: Window, scale: int) -> Window:
    return Window(window.row * scale, window.col * scale, window.height * scale, window.width * scale)


def _part(progress: Progress, start: float, end: float) -> Progress:
    return lambda fraction: progress(start + (end - start) * fraction)
