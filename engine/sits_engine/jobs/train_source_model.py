"""Train a source model: from parcels and images to a model file, its report and its numbers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, field_validator

from sits_engine.context import JobContext
from sits_engine.errors import InputError
from sits_engine.jobs.base import JobResult, claim_outputs, existing, model_path, write_numbers
from sits_engine.jobs.region_samples import layer_names, other_fields, series_facts
from sits_engine.jobs.series_reading import SeriesJob
from sits_engine.jobs.training_job import TrainingJob
from sits_engine.outputs import numbers_beside

if TYPE_CHECKING:
    from sits_engine.device import Device
    from sits_engine.learning.processes import Processes
    from sits_engine.learning.run import RunOptions
    from sits_engine.samples.gather import Gathered, Sources


class TrainSourceModel(TrainingJob, SeriesJob):
    """Train PSE+LTAE on parcels of one or several regions, test it on held-out blocks."""

    title: ClassVar[str] = "Train source model"

    series: list[Path] = Field(default_factory=list, description="time series (.json), one a region")
    parcels: list[str] = Field(
        default_factory=list,
        description="polygon or point layers with the class field, one a series or one for all",
    )
    field: str = Field(description="field with the class or crop code")
    effort: Literal["quick", "standard", "thorough"] = Field(
        "standard", description="quick, standard (about 4 times as long) or thorough (the published length)"
    )
    output: Path = Field(description="model (.safetensors)")
    report: Path | None = Field(None, description="report (.html); its numbers are written beside it")
    class_table: Path | None = Field(None, description="CSV code,class,color that maps codes to classes")
    labelled_series: Path | None = Field(
        None, description="table of labelled series (CSV, CSV.gz, Parquet), long: id, date, one column a band"
    )
    labels_table: str | None = Field(
        None, description="table or layer with the labels of labelled_series, joined by id_field"
    )
    id_field: str | None = Field(None, description="column that names a place, in both tables")
    series_scale: float | None = Field(
        None, gt=0, description="physical value = number * series_scale in labelled_series; default: detected"
    )
    bands: list[str] = Field(default_factory=list, description="bands to use; default: all common ones")
    buffer: float | None = Field(
        None, ge=0, description="erosion of parcels in metres; default: 0.71 pixels (published: 20 m)"
    )
    min_pixels: int = Field(1, ge=1, description="parcels with fewer pixels are dropped")
    max_pixels: int = Field(128, ge=1, description="pixels kept of a parcel, drawn at random")
    min_parcels: int = Field(10, ge=1, description="fewest parcels of a class (published: 200)")
    rare_classes: Literal["drop", "merge"] = Field(
        "drop", description="rarer classes: drop, or merge into a class 'other'"
    )
    split: Literal["blocks", "parcels"] = Field(
        "blocks", description="train, validation and test in spatial blocks, or single parcels at random"
    )
    block_size: float | None = Field(None, gt=0, description="side of a block in metres; default: chosen")
    shift_augmentation: int | None = Field(
        None, ge=0, le=180, description="largest random shift of all dates in days, 0 off (published: 60)"
    )
    gamma: float = Field(1.0, ge=0, le=10, description="of the focal loss; 0 is cross-entropy")
    epochs: int | None = Field(None, ge=1, le=10_000, description="at most; default: by effort")
    steps_per_epoch: int | None = Field(None, ge=1, le=100_000, description="default: by effort and data")
    batch_size: int = Field(128, ge=8, le=8192, description="samples a step")
    learning_rate: float = Field(1e-3, gt=0, le=1, description="of Adam; falls along a cosine")
    weight_decay: float | None = Field(None, ge=0, le=1, description="L2; default: 0.0001")
    pixels_per_set: int | None = Field(None, ge=1, le=1024, description="drawn of a parcel in each step")
    dates_per_sample: int = Field(
        30, ge=3, le=1000, description="most dates drawn in each step; never more than 70 % of the series"
    )
    mask_clouds: bool = Field(True, description="clouded dates don't count; off: every date does (published)")
    normalisation: Literal["standard", "published"] = Field(
        "standard", description="mean and deviation of each band, or digital numbers / 65535 (published)"
    )
    width: Literal["standard", "small"] | None = Field(
        None, description="published network (default), or one that is 5 times as fast"
    )
    fast: bool = Field(
        False,
        description="keep a small network beside the trained one that learned to answer like it, for fast "
        "maps of pixels (some minutes more on a processor)",
    )
    seed: int = Field(1, ge=0, le=2**31 - 1, description="the same seed on a CPU gives the same model")
    samples_store: Path | None = Field(
        None, description="folder (Zarr) that keeps the samples for the next run with the same inputs"
    )
    numbers: Path | None = Field(None, description="numbers of the report (.json); default: beside it")

    @field_validator("series", "parcels", "bands", mode="before")
    @classmethod
    def _words(cls, value: object, info: object) -> object:
        """One text is a list too; commas separate bands (QGIS' string parameters)."""
        if not isinstance(value, str):
            return value
        if getattr(info, "field_name", "") != "bands":
            return [value]
        return [word.strip() for word in value.replace(";", ",").split(",") if word.strip()]

    @field_validator("output")
    @classmethod
    def _model_name(cls, value: Path) -> Path:
        return model_path(value)

    def train(self, ctx: JobContext, processes: Processes, device: Device) -> JobResult:
        """Read, split, train, calibrate, test, write."""
        numbers = self.numbers or numbers_beside(self.report or self.output)
        inputs = [*self.series, *self.parcels, self.labels_table, self.labelled_series, self.class_table]
        claim_outputs((self.output, self.report, numbers, self.checkpoint), inputs)

        from sits_engine.learning.run import card_of, train
        from sits_engine.models.model_file import save_model
        from sits_engine.report.training import write_training_report
        from sits_engine.samples.gather import gather

        self.use(device, processes, ctx)
        ctx.progress(0.0, "Opening images and parcels")
        sources = self._sources(ctx)
        reading = ctx.part(0.01, 0.35, "Reading the pixels of the parcels")
        gathered = gather(sources, store=self._store(), progress=reading)
        if gathered.reused:
            ctx.info(f"Samples taken from {self.samples_store}: the inputs haven't changed.")
        for note in gathered.notes:
            ctx.info(note)
        options = self._options(sources, gathered)
        if not self.resume:
            self.forget()
        try:
            result = train(
                gathered.sets,
                options,
                device,
                ctx,
                start=0.35,
                end=0.97,
                processes=processes,
                checkpoint=self.checkpoint,
            )
        except InputError as error:
            raise self._with_fields(error) from error
        result.report.notes[:0] = gathered.notes
        ctx.progress(0.97, "Writing report and model")
        outputs = {"output": str(self.output)}
        if self.report is not None:
            beside = write_training_report(self.report, result.report)
            outputs |= {"report": str(self.report), "numbers": str(beside)}
        if self.numbers is not None or self.report is None:
            write_numbers(numbers, result.report.as_json())
            outputs["numbers"] = str(numbers)
        # the model last: where it is, everything is
        fast = None if result.fast is None else (result.fast.module, result.fast.card)
        save_model(self.output, result.module, card_of(result, options), fast)
        self.forget()
        scores: dict[str, Any] = {}
        scores |= {name: None if math.isnan(v) else round(v, 6) for name, v in result.report.scores.items()}
        scores |= {"n_parcels": len(result.report.labels), "n_classes": len(result.report.classes)}
        if result.fast is not None:
            scores["fast"] = result.fast.card.scores
        ctx.progress(1.0, "Done")
        return JobResult(outputs=outputs, scores=scores, warnings=result.report.warnings)

    def _with_fields(self, error: InputError) -> InputError:
        """`error`; where it says that the field is the wrong one, with the others to choose from."""
        if not error.details.get("wrong_field") or not self.parcels:
            return error
        advice = f"{error.advice} {other_fields(self.parcels[0], self.field)}"
        return InputError(error.message.replace("Fewer", f"Field '{self.field}': fewer", 1), advice)

    def _sources(self, ctx: JobContext) -> Sources:
        from sits_engine.samples.gather import Sources
        from sits_engine.samples.parcels import ParcelOptions
        from sits_engine.samples.tables import TableOptions

        if self.labelled_series is None and self.labels_table:
            raise InputError(
                "LABELS_TABLE is given without LABELLED_SERIES.", "Give the table of labelled series as well."
            )
        if self.class_table is not None:
            existing(self.class_table, "Class table")
        table = None
        if self.labelled_series is not None:
            existing(self.labelled_series, "Table of labelled series")
            table = TableOptions(
                self.field, self.labels_table or "", self.id_field, self.bands or None, self.series_scale
            )
        return Sources(
            series=[self.open_series(path, ctx) for path in self.series],
            parcels=self.parcels,
            label_field=self.field,
            options=ParcelOptions(
                buffer=self.buffer,
                min_pixels=self.min_pixels,
                max_pixels=self.max_pixels,
                mask_clouds=self.mask_clouds,
                seed=self.seed,
            ),
            bands=self.bands,
            table=self.labelled_series,
            table_options=table,
            id_field=self.id_field if self.labelled_series is None else None,
        )

    def _store(self) -> Path | None:
        if self.samples_store is None or self.samples_store.suffix == ".zarr":
            return self.samples_store
        return self.samples_store / "samples.zarr"

    def _options(self, sources: Sources, gathered: Gathered) -> RunOptions:
        from sits_engine.learning.run import RunOptions
        from sits_engine.samples.classes import ClassTable
        from sits_engine.samples.tables import season_year_of

        parameters = self.model_dump(
            mode="json", exclude={"output", "report", "numbers", "samples_store", "resume"}
        )
        provenance = {
            "series": [series_facts(one) for one in sources.series],
            "parcels": layer_names(self.parcels),
            "field": self.field,
            "labelled_series": self.labelled_series.name if self.labelled_series else None,
            "class_table": self.class_table.name if self.class_table else None,
            "seed": self.seed,
        }
        year = sources.series[0].season_year if sources.series else 0
        if self.labelled_series is not None and not sources.series:
            year = season_year_of(self.labelled_series)
        return RunOptions(
            effort=self.effort,
            table=ClassTable.read(self.class_table) if self.class_table else None,
            min_parcels=self.min_parcels,
            rare=self.rare_classes,
            split=self.split,
            block_size=self.block_size,
            shift=self.shift_augmentation,
            gamma=self.gamma,
            epochs=self.epochs,
            steps_per_epoch=self.steps_per_epoch,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            pixels_per_set=self.pixels_per_set,
            dates_per_sample=self.dates_per_sample,
            mask_clouds=self.mask_clouds,
            normalisation=self.normalisation,
            width=self.width,
            seed=self.seed,
            fast=self.fast,
            season_year=year,
            provenance=provenance,
            parameters=parameters,
        )
