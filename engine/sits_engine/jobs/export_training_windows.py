"""Labelled windows of time series as a Zarr store: a data set for other programs, or for later training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, field_validator

from sits_engine.context import JobContext
from sits_engine.jobs.base import JobResult, keep_inputs
from sits_engine.jobs.region_samples import layer_names, series_facts
from sits_engine.jobs.window_samples import WindowFields

if TYPE_CHECKING:
    from sits_engine.samples.windows import WindowSet


class ExportTrainingWindows(WindowFields):
    """Cut windows out of time series, with labels, parcel numbers, masks and covered shares, as Zarr."""

    title: ClassVar[str] = "Export training windows"

    output: Path = Field(description="folder to write (.zarr)")
    window: int = Field(24, ge=4, le=1024, description="pixels of the images along a side of a window")
    stride: int | None = Field(
        None, ge=1, description="pixels from one window to the next; default: WINDOW, without overlap"
    )
    n_dates: int | None = Field(
        None, ge=3, le=1000, description="dates of a window, spread evenly over the season; default: all"
    )
    min_windows: int = Field(1, ge=1, description="classes in fewer windows become unknown")

    @field_validator("output")
    @classmethod
    def _store_name(cls, value: Path) -> Path:
        return value if value.suffix == ".zarr" else value.with_name(value.name + ".zarr")

    def run(self, ctx: JobContext) -> JobResult:
        """Burn the labels, read the images, write."""
        from sits_engine.mapping.compat import pixel_metres
        from sits_engine.samples.classes import ClassTable
        from sits_engine.samples.dates import thinned
        from sits_engine.samples.window_classes import with_classes
        from sits_engine.samples.window_grid import gather_windows
        from sits_engine.samples.window_store import STORE

        keep_inputs([self.output], self.label_files())
        STORE.check_target(self.output)
        ctx.progress(0.0, "Opening images and labels")
        sources = self.window_sources(ctx)
        table = ClassTable.read(self.class_table) if self.class_table else None
        windows, notes = gather_windows(
            sources, self.window_options(self.window, self.stride), ctx.part(0.01, 0.8, "Cutting windows")
        )
        self.check_field(windows)
        table = table or self.raster_table(windows.classes)
        windows, classes, said = with_classes(windows, table, min_windows=self.min_windows)
        notes += said
        if self.n_dates is not None:
            ctx.progress(0.8, "Choosing dates")
            windows = thinned(windows, self.n_dates)
        for note in notes:
            ctx.info(note)
        facts = {
            "made_by": "SITS for QGIS, Export training windows",
            "series": [series_facts(one) for one in sources.series],  # type: ignore[arg-type]
            "labels": layer_names([str(text) for text in sources.labels]),
            "resolutions": [round(pixel_metres(one.grid), 4) for one in sources.series],
            "classes": [{"name": c.name, "color": c.color, "codes": list(c.codes)} for c in classes],
            "parameters": self.model_dump(mode="json", exclude={"output"}),
            "notes": notes,
        }
        windows.save(self.output, extra=facts, progress=ctx.part(0.85, 1.0, "Writing the windows"))
        ctx.progress(1.0, "Done")
        return JobResult(outputs={"output": str(self.output)}, scores=_scores(windows))


def _scores(windows: WindowSet) -> dict[str, float | int]:
    known = windows.labels >= 0
    return {
        "n_windows": len(windows),
        "n_classes": len(windows.classes),
        "n_dates": windows.values.shape[1],
        "labelled_share": round(float(known.mean()), 6),
        "mixed_share": round(float((windows.mixed > 0).mean()), 6),
    }
