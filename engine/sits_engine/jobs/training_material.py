"""What a segmentation model is trained on: windows of time series, or of data sets, with their facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sits_engine.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from sits_engine.models.card import ModelCard
    from sits_engine.samples.classes import ClassTable
    from sits_engine.samples.window_data import WindowData
    from sits_engine.samples.windows import WindowSet
    from sits_engine.series.time_series import TimeSeries

#: Side of a window in pixels of the images where the user chose none (published: PASTIS, France).
USUAL = {"tsvit": 24}
OTHER = 48
#: Networks halve windows twice, or cut them into patches of 2 or 3 pixels.
STEP = 4
#: Series whose pixel sizes differ by less are alike.
SAME_SIZE = 0.01
#: Inputs that a data set of windows takes the place of.
REPLACED = ("series", "parcels", "field", "labels", "windows_store")


@dataclass
class Material:
    """Windows labelled by code, and what a model's card and report tell of them.

    Attributes:
        windows: all.
        notes: sentences on what was left out.
        crop: side of a crop in pixels; None: what fits the windows.
        season_year: that positions count from.
        season_years, regions, folds: of each region, as `SegmentOptions`.
        mask_clouds: whether clouded pixels are left out.
        pixel_size: metres of a pixel of the images, None where unknown.
        table: classes where the user gave no class table.
        codes: label codes of those codes of `windows` that have names of their own.
        provenance: for card and report.
        parameters: those that the windows decide about.
    """

    windows: WindowSet
    notes: list[str]
    crop: int | None
    season_year: int
    season_years: tuple[int | None, ...]
    regions: tuple[str, ...] = ()
    folds: tuple[int, ...] = ()
    mask_clouds: bool = True
    pixel_size: float | None = None
    table: ClassTable | None = None
    codes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)

    def original(self, codes: Sequence[str]) -> list[str]:
        """The label codes that codes of the windows stand for."""
        return [own for code in codes for own in self.codes.get(code, (code,))]

    def restore(self, card: ModelCard) -> None:
        """Give the classes of a card the label codes that the data set was made with."""
        for one in card.classes:
            one.codes = self.original(one.codes)


def open_data_sets(paths: Sequence[Path], given: Sequence[str], scale: int, split: str) -> list[WindowData]:
    """The data sets of WINDOWS, after a look at everything that can be wrong without reading windows.

    Args:
        paths: folders, at least one.
        given: names of the other inputs that were given.
        scale: as asked for; 1 leaves it to the data sets.
        split: 'folds' needs them.

    Raises:
        InputError: `REPLACED` inputs are given, too; no data sets, or ones that don't go together; another
            SCALE; no folds.
    """
    from sits_engine.samples.window_data import WindowData, check_alike

    both = [name.upper() for name in REPLACED if name in given]
    if both:
        raise InputError(
            f"{' and '.join(both)} {'is' if len(both) == 1 else 'are'} given with WINDOWS, a data set that "
            "holds images and labels.",
            "Give WINDOWS alone, or SERIES with PARCELS or LABELS.",
        )
    sets = [WindowData.open(path) for path in paths]
    check_alike(sets)
    if scale not in (1, sets[0].scale):
        how = f"{sets[0].scale} times finer than" if sets[0].scale > 1 else "on the grid of"
        raise InputError(
            f"SCALE is {scale}, but the labels of {sets[0].name} are {how} the images.",
            f"Leave SCALE out (or {sets[0].scale}), or make a data set with that SCALE.",
        )
    without = [one.name for one in sets if one.folds is None]
    if split == "folds" and without:
        raise InputError(
            f"{', '.join(without)} has no folds.",
            "SPLIT = folds is for published data sets that come with folds (PASTIS): choose another one.",
        )
    return sets


def crop_of_data_sets(sets: Sequence[WindowData], wanted: int | None, architecture: str) -> int | None:
    """Side of the crops; None: as large as the windows, which published ones are made for.

    Raises:
        InputError: larger than the windows, or the network can't work on it.
    """
    from sits_engine.models.registry import segmentation_hyperparameters

    size = sets[0].size
    if wanted is None:
        # whole patches (PASTIS: 128) are cut; each step sees another part of them
        return USUAL.get(architecture, OTHER) if min(size) > OTHER else None
    if wanted > min(size):
        raise InputError(
            f"WINDOW is {wanted} pixels; those of {sets[0].name} have {size[0]} x {size[1]}.",
            f"Choose at most {min(size)}, or leave it out.",
        )
    segmentation_hyperparameters(architecture, 1, 2, n_dates=4, window=wanted)
    return wanted


def material_of_data_sets(
    sets: Sequence[WindowData], windows: WindowSet, notes: list[str], crop: int | None
) -> Material:
    """The windows of data sets with their facts."""
    from sits_engine.samples.classes import ClassTable

    years = [year for one in sets for year in one.season_years]
    known = [year for year in years if year is not None]
    notes = [*notes]
    if not known:
        notes.append("The data set doesn't tell a season year; the card says 1970.")
    colors: dict[str, str] = {}
    codes: dict[str, Sequence[str]] = {}
    for one in sets:
        colors = {**one.colors, **colors}
        codes = {**one.codes, **codes}
    sizes = [metres for one in sets for metres in one.resolutions]
    folds = [one.folds for one in sets]
    mask_clouds = all(one.mask_clouds for one in sets)
    return Material(
        windows=windows,
        notes=notes,
        crop=crop,
        season_year=known[0] if known else 1970,
        season_years=tuple(years),
        regions=tuple(name for one in sets for name in one.names),
        folds=tuple(number for own in folds for number in own or ()) if None not in folds else (),
        mask_clouds=mask_clouds,
        pixel_size=round(sizes[0], 4) if sizes else None,
        table=ClassTable(sets[0].name, {name: name for name in windows.classes}, colors),
        codes=codes,
        provenance={
            "data_sets": [
                {
                    "name": one.name,
                    "made_by": one.made_by or "unknown",
                    "windows": one.n_windows,
                    "regions": one.n_regions,
                    "dates": one.n_dates,
                }
                for one in sets
            ],
            "series": [facts for one in sets for facts in one.series],
            "resolution": round(sizes[0], 4) if sizes else None,
        },
        parameters={"scale": str(sets[0].scale), "mask_clouds": mask_clouds},
    )


def crop_of_series(series: Sequence[TimeSeries], wanted: int | None, architecture: str, scale: int) -> int:
    """Side of the windows; where the user chose none, the usual one or what fits into the images.

    Raises:
        InputError: the network can't work on windows of that size.
    """
    from sits_engine.models.registry import segmentation_hyperparameters

    size = wanted
    if size is None:
        smallest = min((min(one.grid.height, one.grid.width) for one in series), default=OTHER)
        size = max(STEP, min(USUAL.get(architecture, OTHER), smallest // STEP * STEP))
    # before hours of reading
    segmentation_hyperparameters(architecture, 1, 2, n_dates=4, scale=scale, window=size)
    return size


def pixel_size_of(series: Sequence[TimeSeries]) -> float:
    """Metres of a pixel of the images.

    Raises:
        InputError: no series, or series of different pixel sizes: fields would have several sizes in pixels.
    """
    from sits_engine.mapping.compat import pixel_metres

    if not series:
        raise InputError(
            "There are no images to learn from.",
            "Give SERIES with PARCELS or LABELS, or a data set of WINDOWS.",
        )
    sizes = [pixel_metres(one.grid) for one in series]
    if max(sizes) > (1 + SAME_SIZE) * min(sizes):
        each = "; ".join(f"{one.title}: {size:.3g} m" for one, size in zip(series, sizes, strict=True))
        raise InputError(
            f"The time series have pixels of different sizes ({each}), but a segmentation model learns how "
            "large fields are in pixels.",
            "Build them with one pixel size (RESOLUTION), or train a model for each.",
        )
    return round(sizes[0], 4)
