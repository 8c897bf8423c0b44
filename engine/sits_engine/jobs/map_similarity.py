"""How similar places look to a text or a photo: a raster, and the best places."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from sits_engine.context import JobContext
from sits_engine.errors import InputError
from sits_engine.jobs.base import JobResult, existing
from sits_engine.jobs.embedding_job import EmbeddingJob, Opened, content
from sits_engine.jobs.map_outputs import check_suffix

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class MapSimilarity(EmbeddingJob):
    """Map how similar each pixel is to a text or a photo, and name the best places."""

    title: ClassVar[str] = "Map similarity"

    text: str | None = Field(
        None, description="what to look for; several lines or sentences with ';' between them are averaged"
    )
    photo: Path | None = Field(None, description="or a photo: where does the landscape look like that?")
    k: int = Field(20, ge=1, le=10_000, description="best places wanted")
    distance: float = Field(
        500.0, ge=0, description="metres that the best places lie apart, at least; 0: neighbouring pixels"
    )
    output: Path = Field(description="similarity (cosine) of each pixel, cloud-optimised GeoTIFF (.tif)")
    output_places: Path | None = Field(None, description="the best places as points (.gpkg)")

    def run(self, ctx: JobContext) -> JobResult:
        """Make the raster, then look for the places."""
        from sits_engine.mapping.best_places import best_places, places_bytes, write_places
        from sits_engine.mapping.cog import BandInfo, Layers
        from sits_engine.mapping.embedding_map import SimilarityHead
        from sits_engine.mapping.space import Later
        from sits_engine.models.card import ClassCard

        check_suffix(self.output, ".tif")
        if self.output_places is not None and self.output_places.suffix.lower() != ".gpkg":
            raise InputError(
                f"The output {self.output_places.name} must end in .gpkg.",
                f"Name it {self.output_places.stem}.gpkg.",
            )
        texts = self._texts()
        at = self.opened(ctx, (self.output, self.output_places), (self.photo,))
        vector, query = self._vector(at, texts)
        card = at.predictor.card.model_copy(update={"classes": [ClassCard(name="mapped", color="#000000")]})
        end = 1.0 if self.output_places is None else 0.95
        summary = self.produced(
            ctx,
            at,
            SimilarityHead(vector),
            card,
            {"vector": content(vector)},
            {"SITS_QUERY": query},
            end,
            output=self.output,
            numbers_only=True,
            layers=Layers([BandInfo(f"similarity to {query}", float("nan"))], "float32"),
            later=(
                [] if self.output_places is None else [Later(self.output_places, places_bytes(self.k, query))]
            ),
        )
        result = JobResult({"output": str(self.output)})
        result.scores |= summary.scores | {"pixels": summary.pixels, "query": query}
        if self.output_places is not None:
            share = ctx.part(end, 1.0, "Looking for the best places")
            places = best_places(self.output, self.k, self.distance, share)
            write_places(self.output_places, self.output, places, "similarity", {"query": query})
            if len(places) < self.k:
                ctx.warn(
                    f"{len(places)} best places instead of {self.k}: there is no room for more that lie "
                    f"{self.distance:g} m apart (DISTANCE)."
                )
            result.outputs["output_places"] = str(self.output_places)
            result.scores["places"] = len(places)
            if places:
                result.scores["best"] = round(places[0].value, 4)
        return result

    def _texts(self) -> list[str]:
        """The sentences of the query; [] where it is a photo."""
        given = [" ".join(part.split()) for part in (self.text or "").replace("\n", ";").split(";")]
        texts = [part for part in given if part]
        if bool(texts) == (self.photo is not None):
            raise InputError(
                "There is nothing to look for." if not texts else "A text and a photo are given.",
                "Give either TEXT or PHOTO.",
            )
        return texts

    def _vector(self, at: Opened, texts: list[str]) -> tuple[npt.NDArray[np.float32], str]:
        """(dim,) unit vector of the query, and what to call it."""
        from sits_engine.models.clip import photo_vectors, text_vectors
        from sits_engine.models.clip.prompts import mean_vectors

        if texts:
            return mean_vectors(text_vectors(at.clip, texts), [len(texts)])[0], "; ".join(texts)
        photo = existing(self.photo or Path(), "Photo")
        return photo_vectors(at.clip, [photo]).vectors[0], photo.name
