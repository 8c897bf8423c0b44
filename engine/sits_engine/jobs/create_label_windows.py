"""Windows in which a person ticks the crops: the labels of a classifier that needs no field borders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from sits_engine import __version__
from sits_engine.context import JobContext
from sits_engine.errors import InputError
from sits_engine.jobs.base import Job, JobResult, claim_outputs, existing

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from sits_engine.mapping.class_map import ClassMap
    from sits_engine.samples.classes import ClassTable
    from sits_engine.samples.label_grid import LabelGrid
    from sits_engine.samples.vectors import Labelled


class CreateLabelWindows(Job):
    """Lay a grid over a time series, with a yes/no field for each crop."""

    title: ClassVar[str] = "Create label windows"

    series: Path = Field(description="time series (.json)")
    classes: str | None = Field(
        None,
        description="names of the crops, with commas, semicolons or line breaks between them; default: those "
        "of CLASS_TABLE, else those that PARCELS or MAP name",
    )
    class_table: Path | None = Field(
        None, description="CSV code,class,color: the crops, and which codes of PARCELS or MAP mean them"
    )
    extent: str | None = Field(None, description="part to cover: xmin,xmax,ymin,ymax [EPSG:code]")
    region: str | None = Field(None, description="part to cover: polygon layer")
    window: int = Field(24, ge=4, le=1024, description="pixels along a side of a window")
    parcels: str | None = Field(
        None, description="polygons or points with known crops: tick their crops beforehand"
    )
    field: str | None = Field(None, description="field of parcels with the crop")
    map: Path | None = Field(None, description="class map, coarse or not: tick its crops beforehand")
    min_share: float = Field(
        0.01, ge=0, lt=1, description="a crop is ticked where it covers more than this share of a window"
    )
    mark_done: bool = Field(False, description="windows that are ticked beforehand count as done")
    max_windows: int = Field(500, ge=1, le=1_000_000, description="windows at most, drawn at random")
    seed: int = Field(1, ge=0, le=2**31 - 1, description="the same seed draws the same windows")
    output: Path = Field(description="windows (.gpkg)")

    def run(self, ctx: JobContext) -> JobResult:
        """Lay, tick what is known, write."""
        import numpy as np

        from sits_engine.samples.classes import ClassTable, distinct_colors
        from sits_engine.samples.label_grid import lay_grid
        from sits_engine.samples.label_layer import refuse_ticked, write_windows
        from sits_engine.samples.region import make_region
        from sits_engine.samples.vectors import on_grid, read_labelled
        from sits_engine.series.time_series import TimeSeries

        self._check()
        inputs = (self.series, self.class_table, self.region, self.parcels, self.map)
        claim_outputs((self.output,), inputs)
        refuse_ticked(self.output)
        ctx.progress(0.0, "Reading the inputs")
        series = TimeSeries.open(existing(self.series, "Time series"))
        table = ClassTable.read(self.class_table) if self.class_table else None
        coarse = self._open_map()
        known = None
        if self.parcels and self.field:
            known = on_grid(read_labelled(self.parcels, self.field), series.grid, series.title)
        classes = self._classes(table, known, coarse)
        region = make_region(series.grid, self.extent, self.region)
        windows, notes = lay_grid(
            region, series.title, self.window, max_windows=self.max_windows, seed=self.seed
        )
        ticks, said = self._ticks(ctx, windows, classes, table, known, coarse, series.title)
        done = np.logical_and(ticks.any(axis=1, keepdims=True), self.mark_done)[:, 0]
        given = dict(table.color_of) if table else {c.name: c.color for c in coarse.classes} if coarse else {}
        facts = {
            "made_by": f"SITS for QGIS {__version__}, {self.title}",
            "series": series.title,
            "window_pixels": str(self.window),
            "seed": str(self.seed),
        }
        ctx.progress(0.95, "Writing the windows")
        write_windows(self.output, windows, classes, distinct_colors(classes, given), ticks, done, facts)
        for note in (*notes, *said):
            ctx.info(note)
        self._tell(ctx, classes, ticks)
        ctx.progress(1.0, "Done")
        scores = {
            "n_windows": len(windows),
            "n_classes": len(classes),
            "n_prefilled": int(ticks.any(axis=1).sum()),
        }
        return JobResult(outputs={"output": str(self.output)}, scores=scores, warnings=list(ctx.warnings))

    def _check(self) -> None:
        if self.output.suffix.lower() != ".gpkg":
            raise InputError(
                f"The output {self.output.name} must be a GeoPackage, which has yes/no fields and tables.",
                f"Name it {self.output.stem}.gpkg.",
            )
        if self.parcels and not self.field:
            raise InputError("Parcels are given without FIELD.", "Choose the field with the crop.")
        if not (self.classes or self.class_table or self.parcels or self.map):
            raise InputError(
                "No crops are given.",
                "Write their names in CLASSES, give a class table, or something to tick them from: parcels, "
                "points or a map.",
            )

    def _open_map(self) -> ClassMap | None:
        from sits_engine.mapping.class_map import ClassMap

        return None if self.map is None else ClassMap.open(self.map)

    def _classes(
        self, table: ClassTable | None, known: Labelled | None, coarse: ClassMap | None
    ) -> tuple[str, ...]:
        """Crops in the order of the form."""
        from sits_engine.samples.label_fields import checked_classes, listed_classes

        if self.classes is not None:
            return listed_classes(self.classes)
        if table is not None:
            return checked_classes(list(dict.fromkeys(name for name in table.class_of.values() if name)))
        found = [] if known is None else sorted(set(known.frame["code"].astype(str)))
        lower = {name.casefold() for name in found}
        found += [c.name for c in (coarse.classes if coarse else ()) if c.name.casefold() not in lower]
        return checked_classes(found)

    def _ticks(
        self,
        ctx: JobContext,
        windows: LabelGrid,
        classes: tuple[str, ...],
        table: ClassTable | None,
        known: Labelled | None,
        coarse: ClassMap | None,
        title: str,
    ) -> tuple[npt.NDArray[np.bool_], list[str]]:
        """(N, K) bool from all that is known, and sentences."""
        import numpy as np

        from sits_engine.samples.label_prefill import Names, from_features, from_map

        names = Names(classes, {} if table is None else table.class_of)
        ticks = np.zeros((len(windows), len(classes)), dtype=bool)
        notes: list[str] = []
        if known is not None:
            tell = ctx.part(0.1, 0.5, "Ticking what parcels and points say")
            found, said = from_features(windows, known, names, title, least=self.min_share, progress=tell)
            ticks |= found
            notes += said
        if coarse is not None:
            tell = ctx.part(0.5, 0.95, "Ticking what the map says")
            labels = [(one.name, *one.codes) for one in coarse.classes]
            found, said = from_map(
                windows, coarse, labels, names, coarse.path.name, least=self.min_share, progress=tell
            )
            ticks |= found
            notes += said
        if known is not None and self.mark_done and coarse is None and _has_points(known):
            ctx.warn(
                "Points show what is in a window, not what is missing: windows marked as done say that no "
                "other crop is there. Look at them, or leave MARK_DONE off."
            )
        return ticks, notes

    def _tell(self, ctx: JobContext, classes: tuple[str, ...], ticks: npt.NDArray[np.bool_]) -> None:
        side = f"{self.window} x {self.window} pixels"
        ctx.info(f"{len(ticks)} windows of {side} with a yes/no field for each of {len(classes)} crops.")
        if self.parcels or self.map:
            each = zip(classes, ticks.sum(axis=0).tolist(), strict=True)
            ctx.info("Ticked beforehand: " + ", ".join(f"{name} {n}" for name, n in each) + " windows.")
            if not ticks.any():
                ctx.warn("Nothing was ticked beforehand: no window holds a crop of parcels, points or map.")


def _has_points(known: Labelled) -> bool:
    import shapely

    return bool((shapely.get_dimensions(known.frame.geometry.to_numpy()) == 0).any())
