"""Which method adapts best between two regions whose crops are both known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, field_validator

from sits_engine.context import JobContext
from sits_engine.errors import InputError
from sits_engine.jobs.base import JobResult, claim_outputs, write_numbers
from sits_engine.jobs.labelled_pair import LabelledPair, PairFields
from sits_engine.learning.adaptation.options import METHODS, AdaptOptions, Method
from sits_engine.outputs import numbers_beside

if TYPE_CHECKING:
    from sits_engine.learning.run import RunOptions


class CompareAdaptation(PairFields):
    """Run methods over seeds and score them on held-out samples of the target, between two bounds."""

    title: ClassVar[str] = "Compare adaptation"

    methods: list[Method] = Field(
        default_factory=list,
        description="timematch, fixmatch, shift, mmd, dann, cdan, jumbot, alda; default: all",
    )
    seeds: int = Field(3, ge=1, le=100, description="repetitions of source model and adaptation")
    block_size: float | None = Field(None, gt=0, description="side of a block in metres; default: chosen")
    effort: Literal["quick", "standard", "thorough"] = Field(
        "standard", description="of the source models: quick, standard or thorough (the published length)"
    )
    width: Literal["standard", "small"] | None = Field(
        None, description="published network (default), or one that is 5 times as fast"
    )
    epochs: int | None = Field(None, ge=1, le=10_000, description="of an adaptation; default: 20 (published)")
    steps_per_epoch: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="of an adaptation; published: 500; default: four times through the target's samples, but "
        "25 to 500 (on a processor to 100)",
    )
    shift_augmentation: int | None = Field(
        None,
        ge=0,
        le=180,
        description="largest random shift in days, of source models and adaptations (published: 60); "
        "default: source models without, adaptations by the days between two dates of the source, at most 16",
    )
    report: Path | None = Field(None, description="report (.html); its numbers are written beside it")
    numbers: Path | None = Field(None, description="numbers of the report (.json); default: beside it")
    table: Path | None = Field(None, description="table of the methods (.csv)")

    @field_validator("methods", mode="before")
    @classmethod
    def _words(cls, value: object) -> object:
        """One text is a list, too; commas separate methods."""
        return (
            [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value
        )

    def run(self, ctx: JobContext) -> JobResult:
        """Read both regions, run all methods, write the table."""
        if not (self.report or self.numbers or self.table):
            raise InputError("There is no output.", "Give REPORT (.html), TABLE (.csv) or NUMBERS (.json).")
        beside = None if self.report is None else numbers_beside(self.report)
        written = (self.report, beside, self.numbers, self.table)
        claim_outputs(written, self.pair_files())

        from sits_engine import device as devices
        from sits_engine.learning.adaptation.compare import compare
        from sits_engine.learning.adaptation.season import check_season
        from sits_engine.report.comparison import write_comparison_report, write_comparison_table

        device = devices.select(self.device)
        ctx.device = device.label
        pair = self.read_pair(ctx, ctx.part(0.0, 0.1, "Reading source and target"))
        for note in pair.notes:
            ctx.info(note)
        days = sorted({float(day) for day in pair.source.positions.ravel()})
        for sentence in check_season(pair.target, days, self.adapt_options().max_shift):
            ctx.warn(sentence)
        data = compare(
            pair.source,
            pair.target,
            list(dict.fromkeys(self.methods)) or list(METHODS),
            list(range(1, self.seeds + 1)),
            train=self.run_options(pair),
            options=self.adapt_options(),
            sides=pair.sides,
            titles=pair.titles,
            device=device,
            ctx=ctx,
            start=0.1,
            end=0.98,
        )
        ctx.progress(0.98, "Writing report and table")
        data.provenance = {**data.provenance, **pair.facts}
        files = {"report", "numbers", "table"}
        data.parameters = {**self.model_dump(mode="json", exclude=files), **data.parameters}
        data.notes[:0] = pair.notes
        data.warnings = list(dict.fromkeys([*ctx.warnings, *data.warnings]))
        outputs: dict[str, str] = {}
        if self.numbers is not None:
            write_numbers(self.numbers, data.as_json())
            outputs["numbers"] = str(self.numbers)
        if self.table is not None:
            outputs["table"] = str(write_comparison_table(self.table, data))
        if self.report is not None:
            made = write_comparison_report(self.report, data)
            outputs = {"report": str(self.report), "numbers": str(made), **outputs}
        for row in data.summary():
            ctx.info(f"{row['method']}: macro-F1 {row['macro_f1']:.3f} ± {row['macro_f1_std']:.3f}.")
        ctx.progress(1.0, "Done")
        return JobResult(
            outputs=outputs,
            scores={row["method"]: round(row["macro_f1"], 6) for row in data.summary()},
            warnings=data.warnings,
        )

    def adapt_options(self) -> AdaptOptions:
        """How every method adapts."""
        return AdaptOptions(
            epochs=self.epochs,
            steps_per_epoch=self.steps_per_epoch,
            shift_augmentation=self.shift_augmentation,
        )

    def run_options(self, pair: LabelledPair) -> RunOptions:
        """How the source models are trained."""
        from sits_engine.learning.run import RunOptions

        return RunOptions(
            effort=self.effort,
            min_parcels=1,
            split="parcels" if self.split == "parcels" else "blocks",
            block_size=self.block_size,
            shift=self.shift_augmentation,
            mask_clouds=not self.published,
            normalisation="published" if self.published else "standard",
            width=self.width,
            season_year=pair.season_years[0],
            provenance=pair.facts,
        )
