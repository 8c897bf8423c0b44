"""Two regions whose crops are both known: the user's own, or tiles of the published TimeMatch data."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from sits_engine.context import JobContext
from sits_engine.errors import InputError
from sits_engine.jobs.base import existing
from sits_engine.jobs.region_samples import (
    MAX_PIXELS,
    MIN_TARGET,
    ParcelFields,
    SourceFields,
    TargetFields,
    TargetLabelFields,
    read_target,
)

if TYPE_CHECKING:
    from sits_engine.samples.gather import Sources
    from sits_engine.samples.pixel_sets import PixelSets
    from sits_engine.samples.unlabelled import TargetSources

#: Fewest samples of a class in the user's own source; rarer classes are left out.
MIN_SAMPLES = 10


@dataclass
class LabelledPair:
    """Samples of two regions with the same classes in the same order.

    Attributes:
        source, target: all labelled.
        sides: (N,) 0 train, 1 validation, 2 test of source and of target; None: not split yet.
        titles, season_years: of source and target.
        facts: files, for provenance.
        notes: what was left out or merged.
    """

    source: PixelSets
    target: PixelSets
    sides: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]] | None
    titles: tuple[str, str]
    season_years: tuple[int, int]
    facts: dict[str, Any]
    notes: list[str] = field(default_factory=list)


class PairFields(SourceFields, TargetFields, TargetLabelFields, ParcelFields):
    """Both regions as fields, and the published data in place of them."""

    max_pixels: int | None = Field(
        None,
        ge=1,
        description="pixels kept of a parcel; default: 128, of published data all that the memory holds",
    )
    split: Literal["blocks", "parcels", "published"] = Field(
        "blocks",
        description="train, validation and test in spatial blocks, or single parcels at random; published: "
        "the paper's (published data only)",
    )
    published_source: Path | None = Field(
        None, description="folder country/tile/year of the TimeMatch data, instead of series and parcels"
    )
    published_target: Path | None = Field(None, description="the same for the target")
    class_mapping_source: Path | None = Field(
        None, description="published data: CSV code,class[,color] or JSON of the source's country"
    )
    class_mapping_target: Path | None = Field(
        None, description="published data: the same of the target's country; default: that of the source"
    )
    fold: int = Field(0, ge=0, le=2, description="published data: which of the paper's three splits")
    combine_spring_and_winter: bool = Field(
        False, description="published data: spring and winter crops are one class (published: off)"
    )
    unknown: Literal["class", "drop"] = Field(
        "class",
        description="published data: crops without a class are a class of their own (published), or drop",
    )
    min_parcels: int = Field(
        200, ge=1, description="published data: fewest parcels of a class in the source (published: 200)"
    )

    @property
    def most_pixels(self) -> int:
        """Pixels kept of a parcel of the user's own regions."""
        return self.max_pixels or MAX_PIXELS

    @property
    def published(self) -> bool:
        """True where the pair is one of published tiles."""
        return self.published_source is not None or self.published_target is not None

    def pair_files(self) -> list[Path | str | None]:
        """Inputs that no output may overwrite."""
        own = [*self.source_files(), *self.target_files(), self.target_labels_table]
        folders = [self.published_source, self.published_target]
        return [*own, *folders, self.class_mapping_source, self.class_mapping_target]

    def read_pair(self, ctx: JobContext, progress: Callable[[float], None]) -> LabelledPair:
        """Both regions with their labels.

        Raises:
            InputError: a region or its labels are missing, things don't go together, or too little is left.
        """
        return self._published_pair(progress) if self.published else self._own_pair(ctx, progress)

    def _published_pair(self, progress: Callable[[float], None]) -> LabelledPair:
        from sits_engine.samples.published import PublishedOptions, read_published_pair

        if self.published_source is None or self.published_target is None:
            raise InputError(
                "Published data come in pairs: PUBLISHED_SOURCE and PUBLISHED_TARGET.", "Give both folders."
            )
        if any((*self.source_files(), *self.target_files())):
            raise InputError(
                "Published data and regions of your own are both given.",
                "Leave one of them out: SERIES, PARCELS and tables, or PUBLISHED_SOURCE and _TARGET.",
            )
        if self.class_mapping_source is None:
            raise InputError(
                "CLASS_MAPPING_SOURCE is missing: published parcels have national crop codes.",
                "Give a CSV with the columns code and class.",
            )
        mapping = existing(self.class_mapping_source, "Class mapping of the source")
        other = self.class_mapping_target
        options = PublishedOptions(
            mapping,
            None if other is None else existing(other, "Class mapping of the target"),
            fold=self.fold,
            split=self.split,
            combine_spring_and_winter=self.combine_spring_and_winter,
            unknown=self.unknown,
            min_parcels=self.min_parcels,
            max_pixels=self.max_pixels,
        )
        folders = (
            existing(self.published_source, "Published source"),
            existing(self.published_target, "Published target"),
        )
        pair = read_published_pair(*folders, options, progress)
        return LabelledPair(
            pair.source,
            pair.target,
            (pair.source_side, pair.target_side),
            pair.titles,
            pair.season_years,
            {"published": list(pair.titles), "fold": self.fold, "class_mapping": mapping.name},
            pair.notes,
        )

    def _own_pair(self, ctx: JobContext, progress: Callable[[float], None]) -> LabelledPair:
        from sits_engine.samples.classes import assign_classes

        if self.split == "published":
            raise InputError(
                "SPLIT = published is the split of the published data.", "Choose blocks or parcels."
            )
        if not self.target_field or not (self.target_parcels or self.target_table):
            raise InputError(
                "The target has no labels: a comparison scores the methods with them.",
                "Give TARGET_PARCELS (or TARGET_TABLE) and TARGET_FIELD.",
            )
        known = self.open_source(ctx, self, [], mask_clouds=True, seed=1)
        other = self.with_labels(self.open_target(ctx, self, mask_clouds=True, seed=1))
        bands = shared_bands(known, other)
        known = dataclasses.replace(known, bands=bands)
        if known.table_options is not None:
            known.table_options = dataclasses.replace(known.table_options, bands=bands)
        source = self.read_source(known, lambda fraction: progress(0.5 * fraction))
        target = read_target(other, bands, lambda fraction: progress(0.5 + 0.5 * fraction))
        left, infos, said = assign_classes(source.sets, min_parcels=MIN_SAMPLES)
        sets, lost = in_classes(target.sets, [info.name for info in infos])
        return LabelledPair(
            dataclasses.replace(left, bands=sets.bands),
            sets,
            None,
            (source.title, target.title),
            (source.season_year, target.season_year),
            {"source": source.facts, "target": {**target.facts, "field": self.target_field}},
            [*source.notes, *said, *target.notes, *lost],
        )


def shared_bands(source: Sources, target: TargetSources) -> list[str]:
    """Bands that every source and every target has, named as in the first source.

    Raises:
        InputError: there is none; each list is named.
    """
    from sits_engine.samples.gather import common_bands
    from sits_engine.samples.tables import band_columns, read_table
    from sits_engine.series.bands import canonical, match

    own = [canonical(name) for name in common_bands(source)]
    theirs: list[tuple[str, Sequence[str]]] = [(one.title, one.bands) for one in target.series]
    if target.table is not None:
        columns = band_columns(read_table(target.table), target.table_options, target.table.name)
        theirs.append((target.table.name, columns))
    shared = [name for name in own if all(not match(list(there), [name])[1] for _, there in theirs)]
    if not shared:
        each = "; ".join(f"{title}: {', '.join(there)}" for title, there in theirs)
        raise InputError(
            f"Source and target have no band in common. Source: {', '.join(own)}; {each}.",
            "Use images of the same kind.",
        )
    return shared


def in_classes(coded: PixelSets, names: Sequence[str]) -> tuple[PixelSets, list[str]]:
    """Sets that have one of these classes, in their order, and sentences on the others.

    Raises:
        InputError: fewer than `MIN_TARGET` are left; both lists are named.
    """
    place = np.array([names.index(code) if code in names else -1 for code in coded.classes], dtype=np.int64)
    labels = np.where(coded.labels >= 0, place[coded.labels], -1) if len(place) else coded.labels
    kept = labels >= 0
    notes = []
    unlabelled = int((coded.labels < 0).sum())
    if unlabelled:
        notes.append(f"{unlabelled} samples of the target without a label were left out.")
    others = int((~kept).sum()) - unlabelled
    if others:
        foreign = [code for code, k in zip(coded.classes, place, strict=True) if k < 0]
        notes.append(
            f"{others} samples of the target have classes that the source doesn't have and were left out: "
            f"{', '.join(foreign[:20])}."
        )
    if int(kept.sum()) < MIN_TARGET:
        raise InputError(
            f"{int(kept.sum())} samples of the target have a class of the source; at least {MIN_TARGET} are "
            f"needed. Target: {', '.join(coded.classes) or 'none'}; source: {', '.join(names)}.",
            "Use the same names for the same crops in FIELD and TARGET_FIELD.",
        )
    return dataclasses.replace(coded.subset(kept), labels=labels[kept], classes=tuple(names)), notes
