"""How often a map is right, and which areas can be defended."""

from __future__ import annotations

import time
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from sits_engine import __version__
from sits_engine.context import JobContext
from sits_engine.errors import InputError
from sits_engine.jobs.base import Job, JobResult, claim_outputs, existing

#: Files that are read as a reference raster rather than as a vector layer.
RASTER_SUFFIXES = (".tif", ".tiff", ".vrt", ".img", ".jp2", ".asc")


class AssessMap(Job):
    """Compare a crop map with reference polygons, points or a raster; write a report."""

    title: ClassVar[str] = "Assess map"

    map: Path = Field(description="class map (.tif)")
    reference: str = Field(description="polygon or point layer (path|layername=NAME), or a class raster")
    field: str | None = Field(None, description="field of the reference with class names or codes")
    report: Path = Field(
        description="report (.html); numbers (_numbers.json) and matrix (_confusion.csv) go beside it"
    )
    class_table: Path | None = Field(None, description="CSV code,class[,color]: what labels mean")
    sampling: Literal["all", "one"] = Field(
        "all", description="all pixels of reference polygons, or one pixel in each"
    )

    def run(self, ctx: JobContext) -> JobResult:
        """Compare, estimate, write report, numbers and matrix."""
        from sits_engine.evaluation.assess import assess_raster, assess_vector
        from sits_engine.evaluation.export import write_confusion
        from sits_engine.mapping.class_map import ClassMap
        from sits_engine.outputs import atomic, numbers_beside
        from sits_engine.report.assessment import write_assessment_report
        from sits_engine.samples.classes import ClassTable

        began = time.monotonic()
        existing(self.map, "Map")
        raster = self.reference.partition("|")[0].lower().endswith(RASTER_SUFFIXES)
        if not raster and not self.field:
            raise InputError(
                "FIELD is missing: the reference is a vector layer.", "Name the field with the crop."
            )
        numbers = numbers_beside(self.report)
        confusion = self.report.with_name(f"{self.report.stem}_confusion.csv")
        claim_outputs((self.report, numbers, confusion), (self.map, self.reference, self.class_table))
        table = None if self.class_table is None else ClassTable.read(self.class_table)
        the_map = ClassMap.open(self.map)

        def tick(share: float, phase: str) -> None:
            ctx.progress(0.95 * share, phase)

        if raster:
            path = existing(Path(self.reference), "Reference raster")
            data = assess_raster(the_map, path, table, tick)
        else:
            data = assess_vector(the_map, self.reference, self.field or "", table, self.sampling, tick)
        for sentence in data.warnings:
            ctx.warn(sentence)
        data.provenance = {
            "Map": str(self.map),
            "Reference": self.reference,
            "Field": self.field or "-",
            "Class table": str(self.class_table or "-"),
            "Compared": f"{data.n_compared} {data.unit}",
            "Engine": __version__,
            "Made": time.strftime("%Y-%m-%d %H:%M"),
            "Duration": f"{time.monotonic() - began:.1f} s",
        }
        ctx.progress(0.95, "Writing the report")
        with atomic(confusion) as temporary:
            write_confusion(temporary, data)
        numbers = write_assessment_report(self.report, data)
        ctx.progress(1.0)
        scores: dict[str, float | int] = {
            "overall_accuracy": data.overall_accuracy,
            "macro_f1": data.macro_f1,
            "weighted_f1": data.weighted_f1,
            "kappa": data.kappa,
            "n": data.n_compared,
        }
        scores |= {f"parcel_{name}": value for name, value in data.parcel_scores.items()}
        if data.adjusted is not None:
            scores["adjusted_overall_accuracy"] = data.adjusted.overall.value
            scores["adjusted_overall_accuracy_half_width"] = data.adjusted.overall.half_width
        outputs = {"report": str(self.report), "numbers": str(numbers), "confusion": str(confusion)}
        known = {name: value for name, value in scores.items() if value == value}  # JSON has no NaN
        return JobResult(outputs=outputs, scores=known)
