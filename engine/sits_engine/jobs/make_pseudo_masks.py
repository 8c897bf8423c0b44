"""Make pseudo masks: from images and windows in which crops are ticked to a mask of every pixel."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, field_validator

from sits_engine import __version__
from sits_engine.context import JobContext
from sits_engine.errors import InputError
from sits_engine.jobs.base import JobResult, claim_outputs, existing, model_path, write_numbers
from sits_engine.jobs.region_samples import layer_names, series_facts
from sits_engine.jobs.series_reading import SeriesJob
from sits_engine.jobs.training_job import TrainingJob
from sits_engine.jobs.training_material import pixel_size_of
from sits_engine.outputs import numbers_beside

if TYPE_CHECKING:
    from sits_engine.device import Device
    from sits_engine.learning.exact.options import ExactOptions
    from sits_engine.learning.exact.run import MaskResult
    from sits_engine.learning.processes import Processes
    from sits_engine.samples.bags import Bags
    from sits_engine.series.time_series import TimeSeries

#: Values of a mask are bytes: 0 is unlabelled, one is the background.
MOST_CLASSES = 254


class MakePseudoMasks(TrainingJob, SeriesJob):
    """Learn from ticked windows what each crop looks like, and draw where in the windows it grows."""

    title: ClassVar[str] = "Make pseudo masks"

    series: Path = Field(description="time series (.json)")
    windows: str = Field(
        description="polygons with a yes/no field for each crop, as 'Create label windows' makes them "
        "(path|layername=NAME)"
    )
    fields: list[str] = Field(
        default_factory=list, description="yes/no fields, one a crop; default: those of the layer"
    )
    only_done: bool = Field(False, description="use windows that are marked as done only")
    bands: list[str] = Field(default_factory=list, description="bands to use; default: all")
    width: Literal["standard", "small"] | None = Field(
        None, description="published network, or a small one; default: small without a graphics card"
    )
    effort: Literal["quick", "standard", "thorough"] = Field("standard", description="how long to train")
    prototype_mode: Literal["momentum", "gradient"] = Field(
        "momentum", description="how prototypes of the crops move: by mean of their pixels, or by gradient"
    )
    maps: Literal["clues", "plain"] = Field(
        "clues", description="masks from prototypes (clues), or plain activation maps for comparison"
    )
    affinity: bool = Field(True, description="affinity propagation: scores flow between alike neighbours")
    refine: bool = Field(
        True, description="sharpen masks: a classifier of single pixels learns from all of them, by rounds"
    )
    threshold: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="score of the background, which a crop must exceed; default: fixed, without pixel labels",
    )
    background: Literal["class", "unlabelled"] = Field(
        "class",
        description="pixels of none of the ticked crops: a class of their own, or unlabelled",
    )
    least_confidence: float = Field(
        0.0, ge=0, lt=1, description="pixels with a lower confidence (0 to 1) are left unlabelled"
    )
    window: int | None = Field(
        None,
        ge=8,
        le=256,
        description="pixels along a side of a training window, even; default: that of the polygons where "
        "most are squares of one size (8 to 48), else 24",
    )
    n_dates: int | None = Field(
        None, ge=4, le=366, description="dates that the network sees, spread evenly over the season"
    )
    max_windows: int = Field(
        4000, ge=1, description="training windows at most; each polygon gives at least one"
    )
    mask_clouds: bool = Field(True, description="clouded pixels are not valid; off: every pixel with data is")
    flips: bool = Field(True, description="flip and rotate windows in training")
    held_out: float = Field(
        0.1, ge=0, le=0.5, description="share of polygons that only the curve of the report sees"
    )
    epochs: int | None = Field(None, ge=1, le=10_000, description="default: by effort")
    batch_size: int = Field(8, ge=1, le=1024, description="windows a step")
    learning_rate: float | None = Field(
        None, gt=0, le=1, description="highest; default: 0.002 for small, 0.001 for standard (published)"
    )
    seed: int = Field(1, ge=0, le=2**31 - 1, description="same seed on a processor, same masks")
    parcels: str | None = Field(
        None, description="pixel labels for the report only: parcels with known crops; never used for masks"
    )
    field: str | None = Field(None, description="field of parcels with the crop")
    labels: Path | None = Field(
        None, description="pixel labels for the report only: label raster (0 = unlabelled)"
    )
    class_table: Path | None = Field(
        None, description="CSV code,class,color: colours, and which codes of PARCELS or LABELS mean a crop"
    )
    output: Path = Field(description="masks (.tif): class and confidence in percent")
    output_classes: Path | None = Field(
        None, description="class table of the masks (.csv), for training; default: beside the masks"
    )
    output_model: Path | None = Field(None, description="classifier (.safetensors)")
    report: Path | None = Field(None, description="report (.html); its numbers are written beside it")
    numbers: Path | None = Field(None, description="numbers of the report (.json); default: beside it")

    @field_validator("output_model")
    @classmethod
    def _model_name(cls, value: Path | None) -> Path | None:
        return None if value is None else model_path(value)

    @field_validator("bands", "fields", mode="before")
    @classmethod
    def _words(cls, value: object) -> object:
        """Commas or semicolons separate words (QGIS' string parameters)."""
        if not isinstance(value, str):
            return value
        return [word.strip() for word in value.replace(";", ",").split(",") if word.strip()]

    def check_processes(self, processes: Processes) -> None:
        """How many polygons a batch of windows has, which the processes share, is known once they are cut."""

    def train(self, ctx: JobContext, processes: Processes, device: Device) -> JobResult:
        """Read ticks and windows, train, make masks, write."""
        numbers = self.numbers or numbers_beside(self.report or self.output)
        classes_path = self.output_classes or self.output.with_name(f"{self.output.stem}_classes.csv")
        self._check(classes_path, numbers)
        ctx.progress(0.0, "Reading ticks and images")

        from sits_engine.samples.bag_size import suitable_size
        from sits_engine.samples.bags import cut_bags
        from sits_engine.samples.classes import ClassTable
        from sits_engine.samples.label_windows import LabelWindows

        table = ClassTable.read(self.class_table) if self.class_table else None
        label_windows = LabelWindows.read(self.windows, self.fields or None, only_done=self.only_done)
        series = self.open_series(self.series, ctx)
        size = self.window or suitable_size(series.grid, label_windows)
        bags = cut_bags(
            series,
            label_windows,
            size,
            bands=self.bands,
            max_windows=self.max_windows,
            mask_clouds=self.mask_clouds,
            seed=self.seed,
            progress=ctx.part(0.0, 0.1, "Reading the windows"),
        )
        if len(bags.classes) > MOST_CLASSES:
            raise InputError(
                f"{self.windows} has {len(bags.classes)} crops; a mask holds {MOST_CLASSES} at most.",
                "Choose fewer FIELDS.",
            )
        for note in bags.notes:
            ctx.info(note)
        for sentence in bags.warnings:
            ctx.warn(sentence)

        from sits_engine.jobs.pixel_truth import read_truth
        from sits_engine.learning.exact.run import make_masks
        from sits_engine.models.model_file import save_model

        truth = read_truth(
            series, bags, parcels=self.parcels, field=self.field, raster=self.labels, table=table
        )
        self.use(device, processes, ctx)
        if not self.resume:
            self.forget()
        made = make_masks(
            bags,
            self._options(series),
            device,
            ctx,
            truth=truth,
            colors=table.color_of if table else None,
            start=0.1,
            end=0.95,
            processes=processes,
            checkpoint=self.checkpoint,
        )
        ctx.progress(0.95, "Writing masks, model and report")
        outputs = {"output": str(self.output), "output_classes": str(classes_path)}
        report = made.report
        if self.report is not None:
            from sits_engine.report.pseudo_masks import write_pseudo_mask_report

            beside = write_pseudo_mask_report(self.report, report)
            outputs |= {"report": str(self.report), "numbers": str(beside)}
        if self.numbers is not None or self.report is None:
            write_numbers(numbers, report.as_json())
            outputs["numbers"] = str(numbers)
        if self.output_model is not None:
            save_model(self.output_model, made.module.cpu(), made.card)
            outputs["output_model"] = str(self.output_model)
        # the masks last: where they are, everything is
        self._write_masks(classes_path, series, bags, made)
        self.forget()
        scores: dict[str, Any] = {
            name: None if math.isnan(value) else round(value, 6) for name, value in report.scores.items()
        }
        scores |= {
            "n_polygons": report.n_polygons,
            "n_windows": report.n_windows,
            "n_classes": len(bags.classes),
            "threshold": report.threshold,
            "shares": {row.name: round(row.share, 4) for row in report.classes},
        }
        ctx.progress(1.0, "Done")
        return JobResult(outputs=outputs, scores=scores, warnings=report.warnings)

    def _write_masks(self, classes_path: Path, series: TimeSeries, bags: Bags, made: MaskResult) -> None:
        """The mosaic and its class table."""
        import numpy as np

        from sits_engine.mapping.mask_mosaic import mosaic, write_class_table, write_mosaic
        from sits_engine.samples.raster_classes import MASKS_TAG, MapClass

        rows = made.report.classes
        legend = [MapClass(row.value, row.name, row.color, (str(row.value),)) for row in rows if row.value]
        # the place of the class in the report; -1, the last, is unlabelled
        value = np.array([*(row.value for row in rows), 0], np.uint8)
        masks, windows = made.masks, bags.windows
        classes, percent = mosaic(
            series.grid, windows.rows, windows.cols, value[masks.labels], masks.confidence
        )
        tags = {
            "SITS_ENGINE": __version__,
            "SITS_SERIES": series.title,
            MASKS_TAG: f"{made.report.threshold:g}",
        }
        write_class_table(classes_path, legend)
        write_mosaic(self.output, series.grid, classes, percent, legend, tags)

    def _check(self, classes_path: Path, numbers: Path) -> None:
        if self.output.suffix.lower() not in (".tif", ".tiff"):
            raise InputError(
                f"The output {self.output.name} must end in .tif.", f"Name it {self.output.stem}.tif."
            )
        if self.window is not None and self.window % 2:
            raise InputError(
                f"WINDOW is {self.window} pixels; the network sees patches of 2 x 2 pixels.",
                f"Choose an even number, {self.window + 1} for example.",
            )
        if self.parcels and self.labels:
            raise InputError("PARCELS and LABELS are both given.", "Give one of them.")
        if self.parcels and not self.field:
            raise InputError("Parcels are given without FIELD.", "Choose the field with the crop.")
        for path, what in ((self.class_table, "Class table"), (self.labels, "Label raster")):
            if path is not None:
                existing(path, what)
        inputs = (self.series, self.windows, self.parcels, self.labels, self.class_table)
        outputs = (self.output, classes_path, self.output_model, self.report, numbers, self.checkpoint)
        claim_outputs(outputs, inputs)

    def _options(self, series: TimeSeries) -> ExactOptions:
        from sits_engine.learning.exact.options import ExactOptions

        left_out = {"output", "output_classes", "output_model", "report", "numbers", "resume"}
        return ExactOptions(
            width=self.width,
            effort=self.effort,
            n_dates=self.n_dates,
            prototype_mode=self.prototype_mode,
            maps=self.maps,
            affinity=self.affinity,
            refine=self.refine,
            threshold=self.threshold,
            least_confidence=self.least_confidence,
            background=self.background,
            held_out=self.held_out,
            turning=self.flips,
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            mask_clouds=self.mask_clouds,
            seed=self.seed,
            season_year=series.season_year,
            pixel_size=pixel_size_of([series]),
            provenance={
                "series": [series_facts(series)],
                "windows": layer_names([self.windows]),
                "pixel_labels": layer_names([self.parcels or str(self.labels)])
                if self.parcels or self.labels
                else None,
                "resolution": pixel_size_of([series]),
                "seed": self.seed,
            },
            parameters=self.model_dump(mode="json", exclude=left_out),
        )
