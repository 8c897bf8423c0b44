"""How scenic places are, expected from rated descriptions."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from sits_engine.context import JobContext
from sits_engine.jobs.base import JobResult, existing
from sits_engine.jobs.embedding_job import EmbeddingJob, content
from sits_engine.jobs.map_outputs import check_suffix


class MapScenicness(EmbeddingJob):
    """Map the rating that people would give a place, from descriptions that they rated."""

    title: ClassVar[str] = "Map scenicness"

    ratings: Path | None = Field(
        None,
        description="CSV with the columns prompt, rating and, if you like, voter; default: an example with "
        "made-up voters",
    )
    ensembling: Literal["early", "late"] = Field(
        "late",
        description="early: one soft-max over the descriptions of all voters; late: one for each voter, then "
        "the mean of their ratings",
    )
    scale: float | None = Field(
        None,
        gt=0,
        description="what cosines are multiplied by in the soft-max (the inverse of its temperature); "
        "default: the scale that the model learnt",
    )
    output: Path = Field(description="expected rating of each pixel, cloud-optimised GeoTIFF (.tif)")

    def run(self, ctx: JobContext) -> JobResult:
        """Make the map."""
        import numpy as np

        from sits_engine.learning.scenicness import EXAMPLE, read_ratings
        from sits_engine.mapping.cog import BandInfo, Layers
        from sits_engine.mapping.embedding_map import RatingHead
        from sits_engine.models.card import ClassCard
        from sits_engine.models.clip import text_vectors

        check_suffix(self.output, ".tif")
        table = existing(self.ratings or EXAMPLE, "Table of ratings")
        ratings = read_ratings(table)
        at = self.opened(ctx, (self.output,), (self.ratings,))
        if self.ratings is None:
            ctx.warn(
                "Without RATINGS the example is used: its voters are made up. The map shows how the method "
                "works, not what people find scenic."
            )
        scale = self.scale or at.predictor.scale
        ctx.info(
            f"{len(ratings.prompts)} descriptions of {len(ratings.voters)} voters, ratings "
            f"{ratings.ratings.min():g} to {ratings.ratings.max():g}; {self.ensembling} ensembling, cosines "
            f"times {scale:.4g}."
        )
        vectors = text_vectors(at.clip, ratings.prompts)
        late = ratings.voter if self.ensembling == "late" else None
        card = at.predictor.card.model_copy(update={"classes": [ClassCard(name="mapped", color="#000000")]})
        summary = self.produced(
            ctx,
            at,
            RatingHead(vectors, ratings.ratings, scale, late),
            card,
            {
                "vectors": content(vectors),
                "ratings": content(np.concatenate([ratings.ratings, ratings.voter])),
                "ensembling": self.ensembling,
                "scale": scale,
            },
            {"SITS_RATINGS": table.name, "SITS_ENSEMBLING": f"{self.ensembling}, scale {scale:.6g}"},
            1.0,
            output=self.output,
            numbers_only=True,
            layers=Layers([BandInfo("expected rating", float("nan"))], "float32"),
        )
        return JobResult(
            {"output": str(self.output)},
            summary.scores
            | {
                "pixels": summary.pixels,
                "lowest_rating": float(ratings.ratings.min()),
                "highest_rating": float(ratings.ratings.max()),
                "voters": len(ratings.voters),
                "scale": round(scale, 4),
            },
        )
