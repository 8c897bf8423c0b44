"""Labelled windows of time series as a Zarr store: a data set for other programs, or for later training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, field_validator

from sits_engine.context import JobContext
from sits_engine.jobs.base import Job, JobResult, existing, keep_inputs
from sits_engine.jobs.region_samples import layer_names, series_facts

if TYPE_CHECKING:
    from sits_engine.samples.window_grid import WindowSources
    from sits_engine.samples.windows import WindowSet


class ExportTrainingWindows(Job):
    """Cut windows out of time series, with labels, parcel numbers, masks and covered shares, as Zarr."""

    title: ClassVar[str] = "Export training windows"

    series: list[Path] = Field(default_factory=list, description="time series (.json), one a region")
    parcels: list[str] = Field(
        default_factory=list, description="polygon layers with the class field, one a series or one for all"
    )
    field: str | None = Field(None, description="field of parcels with the class or crop code")
    labels: list[Path] = Field(
        default_factory=list,
        description="label rasters instead of parcels (0 = unlabelled), on the grid of the series or, with "
        "SCALE 2 or 4, one that is as many times finer",
    )
    output: Path = Field(description="folder to write (.zarr)")
    bands: list[str] = Field(default_factory=list, description="bands to write; default: all common ones")
    window: int = Field(24, ge=4, le=1024, description="pixels of the images along a side of a window")
    scale: int = Field(1, description="labels are 1, 2 or 4 times finer than the images")
    stride: int | None = Field(
        None, ge=1, description="pixels from one window to the next; default: WINDOW, without overlap"
    )
    dates: int | None = Field(
        None, ge=3, le=1000, description="dates of a window, spread evenly over the season; default: all"
    )
    min_labelled: float = Field(
        0.05, ge=0, le=1, description="windows with a smaller share of labelled pixels are left out"
    )
    least_covered: float = Field(
        0.5, ge=0, le=1, description="share of a pixel that parcels of its class must cover"
    )
    max_windows: int | None = Field(
        4000, ge=1, description="windows altogether, drawn at random; each region gives an equal share"
    )
    class_table: Path | None = Field(
        None, description="CSV code,class,color that maps codes to classes; default: codes are the classes"
    )
    min_windows: int = Field(1, ge=1, description="classes in fewer windows become unknown")
    mask_clouds: bool = Field(True, description="clouded pixels are not valid; off: every pixel with data is")
    seed: int = Field(1, ge=0, le=2**31 - 1, description="the same seed draws the same windows")

    @field_validator("series", "parcels", "labels", "bands", mode="before")
    @classmethod
    def _words(cls, value: object, info: object) -> object:
        """One text is a list too; commas separate bands (QGIS' string parameters)."""
        if not isinstance(value, (str, Path)):
            return value
        if getattr(info, "field_name", "") != "bands":
            return [value]
        return [word.strip() for word in str(value).replace(";", ",").split(",") if word.strip()]

    @field_validator("output")
    @classmethod
    def _store_name(cls, value: Path) -> Path:
        return value if value.suffix == ".zarr" else value.with_name(value.name + ".zarr")

    def run(self, ctx: JobContext) -> JobResult:
        """Burn the labels, read the images, write."""
        from sits_engine.errors import InputError
        from sits_engine.samples.classes import ClassTable
        from sits_engine.samples.dates import thinned
        from sits_engine.samples.window_classes import with_classes
        from sits_engine.samples.window_grid import WindowOptions, gather_windows
        from sits_engine.samples.window_store import check_target

        if self.parcels and self.labels:
            raise InputError("PARCELS and LABELS are both given.", "Give one of them.")
        keep_inputs([self.output], [*self.series, *self.parcels, *self.labels, self.class_table])
        check_target(self.output)
        table = ClassTable.read(existing(self.class_table, "Class table")) if self.class_table else None
        ctx.progress(0.0, "Opening images and labels")
        sources = self._sources()
        options = WindowOptions(
            size=self.window,
            scale=self.scale,
            stride=self.stride,
            min_labelled=self.min_labelled,
            max_windows=self.max_windows,
            mask_clouds=self.mask_clouds,
            least=self.least_covered,
            seed=self.seed,
        )
        windows, notes = gather_windows(sources, options, ctx.part(0.01, 0.8, "Cutting windows"))
        windows, classes, said = with_classes(windows, table, min_windows=self.min_windows)
        notes += said
        if self.dates is not None:
            ctx.progress(0.8, "Choosing dates")
            windows = thinned(windows, self.dates)
        for note in notes:
            ctx.info(note)
        facts = {
            "made_by": "SITS for QGIS, Export training windows",
            "series": [series_facts(one) for one in sources.series],  # type: ignore[arg-type]
            "labels": layer_names([str(text) for text in sources.labels]),
            "classes": [{"name": c.name, "color": c.color, "codes": list(c.codes)} for c in classes],
            "parameters": self.model_dump(mode="json", exclude={"output"}),
            "notes": notes,
        }
        windows.save(self.output, extra=facts, progress=ctx.part(0.85, 1.0, "Writing the windows"))
        ctx.progress(1.0, "Done")
        return JobResult(outputs={"output": str(self.output)}, scores=_scores(windows))

    def _sources(self) -> WindowSources:
        from sits_engine.samples.window_grid import WindowSources
        from sits_engine.series.time_series import TimeSeries

        return WindowSources(
            series=[TimeSeries.open(existing(path, "Time series")) for path in self.series],
            labels=[*self.parcels, *map(str, self.labels)],
            label_field=self.field,
            bands=self.bands,
        )


def _scores(windows: WindowSet) -> dict[str, float | int]:
    known = windows.labels >= 0
    return {
        "n_windows": len(windows),
        "n_classes": len(windows.classes),
        "n_dates": windows.values.shape[1],
        "labelled_share": round(float(known.mean()), 6),
        "mixed_share": round(float((windows.mixed > 0).mean()), 6),
    }
