"""Train a segmentation model: from images and labels to a model that draws fields, its report and numbers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, field_validator

from sits_engine.context import JobContext
from sits_engine.errors import InputError
from sits_engine.jobs.base import JobResult, claim_outputs, model_path, write_numbers
from sits_engine.jobs.region_samples import layer_names, other_fields, series_facts
from sits_engine.jobs.window_samples import WindowFields, read_windows
from sits_engine.outputs import numbers_beside

if TYPE_CHECKING:
    from sits_engine.learning.segmentation.options import SegmentOptions
    from sits_engine.series.time_series import TimeSeries

#: Side of a window in pixels of the images where the user chose none (published: PASTIS, France).
WINDOWS = {"tsvit": 24}
OTHER_WINDOW = 48
#: Networks halve windows twice, or cut them into patches of 2 or 3 pixels.
STEP = 4
#: Series whose pixel sizes differ by less are alike.
SAME_SIZE = 0.01


class TrainSegmentationModel(WindowFields):
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
    output: Path = Field(description="model (.safetensors)")
    report: Path | None = Field(None, description="report (.html); its numbers are written beside it")
    window: int | None = Field(
        None,
        ge=8,
        le=512,
        description="pixels of the images along a side of a window; default: 24 for tsvit, 48 for the others",
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
    split: Literal["blocks", "inside"] = Field(
        "blocks", description="train, validation and test in blocks of land, or in parts of windows"
    )
    block_size: float | None = Field(None, gt=0, description="side of a block in metres; default: chosen")
    epochs: int | None = Field(None, ge=1, le=10_000, description="at most; default: by effort")
    steps_per_epoch: int | None = Field(None, ge=1, le=100_000, description="default: by effort and data")
    batch_size: int = Field(8, ge=1, le=1024, description="windows a step")
    learning_rate: float | None = Field(
        None, gt=0, le=1, description="highest; default: 0.001 (published for the U-Nets: 0.0001)"
    )
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    windows_store: Path | None = Field(
        None, description="folder (Zarr) that keeps the windows for the next run with the same inputs"
    )
    numbers: Path | None = Field(None, description="numbers of the report (.json); default: beside it")

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

    def run(self, ctx: JobContext) -> JobResult:
        """Cut windows, split, train, calibrate, test, write."""
        numbers = self.numbers or numbers_beside(self.report or self.output)
        claim_outputs((self.output, self.report, numbers), self.label_files())
        # before the networks are loaded, which takes seconds: what is wrong here is told at once
        ctx.progress(0.0, "Opening images and labels")
        sources = self.window_sources()
        series: list[TimeSeries] = list(sources.series)  # type: ignore[arg-type]

        from sits_engine import device as devices
        from sits_engine.learning.segmentation.run import train_segmentation
        from sits_engine.models.model_file import save_model
        from sits_engine.report.segmentation import write_segmentation_report

        device = devices.select(self.device)
        ctx.device = device.label
        ctx.info(f"Training will use {device.label}.")
        size = self._window(series)
        metres = _pixel_size(series)
        reading = ctx.part(0.01, 0.2, "Reading the windows")
        windows, notes, reused = read_windows(sources, self.window_options(size), self._store(), reading)
        self.check_field(windows)
        if reused:
            ctx.info(f"Windows taken from {self.windows_store}: the inputs haven't changed.")
        for note in notes:
            ctx.info(note)
        options = self._options(series, size, metres)
        try:
            result = train_segmentation(windows, options, device, ctx, start=0.2, end=0.97)
        except InputError as error:
            raise self._with_fields(error, len(windows.classes)) from error
        result.report.notes[:0] = notes
        ctx.progress(0.97, "Writing report and model")
        outputs = {"output": str(self.output)}
        if self.report is not None:
            beside = write_segmentation_report(self.report, result.report)
            outputs |= {"report": str(self.report), "numbers": str(beside)}
        if self.numbers is not None or self.report is None:
            write_numbers(numbers, result.report.as_json())
            outputs["numbers"] = str(numbers)
        # the model last: where it is, everything is
        save_model(self.output, result.module.cpu(), result.card)
        scores = {name: None if math.isnan(v) else round(v, 6) for name, v in result.report.scores.items()}
        scores |= {"n_windows": len(windows), "n_classes": len(result.report.classes)}
        ctx.progress(1.0, "Done")
        return JobResult(outputs=outputs, scores=scores, warnings=result.report.warnings)

    def _window(self, series: list[TimeSeries]) -> int:
        """Side of the windows; where the user chose none, the usual one or what fits into the images.

        Raises:
            InputError: the network can't work on windows of that size.
        """
        from sits_engine.models.registry import segmentation_hyperparameters

        size = self.window
        if size is None:
            smallest = min((min(one.grid.height, one.grid.width) for one in series), default=OTHER_WINDOW)
            usual = WINDOWS.get(self.architecture, OTHER_WINDOW)
            size = max(STEP, min(usual, smallest // STEP * STEP))
        # before hours of reading
        segmentation_hyperparameters(self.architecture, 1, 2, n_dates=4, scale=int(self.scale), window=size)
        return size

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

    def _options(self, series: list[TimeSeries], size: int, metres: float) -> SegmentOptions:
        from sits_engine.learning.segmentation.options import SegmentOptions
        from sits_engine.samples.classes import ClassTable

        left_out = {"output", "report", "numbers", "windows_store"}
        return SegmentOptions(
            architecture=self.architecture,
            width=self.width,
            effort=self.effort,
            table=ClassTable.read(self.class_table) if self.class_table else None,
            min_pixels=self.min_pixels,
            n_dates=self.n_dates,
            window=size,
            turning="all" if self.flips else "none",
            cscl=self.cscl,
            cscl_epochs=self.cscl_epochs,
            cscl_kernel=self.cscl_kernel,
            cscl_dilation=self.cscl_dilation,
            cscl_mask=self.cscl_mask,
            split=self.split,
            block_size=self.block_size,
            epochs=self.epochs,
            steps_per_epoch=self.steps_per_epoch,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            mask_clouds=self.mask_clouds,
            seed=self.seed,
            season_year=series[0].season_year,
            season_years=tuple(one.season_year for one in series),
            pixel_size=metres,
            provenance={
                "series": [series_facts(one) for one in series],
                "parcels": layer_names(self.parcels),
                "field": self.field,
                "labels": layer_names([str(path) for path in self.labels]),
                "class_table": self.class_table.name if self.class_table else None,
                "resolution": metres,
                "seed": self.seed,
            },
            parameters=self.model_dump(mode="json", exclude=left_out),
        )


def _pixel_size(series: list[TimeSeries]) -> float:
    """Metres of a pixel of the images.

    Raises:
        InputError: no series, or series of different pixel sizes: fields would have several sizes in pixels.
    """
    from sits_engine.mapping.compat import pixel_metres

    if not series:
        raise InputError("There are no images to learn from.", "Give SERIES, and PARCELS or LABELS.")
    sizes = [pixel_metres(one.grid) for one in series]
    if max(sizes) > (1 + SAME_SIZE) * min(sizes):
        each = "; ".join(f"{one.title}: {size:.3g} m" for one, size in zip(series, sizes, strict=True))
        raise InputError(
            f"The time series have pixels of different sizes ({each}), but a segmentation model learns how "
            "large fields are in pixels.",
            "Build them with one pixel size (RESOLUTION), or train a model for each.",
        )
    return round(sizes[0], 4)
