"""How many days a region's season is off the season that a model knows; no labels needed."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from sits_engine.context import JobContext
from sits_engine.jobs.base import JobResult, claim_outputs, write_numbers
from sits_engine.jobs.region_samples import (
    PixelFields,
    SamplingFields,
    TargetFields,
    check_bands,
    open_model,
    read_target,
)
from sits_engine.learning.adaptation.options import Estimator
from sits_engine.outputs import numbers_beside

if TYPE_CHECKING:
    from sits_engine.learning.summary import Profiles
    from sits_engine.models.card import ModelCard
    from sits_engine.samples.pixel_sets import PixelSets


class EstimateTemporalShift(TargetFields, PixelFields, SamplingFields):
    """Try every shift of the target's dates and take the one that the model is surest with."""

    title: ClassVar[str] = "Estimate temporal shift"

    model: Path = Field(description="model (.safetensors)")
    id_field: str | None = Field(None, description="column that names a place, in parcels or table")
    series_scale: float | None = Field(
        None, gt=0, description="physical value = number * series_scale in target_table; default: detected"
    )
    estimator: Estimator = Field(
        "IS",
        description="score that decides: IS inception score (published before training), AM activation "
        "maximisation, ENT entropy",
    )
    max_shift: int = Field(60, ge=1, le=180, description="largest shift tried in days (published: 60)")
    resamples: int = Field(
        50, ge=1, le=1000, description="draws of the target with replacement, for the spread of the estimate"
    )
    seed: int = Field(1, ge=0, le=2**31 - 1, description="the same seed on a CPU gives the same estimate")
    report: Path | None = Field(None, description="report (.html); its numbers are written beside it")
    numbers: Path | None = Field(None, description="numbers of the report (.json); default: beside it")

    def run(self, ctx: JobContext) -> JobResult:
        """Read the target, try the shifts, write the report."""
        beside = None if self.report is None else numbers_beside(self.report)
        written = (self.report, beside, self.numbers)
        claim_outputs(written, [self.model, *self.target_files(), self.region])

        from sits_engine import device as devices
        from sits_engine.learning.adaptation.season import check_season
        from sits_engine.learning.adaptation.shift import estimate_shift
        from sits_engine.learning.adaptation.shift_words import shift_words
        from sits_engine.learning.adaptation.summary import ShiftReportData
        from sits_engine.report.shift import write_shift_report
        from sits_engine.samples.tables import TableOptions

        device = devices.select(self.device)
        ctx.device = device.label
        ctx.progress(0.0, "Opening model and target")
        module, card = open_model(self.model)
        sources = dataclasses.replace(
            self.open_target(ctx, self, card.mask_dates, self.seed),
            region=self.region,
            n_pixels=self.n_pixels,
            id_field=self.id_field if self.target_table is None else None,
            table_options=TableOptions("", "", self.id_field, scale=self.series_scale),
        )
        check_bands(sources.series, card)
        target = read_target(sources, card.band_names, ctx.part(0.01, 0.5, "Reading the target"))
        for note in target.notes:
            ctx.info(note)
        for sentence in check_season(target.sets, card.positions, self.max_shift):
            ctx.warn(sentence)
        curves = estimate_shift(
            module,
            card,
            target.sets,
            device,
            estimator=self.estimator,
            max_shift=self.max_shift,
            resamples=self.resamples,
            seed=self.seed,
            progress=ctx.part(0.5, 0.95, f"Trying shifts on {device.label}"),
        )
        words = shift_words(curves)
        ctx.info(f"{words[0].upper()}{words[1:]}.")
        ctx.progress(0.95, "Writing the report")
        data = ShiftReportData(
            title=f"Temporal shift of {target.title}",
            source_title=learned_in(card, self.model),
            target_title=target.title,
            season_year=target.season_year,
            curves=curves,
            source_profiles=card_profiles(card),
            target_profile=mean_profile(target.sets, target.season_year),
            provenance={
                "model": self.model.name,
                "tensors_sha256": card.tensors_sha256,
                **target.facts,
                "samples": len(target.sets),
            },
            parameters=self.model_dump(mode="json", exclude={"report", "numbers"}),
            notes=target.notes,
            warnings=list(ctx.warnings),
        )
        outputs: dict[str, str] = {}
        if self.numbers is not None:
            write_numbers(self.numbers, data.as_json())
            outputs["numbers"] = str(self.numbers)
        if self.report is not None:
            made = write_shift_report(self.report, data)
            outputs = {"report": str(self.report), "numbers": str(made), **outputs}
        low, high = curves.interval
        ctx.progress(1.0, "Done")
        return JobResult(
            outputs=outputs,
            scores={
                "shift_days": curves.shift,
                "shift_low": low,
                "shift_high": high,
                "shift_words": words,
                "n_sets": curves.n_sets,
            },
            warnings=list(ctx.warnings),
        )


def learned_in(card: ModelCard, path: Path) -> str:
    """Where a model learned (or was adapted to), for people: titles of its series, else its file."""
    adapted = card.provenance.get("adapted")
    if isinstance(adapted, dict) and isinstance(adapted.get("to"), dict) and adapted["to"].get("title"):
        return str(adapted["to"]["title"])
    found = card.provenance.get("series")
    titles = [str(one.get("title") or "") for one in found or [] if isinstance(one, dict)]
    return ", ".join(dict.fromkeys(filter(None, titles))) or path.stem


def card_profiles(card: ModelCard) -> Profiles | None:
    """The profiles that a card holds, None where it holds none that fit."""
    import numpy as np

    from sits_engine.learning.summary import Profiles

    stored: dict[str, Any] = card.profiles
    if not {"positions", "bands", "mean"} <= set(stored):
        return None
    positions = np.asarray(stored["positions"], dtype=float)
    mean = np.array(stored["mean"], dtype=np.float32)  # None becomes NaN
    if mean.shape != (len(card.classes), len(positions), len(stored["bands"])):
        return None
    std = np.array(stored.get("std", np.full(mean.shape, np.nan)), dtype=np.float32)
    year = int(stored.get("season_year", card.season_year))
    return Profiles(positions, tuple(str(band) for band in stored["bands"]), mean, std, year)


def mean_profile(sets: PixelSets, season_year: int) -> Profiles:
    """Mean series over all sets, as the profile of a single class."""
    import numpy as np

    from sits_engine.learning.held_out import class_profiles

    alike = dataclasses.replace(sets, labels=np.zeros(len(sets), dtype=np.int64), classes=("all",))
    return class_profiles(alike, season_year)
