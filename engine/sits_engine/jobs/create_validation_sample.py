"""Random points in each class of a map, to be interpreted by a person."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from sits_engine.context import JobContext
from sits_engine.errors import InputError
from sits_engine.jobs.base import Job, JobResult, claim_outputs, existing


class CreateValidationSample(Job):
    """Draw the stratified random points that area-adjusted accuracy needs."""

    title: ClassVar[str] = "Create validation sample"

    map: Path = Field(description="class map (.tif); its classes are the strata")
    n: int = Field(400, ge=2, le=1_000_000, description="points altogether")
    allocation: Literal["equal", "proportional", "optimal"] = Field(
        "optimal", description="points of each class: equal, by area, or by area and expected errors"
    )
    min_per_class: int = Field(30, ge=0, description="fewest points of a class")
    seed: int = Field(1, ge=0, description="the same seed draws the same points")
    output: Path = Field(description="points (.gpkg); fill the field 'reference'")

    def run(self, ctx: JobContext) -> JobResult:
        """Count, allocate, draw, write."""
        from sits_engine.evaluation.sampling import allocate, draw, write_sample
        from sits_engine.mapping.class_map import ClassMap

        existing(self.map, "Map")
        if self.output.suffix.lower() != ".gpkg":
            raise InputError(
                f"The output {self.output.name} must be a GeoPackage: only that holds points and tables.",
                f"Name it {self.output.stem}.gpkg.",
            )
        claim_outputs((self.output,), (self.map,))
        the_map = ClassMap.open(self.map)
        pixels, hectares, confidence = the_map.count(ctx.part(0.0, 0.4, "Counting the classes"))
        if pixels.sum() == 0:
            raise InputError(f"The map {self.map.name} has no classified pixel.", "Give another map.")
        points = allocate(self.n, pixels, self.allocation, self.min_per_class, confidence)
        if points.sum() < self.n:
            ctx.warn(f"The map has only {int(pixels.sum())} classified pixels: all of them were taken.")
        drawn = draw(the_map, points, self.seed, ctx.part(0.4, 0.95, "Drawing points"))
        write_sample(self.output, the_map, drawn, pixels, hectares)
        if self.allocation == "optimal":
            source = "the map's mean confidence" if the_map.confident else "an assumed accuracy of 80 %"
            ctx.info(f"Allocation by area times expected standard deviation (Neyman), from {source}.")
        ctx.info(
            "Points: "
            + ", ".join(
                f"{c.name} {count}" for c, count in zip(the_map.classes, points.tolist(), strict=True)
            )
        )
        ctx.progress(1.0)
        return JobResult(outputs={"output": str(self.output)}, scores={"points": int(points.sum())})
