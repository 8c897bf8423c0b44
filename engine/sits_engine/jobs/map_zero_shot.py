"""A class map from words: no labels, a satellite encoder that was trained with photos, and class names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from sits_engine.context import JobContext, counted
from sits_engine.errors import InputError
from sits_engine.jobs.base import JobResult
from sits_engine.jobs.embedding_job import EmbeddingJob, Opened, content
from sits_engine.jobs.map_outputs import check_suffix

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from sits_engine.mapping.region_sample import SampleMeans
    from sits_engine.models.clip.prompts import ClassPrompts

Prompts = Literal[
    "name",
    "Generic",
    "LC_Generic",
    "LU_Generic",
    "SAT_Generic",
    "Generic_SATGeneric",
    "lucas_land_cover",
    "lucas_crops",
    "lucas_land_use",
    "eunis_habitats",
]


class MapZeroShot(EmbeddingJob):
    """Map classes that are given as words, without training data."""

    title: ClassVar[str] = "Map classes from words"

    classes: str | None = Field(
        None,
        description="one class a line, 'class' or 'class: prompt; prompt'; without it those of the class "
        "table, else all of the built-in set named in prompts",
    )
    class_table: Path | None = Field(
        None, description="CSV with the columns class, prompt and, if you like, color; several lines a class"
    )
    prompts: Prompts = Field(
        "name",
        description="prompts of classes that bring none: their name, their name in a group of templates, or "
        "the sentences of a built-in set",
    )
    scoring: Literal["raw", "normalised"] = Field(
        "raw",
        description="normalised: each class's scores are divided by their mean over a sample of the region "
        "(transductive: what a pixel is called depends on the region)",
    )
    background: str | None = Field(
        None, description="text of a further class for all else, such as 'none of these'; default: none"
    )
    min_mapping_unit: Annotated[float, Field(ge=0)] = Field(
        0.0, description="minimum mapping unit in hectares; 0: keep every pixel"
    )
    output: Path = Field(description="class map with confidence, cloud-optimised GeoTIFF (.tif)")
    similarities: Path | None = Field(
        None, description="cosines of all classes, one band a class, cloud-optimised GeoTIFF (.tif)"
    )

    def run(self, ctx: JobContext) -> JobResult:
        """Make the map."""
        from sits_engine.learning.zeroshot import level_factors
        from sits_engine.mapping.cog import BandInfo, Layers
        from sits_engine.mapping.embedding_map import ClassHead
        from sits_engine.models.clip.prompts import class_vectors, read_classes

        check_suffix(self.output, ".tif")
        check_suffix(self.similarities, ".tif")
        if self.output == self.similarities:
            raise InputError("OUTPUT and SIMILARITIES are the same file.", "Choose two names.")
        # before series and model: what is wrong with words is said at once
        classes = read_classes(self.classes, self.class_table, self.prompts, self.background)
        at = self.opened(ctx, (self.output, self.similarities), (self.class_table,))
        vectors = class_vectors(at.clip, classes)
        n_prompts = sum(len(own) for own in classes.prompts)
        ctx.info(f"{len(classes.names)} classes with {counted(n_prompts, 'prompt')}, {self.scoring} scores.")
        head = ClassHead(vectors, at.predictor.scale)
        sample: SampleMeans | None = None
        if self.scoring == "normalised":
            sample = self._sample(ctx, at, vectors)
            head = ClassHead(vectors, at.predictor.scale, level_factors(sample.means))
        card = at.predictor.card.model_copy(update={"classes": _cards(classes)})
        layers = Layers([BandInfo(c.name, float("nan")) for c in card.classes], "float32")
        summary = self.produced(
            ctx,
            at,
            head,
            card,
            {"vectors": content(vectors), "scoring": self.scoring},
            self._tags(classes, sample),
            1.0,
            output=self.output,
            layers=layers,
            similarities=self.similarities,
            min_mapping_unit=self.min_mapping_unit,
        )
        result = JobResult({"output": str(self.output)})
        if self.similarities is not None:
            result.outputs["similarities"] = str(self.similarities)
        result.scores |= summary.scores | {
            "pixels": summary.pixels,
            "areas": {name: round(area, 4) for name, area in summary.hectares.items()},
            "season_start": at.series.dates[0].isoformat(),
            "season_end": at.series.dates[-1].isoformat(),
            "scoring": self.scoring,
            "sample_pixels": 0 if sample is None else sample.pixels,
            "classes": [
                {"value": i, "name": c.name, "color": c.color} for i, c in enumerate(card.classes, 1)
            ],
        }
        return result

    def _sample(self, ctx: JobContext, at: Opened, vectors: npt.NDArray[np.float32]) -> SampleMeans:
        """Mean scores of the region."""
        from sits_engine.mapping.embedding_map import ClassHead
        from sits_engine.mapping.region_sample import mean_scores

        tiles = at.tiles(ClassHead(vectors, at.predictor.scale))
        share = ctx.part(0.01, 0.05, "Mean scores of the region")
        sample = mean_scores(at.series, at.bands, at.region, tiles, share)
        ctx.info(
            f"Scores are divided by the mean score of their class over {sample.pixels} clear pixels in "
            f"{sample.windows} windows, evenly spread over the region."
        )
        return sample

    def _tags(self, classes: ClassPrompts, sample: SampleMeans | None) -> dict[str, str]:
        prompts = dict(zip(classes.names, classes.prompts, strict=True))
        return {
            "SITS_PROMPTS": json.dumps(prompts, ensure_ascii=False),
            "SITS_SCORING": self.scoring if sample is None else f"normalised by {sample.pixels} pixels",
            "SITS_MIN_MAPPING_UNIT_HA": f"{self.min_mapping_unit:g}",
        }


def _cards(classes: ClassPrompts) -> list[Any]:
    """Classes of the map, each with a colour."""
    from sits_engine.models.card import ClassCard
    from sits_engine.samples.classes import distinct_colors

    given = {name: color for name, color in zip(classes.names, classes.colors, strict=True) if color}
    colors = distinct_colors(classes.names, given)
    return [ClassCard(name=name, color=colors[name]) for name in classes.names]
