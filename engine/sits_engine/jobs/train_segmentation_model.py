"""Train a segmentation model: from images and labels to a model that draws fields, its report and numbers."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, PrivateAttr, field_validator

from sits_engine.context import JobContext
from sits_engine.errors import InputError
from sits_engine.jobs.base import JobResult, claim_outputs, existing, model_path, write_numbers
from sits_engine.jobs.region_samples import layer_names, other_fields, series_facts
from sits_engine.jobs.training_job import TrainingJob
from sits_engine.jobs.training_material import (
    REPLACED,
    Material,
    crop_of_data_sets,
    crop_of_series,
    material_of_data_sets,
    open_data_sets,
    pixel_size_of,
)
from sits_engine.jobs.window_samples import WindowFields, read_windows
from sits_engine.outputs import numbers_beside
from sits_engine.samples.raster_classes import drawn_from_ticks

if TYPE_CHECKING:
    from sits_engine.device import Device
    from sits_engine.learning.processes import Processes
    from sits_engine.learning.segmentation.options import SegmentOptions
    from sits_engine.samples.window_data import WindowData
    from sits_engine.samples.window_grid import WindowSources
    from sits_engine.series.time_series import TimeSeries


#: Said where the labels are masks.
FROM_TICKS = (
    "The labels are masks that were drawn from ticks: the scores say how well the model repeats the masks, "
    "also on land that it has not seen, and not how right it is. To know that, assess a map with reference "
    "data."
)


class TrainSegmentationModel(TrainingJob, WindowFields):
    """Train TSViT, a U-Net or a recurrent network on labelled windows, test it on held-out land."""

    title: ClassVar[str] = "Train segmentation model"

    architecture: Literal["tsvit", "unet3d", "unet3df", "unet2d_clstm", "biconvgru"] = Field(
        "tsvit", description="network"
    )
    width: Literal["standard", "small"] | None = Field(
        None, description="published network (default), or a narrower one that is faster"
    )
    effort: Literal["quick", "standard", "thorough"] = Field(
        "standard", description="quick, standard, or thorough (the published length)"
    )
    windows: list[Path] = Field(
        default_factory=list,
        description="instead of series and labels: data sets of windows (Zarr), exported or converted",
    )
    output: Path = Field(description="model (.safetensors)")
    report: Path | None = Field(None, description="report (.html); its numbers are written beside it")
    window: int | None = Field(
        None,
        ge=8,
        le=512,
        description="pixels of the images along a side of a window: a multiple of 2 or 3 for tsvit, of 4 for "
        "the U-Nets; default: 24 for tsvit, 48 for the others, or the windows of a data set as they are (up "
        "to 48)",
    )
    n_dates: int | None = Field(
        None,
        ge=4,
        le=366,
        description="dates that the network sees, spread evenly over the season; default: all up to 60 for "
        "tsvit, 16 (published) for the others",
    )
    min_pixels: int = Field(100, ge=1, description="classes with fewer labelled pixels become unlabelled")
    flips: bool = Field(True, description="flip and rotate windows with their labels in training")
    cscl: bool = Field(False, description="contrastive pre-training (CSCL) from the same labels")
    cscl_epochs: int | None = Field(
        None, ge=1, le=10_000, description="epochs of pre-training; default: as many as of training"
    )
    cscl_kernel: int = Field(
        3, ge=3, le=15, description="side of the neighbourhood that is compared, in pixels, odd"
    )
    cscl_dilation: int = Field(1, ge=1, le=16, description="distance between its pixels")
    cscl_mask: bool = Field(
        False, description="leave unlabelled pixels out; off: they count as one class (published)"
    )
    split: Literal["blocks", "inside", "regions", "folds"] = Field(
        "blocks",
        description="train, validation and test in blocks of land, in parts of windows (inside), in whole "
        "regions, or in the folds of a published data set",
    )
    validation_fold: int = Field(4, ge=1, le=1000, description="with SPLIT = folds: fold for validation")
    test_fold: int = Field(5, ge=1, le=1000, description="with SPLIT = folds: fold for the test")
    block_size: float | None = Field(
        None,
        gt=0,
        description="side of a block in metres; default: chosen, at least two windows if the land is large",
    )
    epochs: int | None = Field(None, ge=1, le=10_000, description="at most; default: by effort")
    steps_per_epoch: int | None = Field(None, ge=1, le=100_000, description="default: by effort and data")
    batch_size: int = Field(8, ge=1, le=1024, description="windows a step")
    learning_rate: float | None = Field(
        None, gt=0, le=1, description="highest; default: 0.001 (published for the U-Nets: 0.0001)"
    )
    published: bool = Field(
        False,
        description="optimiser, rates and network as published, with their defects: to run published tables "
        "again (their epochs and steps are up to you)",
    )
    windows_store: Path | None = Field(
        None, description="folder (Zarr) that keeps the windows for the next run with the same inputs"
    )
    numbers: Path | None = Field(None, description="numbers of the report (.json); default: beside it")

    _opened: tuple[list[WindowData], WindowSources | None] | None = PrivateAttr(None)

    @field_validator("output")
    @classmethod
    def _model_name(cls, value: Path) -> Path:
        return model_path(value)

    @field_validator("cscl_kernel")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("a neighbourhood needs a middle: choose an odd number")
        return value

    @field_validator("windows", mode="before")
    @classmethod
    def _one_data_set(cls, value: object) -> object:
        """One folder is a list, too."""
        return [value] if isinstance(value, (str, Path)) else value

    @property
    def checkpoints(self) -> tuple[Path, Path]:
        """Where an interrupted run goes on from: states of pre-training and of fine-tuning."""
        return self.output.with_name(f"{self.output.stem}.cscl.resume.safetensors"), self.checkpoint

    def run(self, ctx: JobContext) -> JobResult:
        """Cut or open windows, split, train, calibrate, test, write."""
        # Before the networks are loaded, which takes seconds: what is wrong here is told at once. But several
        # processes meet first, so that all are told.
        if int(os.environ.get("WORLD_SIZE") or 1) < 2:
            self._opened = self._open(ctx)
        return super().run(ctx)

    def _open(self, ctx: JobContext) -> tuple[list[WindowData], WindowSources | None]:
        """Data sets or time series."""
        claim_outputs(
            (self.output, self.report, self._numbers, *self.checkpoints), [*self.label_files(), *self.windows]
        )
        ctx.progress(0.0, "Opening images and labels")
        given = [name for name in REPLACED if getattr(self, name)]
        sets = open_data_sets(self.windows, given, int(self.scale), self.split) if self.windows else []
        sources = None if sets else self.window_sources(ctx)
        if self.class_table is not None:
            existing(self.class_table, "Class table")
        self._check_folds()
        return sets, sources

    @property
    def _numbers(self) -> Path:
        return self.numbers or numbers_beside(self.report or self.output)

    def train(self, ctx: JobContext, processes: Processes, device: Device) -> JobResult:
        """All but opening, where that is done."""
        from sits_engine.learning.segmentation.run import train_segmentation
        from sits_engine.models.model_file import save_model
        from sits_engine.report.segmentation import write_segmentation_report

        sets, sources = self._opened or self._open(ctx)
        self.use(device, processes, ctx)
        material = self._of_series(sources, ctx) if sources else self._of_data_sets(sets, processes.here, ctx)
        for note in material.notes:
            ctx.info(note)
        options = self._options(material)
        if not self.resume:
            self.forget()
        try:
            result = train_segmentation(
                material.windows,
                options,
                device,
                ctx,
                start=0.2,
                end=0.97,
                processes=processes,
                checkpoints=self.checkpoints,
            )
        except InputError as error:
            raise self._with_fields(error, len(material.windows.classes)) from error
        result.report.notes[:0] = material.notes
        material.restore(result.card)
        if any(drawn_from_ticks(path) for path in self.labels):
            result.report.warnings.insert(0, FROM_TICKS)
        for row in result.report.classes:
            row.codes = material.original(row.codes)
        ctx.progress(0.97, "Writing report and model")
        outputs = {"output": str(self.output)}
        if self.report is not None:
            beside = write_segmentation_report(self.report, result.report)
            outputs |= {"report": str(self.report), "numbers": str(beside)}
        if self.numbers is not None or self.report is None:
            write_numbers(self._numbers, result.report.as_json())
            outputs["numbers"] = str(self._numbers)
        # the model last: where it is, everything is
        save_model(self.output, result.module.cpu(), result.card)
        self.forget()
        scores = {name: None if math.isnan(v) else round(v, 6) for name, v in result.report.scores.items()}
        scores |= {"n_windows": len(material.windows), "n_classes": len(result.report.classes)}
        ctx.progress(1.0, "Done")
        return JobResult(outputs=outputs, scores=scores, warnings=result.report.warnings)

    def _of_series(self, sources: WindowSources, ctx: JobContext) -> Material:
        """Windows cut out of time series."""
        series: list[TimeSeries] = list(sources.series)  # type: ignore[arg-type]
        size = crop_of_series(series, self.window, self.architecture, int(self.scale))
        metres = pixel_size_of(series)
        reading = ctx.part(0.01, 0.2, "Reading the windows")
        windows, notes, reused = read_windows(sources, self.window_options(size), self._store(), reading)
        self.check_field(windows)
        if reused:
            ctx.info(f"Windows taken from {self.windows_store}: the inputs haven't changed.")
        return Material(
            windows=windows,
            notes=notes,
            crop=size,
            season_year=series[0].season_year,
            season_years=tuple(one.season_year for one in series),
            regions=tuple(one.title for one in series) if len(series) > 1 else (),
            mask_clouds=self.mask_clouds,
            pixel_size=metres,
            table=self.raster_table(windows.classes),
            provenance={
                "series": [series_facts(one) for one in series],
                "parcels": layer_names(self.parcels),
                "field": self.field,
                "labels": layer_names([str(path) for path in self.labels]),
                "resolution": metres,
            },
        )

    def _of_data_sets(self, sets: list[WindowData], copies: int, ctx: JobContext) -> Material:
        """Windows of data sets that were exported or converted; processes of this machine hold copies."""
        from sits_engine.samples.window_reading import DataSetOptions, read_data_sets

        crop = crop_of_data_sets(sets, self.window, self.architecture)
        wanted = DataSetOptions(self.bands, self.min_labelled, self.max_windows, self.seed, copies)
        reading = ctx.part(0.01, 0.2, "Reading the windows")
        windows, notes = read_data_sets(sets, wanted, reading)
        return material_of_data_sets(sets, windows, notes, crop)

    def _check_folds(self) -> None:
        if self.split != "folds":
            return
        if not self.windows:
            raise InputError(
                "SPLIT is folds, but time series have no folds.",
                "Choose blocks, regions or inside; folds come with published data sets (WINDOWS).",
            )
        if self.validation_fold == self.test_fold:
            raise InputError(
                f"VALIDATION_FOLD and TEST_FOLD are both {self.test_fold}: the model would be chosen by its "
                "test.",
                "Choose two different folds.",
            )

    def _store(self) -> Path | None:
        if self.windows_store is None or self.windows_store.suffix == ".zarr":
            return self.windows_store
        return self.windows_store / "windows.zarr"

    def _with_fields(self, error: InputError, n_codes: int) -> InputError:
        """`error`; where the labels hold too few classes, with the other fields to choose from."""
        if not self.parcels or "two classes" not in error.message:
            return error
        return InputError(
            f"Field '{self.field}' with {n_codes} different values: {error.message[:1].lower()}"
            f"{error.message[1:]}",
            f"{error.advice} {other_fields(self.parcels[0], self.field)}",
        )

    def _options(self, material: Material) -> SegmentOptions:
        from sits_engine.learning.segmentation.options import SegmentOptions
        from sits_engine.samples.classes import ClassTable

        left_out = {"output", "report", "numbers", "windows_store", "resume"}
        return SegmentOptions(
            architecture=self.architecture,
            width=self.width,
            effort=self.effort,
            table=ClassTable.read(self.class_table) if self.class_table else material.table,
            min_pixels=self.min_pixels,
            n_dates=self.n_dates,
            window=material.crop,
            turning="all" if self.flips else "none",
            cscl=self.cscl,
            cscl_epochs=self.cscl_epochs,
            cscl_kernel=self.cscl_kernel,
            cscl_dilation=self.cscl_dilation,
            cscl_mask=self.cscl_mask,
            split=self.split,
            block_size=self.block_size,
            folds=material.folds,
            validation_fold=self.validation_fold,
            test_fold=self.test_fold,
            epochs=self.epochs,
            steps_per_epoch=self.steps_per_epoch,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            published=self.published,
            reference=self.published,
            mask_clouds=material.mask_clouds,
            seed=self.seed,
            season_year=material.season_year,
            season_years=material.season_years,
            regions=material.regions,
            pixel_size=material.pixel_size,
            provenance={
                **material.provenance,
                "class_table": self.class_table.name if self.class_table else None,
                "seed": self.seed,
            },
            parameters={**self.model_dump(mode="json", exclude=left_out), **material.parameters},
        )
