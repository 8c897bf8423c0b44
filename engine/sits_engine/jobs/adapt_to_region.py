"""Adapt a model to a region without labels, and say honestly whether that likely helped."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, field_validator

from sits_engine.context import JobContext
from sits_engine.jobs.base import JobResult, claim_outputs, model_path, write_numbers
from sits_engine.jobs.region_samples import (
    PixelFields,
    RegionSamples,
    SamplingFields,
    SourceFields,
    TargetFields,
    TargetLabelFields,
    check_bands,
    open_model,
    read_target,
)
from sits_engine.jobs.training_job import ResumableJob
from sits_engine.learning.adaptation.options import SHIFTING, AdaptOptions, Estimator, Method, Norm, Start
from sits_engine.outputs import numbers_beside

if TYPE_CHECKING:
    from sits_engine.device import Device
    from sits_engine.learning.adaptation.run import AdaptationResult
    from sits_engine.learning.adaptation.summary import AdaptationReportData, LabelledCheck
    from sits_engine.learning.fast_model import FastModel
    from sits_engine.models.card import ModelCard
    from sits_engine.samples.pixel_sets import PixelSets


class AdaptToRegion(ResumableJob, SourceFields, TargetFields, PixelFields, TargetLabelFields, SamplingFields):
    """Train on labelled samples of the source and unlabelled ones of the target; judge the result."""

    title: ClassVar[str] = "Adapt to region"

    model: Path = Field(description="model of the source (.safetensors)")
    output: Path = Field(description="adapted model (.safetensors)")
    report: Path | None = Field(None, description="report (.html); its numbers are written beside it")
    numbers: Path | None = Field(
        None, description="numbers of the report (.json); default: beside the report, else beside the model"
    )
    samples_store: Path | None = Field(
        None, description="folder (Zarr) that keeps the source samples for the next run with the same inputs"
    )
    method: Method = Field(
        "timematch",
        description="timematch, fixmatch (without shift), shift (no training: the shift is built into the "
        "model), or an alignment of the two regions: mmd, dann, cdan, jumbot, alda",
    )
    first_estimator: Estimator = Field(
        "IS",
        description="score that finds the shift before training (published: IS): IS inception score, AM "
        "activation maximisation, ENT entropy",
    )
    start: Start = Field(
        "shifted",
        description="where teacher and student of timematch begin: shifted (the shift built in, kept) or "
        "published (the source model; the shift is estimated again in each epoch)",
    )
    estimator: Estimator = Field(
        "AM", description="score that finds the shift at the start of each epoch (published: AM)"
    )
    max_shift: int = Field(60, ge=1, le=180, description="largest shift tried in days (published: 60)")
    shift: int | None = Field(
        None,
        ge=-180,
        le=180,
        description="timematch and shift: a shift that is known, days added to the target's dates; default: "
        "estimated",
    )
    epochs: int | None = Field(None, ge=1, le=10_000, description="default: 20 (published)")
    warm_up: int | None = Field(
        None,
        ge=0,
        le=10_000,
        description="first epochs in which timematch and fixmatch learn from the source alone (published 0); "
        "default: a quarter where the target lies far from the source",
    )
    steps_per_epoch: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="published: 500; default: four times through the target's samples, but 25 to 500 (on a "
        "processor to 100)",
    )
    batch_size: int = Field(128, ge=8, le=8192, description="samples of each region a step (published: 128)")
    learning_rate: float | None = Field(
        None,
        gt=0,
        le=10,
        description="of Adam for timematch and fixmatch (published: 0.0001); for the others a factor on the "
        "published SGD schedule (published: 1); default: the published one at 10,000 steps, more in shorter "
        "runs",
    )
    weight_decay: float = Field(1e-4, ge=0, le=1, description="L2 (published: 0.0001)")
    gamma: float = Field(
        1.0,
        ge=0,
        le=10,
        description="of the focal loss of timematch and fixmatch (published: 1); 0 is cross-entropy",
    )
    threshold: float | None = Field(
        None,
        ge=0,
        le=1,
        description="pseudo labels count above this confidence (published and default: 0.9; alda 0.7)",
    )
    trade_off: float | None = Field(
        None,
        ge=0,
        le=1000,
        description="weight of the target's loss (published and default: 2 for timematch and fixmatch, 1 for "
        "the others)",
    )
    ema: float = Field(
        0.9999,
        ge=0,
        le=1,
        description="share of the teacher that stays in each of 10,000 steps (published: 0.9999); scaled in "
        "shorter runs, and to a faster teacher where the target lies far from the source",
    )
    shift_augmentation: int | None = Field(
        None,
        ge=0,
        le=180,
        description="largest random shift of training samples in days (published: 60); default: the days "
        "between two dates of the source, at most 16",
    )
    balanced_source: bool = Field(
        True, description="every class of the source equally often in timematch and fixmatch (published: on)"
    )
    norm: Norm = Field(
        "auto",
        description="batch statistics in timematch and fixmatch: kept (the source model's), separate (each "
        "region's own batches; published), joint, or auto: kept where the target lies near the source",
    )
    keep: Literal["student", "teacher"] = Field(
        "student", description="network that is the result of timematch and fixmatch (published: student)"
    )
    pixels_per_set: int | None = Field(
        None, ge=1, le=1024, description="drawn of a parcel in each step (published: 64)"
    )
    dates_per_sample: int = Field(
        30, ge=3, le=1000, description="most dates drawn in each step (published: 30)"
    )
    fast: bool = Field(
        False,
        description="keep a small network beside the adapted one that learned to answer like it in the "
        "target, for fast maps of pixels; made in any case where the model holds one",
    )
    seed: int = Field(1, ge=0, le=2**31 - 1, description="the same seed on a CPU gives the same model")

    @field_validator("output")
    @classmethod
    def _model_name(cls, value: Path) -> Path:
        return model_path(value)

    def options(self) -> AdaptOptions:
        """The choices as the adaptation takes them."""
        return AdaptOptions(**{one.name: getattr(self, one.name) for one in dataclasses.fields(AdaptOptions)})

    def run(self, ctx: JobContext) -> JobResult:
        """Read both regions, adapt, judge, write."""
        numbers = self.numbers or numbers_beside(self.report or self.output)
        written = (self.output, self.report, numbers, self.checkpoint)
        own = [self.model, self.region, self.target_labels_table]
        claim_outputs(written, [*own, *self.source_files(), *self.target_files()])

        from sits_engine import device as devices
        from sits_engine.learning.adaptation.run import adapt
        from sits_engine.learning.adaptation.season import check_season
        from sits_engine.models.model_file import save_model
        from sits_engine.report.adaptation import write_adaptation_report
        from sits_engine.samples.for_model import with_model_classes, with_report_labels

        device = devices.select(self.device)
        ctx.device = device.label
        ctx.progress(0.0, "Opening model, source and target")
        module, card = open_model(self.model)
        known = self.open_source(ctx, self, card.band_names, card.mask_dates, self.seed)
        unknown = self.with_labels(
            dataclasses.replace(
                self.open_target(ctx, self, card.mask_dates, self.seed),
                region=self.region,
                n_pixels=self.n_pixels,
            )
        )
        check_bands([*known.series, *unknown.series], card)
        source = self.read_source(known, ctx.part(0.01, 0.2, "Reading the source"), self.samples_store)
        source.sets, dropped = with_model_classes(source.sets, card)
        # the model's own spelling and order, whatever the sources call their bands
        source.sets = dataclasses.replace(source.sets, bands=tuple(card.band_names))
        target = read_target(unknown, card.band_names, ctx.part(0.2, 0.3, "Reading the target"))
        target.sets = dataclasses.replace(target.sets, bands=tuple(card.band_names))
        target.sets, foreign, said = with_report_labels(target.sets, card)
        notes = [*source.notes, *dropped, *target.notes, *said]
        for note in notes:
            ctx.info(note)
        reach = max(self.max_shift, abs(self.shift or 0))
        for sentence in check_season(target.sets, card.positions, reach):
            ctx.warn(sentence)
        if self.shift is not None and self.method not in SHIFTING:
            ctx.warn(f"SHIFT has no effect: the method {self.method} uses no shift.")
        if not self.resume:
            self.forget()
        with_fast = self.fast or card.fast is not None
        result = adapt(
            module,
            card,
            source.sets,
            target.sets,
            self.options(),
            device,
            ctx,
            start=0.3,
            end=0.7 if with_fast else 0.97,
            titles=(source.title, target.title),
            checkpoint=self.checkpoint,
        )
        fast = self._fast(result, target.sets, device, ctx) if with_fast else None
        ctx.progress(0.97, "Writing report and model")
        data = result.report
        data.fast = None if fast is None else fast.scores
        if data.labelled is not None:
            data.labelled.left_out = foreign
        data.notes[:0] = notes
        data.target_profiles.season_year = target.season_year
        data.warnings = list(dict.fromkeys([*ctx.warnings, *data.warnings]))
        data.parameters = {**self._parameters(), **data.parameters}
        adapted = adapted_card(result.card, card, self.model, source, target, data)
        data.provenance = {**data.provenance, **adapted.provenance["adapted"]}
        outputs = {"output": str(self.output)}
        if self.report is not None:
            beside = write_adaptation_report(self.report, data)
            outputs |= {"report": str(self.report), "numbers": str(beside)}
        if self.numbers is not None or self.report is None:
            write_numbers(numbers, data.as_json())
            outputs["numbers"] = str(numbers)
        # the model last: where it is, everything is
        save_model(self.output, result.module, adapted, None if fast is None else (fast.module, fast.card))
        self.forget()
        ctx.info(data.verdict.headline)
        ctx.progress(1.0, "Done")
        scores = scores_of(data) | ({} if fast is None else {"fast": fast.card.scores})
        return JobResult(outputs=outputs, scores=scores, warnings=data.warnings)

    def _fast(
        self, result: AdaptationResult, target: PixelSets, device: Device, ctx: JobContext
    ) -> FastModel | None:
        """A fast network for the target; its labels, where there are any, have no part in it."""
        from sits_engine.learning.distill import DistillOptions
        from sits_engine.learning.fast_model import make_fast, without_labels
        from sits_engine.models.pseltae import PSELTAE

        if not isinstance(result.module, PSELTAE):
            return None
        how = DistillOptions.near(self.shift_augmentation or 0, self.seed)
        progress = ctx.part(0.7, 0.97, "Training the fast network")
        parts = without_labels(target, self.seed)
        return make_fast(result.module, result.card, parts, how, device, ctx, progress)

    def _parameters(self) -> dict[str, Any]:
        files = {"model", "output", "report", "numbers", "samples_store", "resume"}
        return self.model_dump(mode="json", exclude=files)


def adapted_card(
    made: ModelCard,
    old: ModelCard,
    model: Path,
    source: RegionSamples,
    target: RegionSamples,
    data: AdaptationReportData,
) -> ModelCard:
    """The card of an adapted model: from what, to where, with which shift.

    Scores of the source model were measured in the source: they move into the provenance. The dates are the
    target's, and so are the season year that they count from and the profiles (by pseudo labels).
    """
    facts: dict[str, Any] = {
        **made.provenance.get("adapted", {}),
        "from": {
            "title": source.title,
            "model": model.name,
            "tensors_sha256": old.tensors_sha256,
            "samples": source.facts,
            "scores_in_source": old.scores,
        },
        "to": {"title": target.title, "samples": target.facts},
        "method": data.method,
        "shift_days": data.shift,
        "interval_days": list(data.curves.interval),
        "samples": {"source": len(source.sets), "target": len(target.sets)},
        "verdict": data.verdict.word,
    }
    if "adapted" in old.provenance:
        facts["from"]["adapted"] = old.provenance["adapted"]
    provenance = {**made.provenance, "adapted": facts}
    return made.model_copy(
        update={
            "scores": {},
            "season_year": target.season_year,
            "profiles": data.target_profiles.as_json(),
            "provenance": provenance,
        }
    )


def scores_of(data: AdaptationReportData) -> dict[str, Any]:
    """Numbers and words that the job gives back."""
    check: LabelledCheck | None = data.labelled
    found: dict[str, Any] = {
        "shift_days": data.shift,
        "agreement": None if math.isnan(data.agreement) else round(data.agreement, 6),
        "verdict": data.verdict.word,
        "verdict_text": data.verdict.headline,
    }
    if check is not None:
        for moment, key in (("before", "source"), ("after", "adapted")):
            for name in ("macro_f1", "accuracy"):
                value = check.scores[key][name]
                found[f"{name}_{moment}"] = None if math.isnan(value) else round(value, 6)
    return found
