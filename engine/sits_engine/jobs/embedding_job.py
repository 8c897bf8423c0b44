"""What maps from words and photos have in common: inputs, opening them, tiles with a journal."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator

from sits_engine import __version__
from sits_engine.context import JobContext
from sits_engine.jobs.map_run import SCHEDULER, Scheduler, on_cluster, run_map
from sits_engine.jobs.mapping_job import MappingJob

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from sits_engine.mapping.cog import Layers
    from sits_engine.mapping.embedding_map import EmbeddingTiles, Head
    from sits_engine.mapping.pipeline import Plan
    from sits_engine.mapping.produce import MapSummary
    from sits_engine.models.card import ModelCard
    from sits_engine.models.clip import ClipEncoder
    from sits_engine.models.photo_inference import EmbeddingPredictor
    from sits_engine.samples.region import Region
    from sits_engine.series.time_series import TimeSeries


@dataclass(frozen=True)
class Opened:
    """Inputs of a run that fit each other.

    Attributes:
        series: as the model reads it.
        region: what is mapped.
        predictor: satellite encoder on the device.
        bands: the series' names of the encoder's bands, in its order.
        clip: the CLIP model it was trained with.
        how: how the work is spread.
    """

    series: TimeSeries
    region: Region
    predictor: EmbeddingPredictor
    bands: list[str]
    clip: ClipEncoder
    how: Plan

    @property
    def months(self) -> npt.NDArray[np.int64]:
        """(T,) calendar month of each date, 0..11."""
        from sits_engine.samples.composites import months_of

        return months_of(self.series.dates)

    def tiles(self, head: Head) -> EmbeddingTiles:
        """The model of tiles with a head."""
        from sits_engine.mapping.embedding_map import EmbeddingTiles

        return EmbeddingTiles(self.predictor, head, self.months)


class EmbeddingJob(MappingJob):
    """Inputs of all maps from words and photos."""

    model: Path = Field(description="photo model (.safetensors), made by 'Train photo model'")
    clip: Path | None = Field(
        None,
        description="folder of the CLIP model that the photo model was trained with; default: where it was "
        "then, else the models folder",
    )
    steps: Literal["12", "4", "1"] = Field(
        "12", description="what the model sees of the year: 12 months, 4 quarters, or 1 median"
    )
    workers: int = Field(0, ge=0, le=64, description="threads that compute; 0: all processors")
    scheduler: Scheduler | None = Field(None, description=SCHEDULER)

    @field_validator("steps", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) else value

    def opened(
        self, ctx: JobContext, outputs: Sequence[Path | None], inputs: Sequence[Path | str | None]
    ) -> Opened:
        """Check and open everything.

        Args:
            ctx: of the job.
            outputs: files that will be written, None for those that nobody wants.
            inputs: further files that must not be written over.
        """
        device = self.begin(ctx, outputs, inputs, self.scheduler)
        from sits_engine.mapping.compat import check_resolution, match_bands
        from sits_engine.models.clip.choice import clip_of
        from sits_engine.models.photo_inference import EmbeddingPredictor
        from sits_engine.samples.composites import check_season

        predictor = EmbeddingPredictor.open(self.model, device, steps=int(self.steps), notice=ctx.warn)
        card = predictor.card
        clip = clip_of(card, self.clip, device)
        series = self.open_images(ctx, outputs)
        for sentence in check_season(series):
            ctx.warn(sentence)
        if not card.mask_dates:
            series = series.with_clouds()  # as the model was trained
        bands = match_bands(series, card)
        if predictor.context > 1:
            for sentence in check_resolution(series.title, series.grid, card):
                ctx.warn(sentence)
        region = self.region_in(series)
        ctx.progress(0.01)
        ctx.info(
            f"{len(series.dates)} dates, {len(bands)} bands, {region.window.width} x {region.window.height} "
            f"pixels; words and photos by {clip.name}; device: {device.label}."
        )
        return Opened(series, region, predictor, bands, clip, self.plan_on(device))

    def facts(self, at: Opened) -> dict[str, object]:
        """All that the vectors of a tile depend on."""
        return {
            "engine": __version__,
            "series": at.series.fingerprint(),
            "model": hashlib.sha256(self.model.read_bytes()).hexdigest(),
            "region": at.region.fingerprint(),
            "bands": at.bands,
            "steps": self.steps,
            "device": at.predictor.device.torch.type,
        }

    def tags(self, at: Opened) -> dict[str, str]:
        """Metadata of the map: no clock, no paths, so that equal inputs give equal bytes."""
        card, series = at.predictor.card, at.series
        return {
            "SITS_ENGINE": __version__,
            "SITS_MODEL": self.model.name,
            "SITS_MODEL_SHA256": card.tensors_sha256,
            "SITS_CLIP": f"{at.clip.name} {at.clip.fingerprint[:12]}",
            "SITS_STEPS": self.steps,
            "SITS_SERIES": series.title,
            "SITS_DATES": str(len(series.dates)),
            "SITS_SEASON_START": series.dates[0].isoformat(),
            "SITS_SEASON_END": series.dates[-1].isoformat(),
        }

    def produced(
        self,
        ctx: JobContext,
        at: Opened,
        head: Head,
        card: ModelCard,
        facts: dict[str, object],
        tags: dict[str, str],
        end: float,
        *,
        output: Path,
        layers: Layers,
        similarities: Path | None = None,
        numbers_only: bool = False,
        min_mapping_unit: float = 0.0,
    ) -> MapSummary:
        """Make the map; an interrupted run of the same inputs goes on.

        Args:
            ctx: of the job; progress goes from 0.05 to `end`.
            at: the inputs.
            head: what is made of vectors.
            card: of the model, with the classes of the map.
            facts: what the map depends on beside `self.facts`.
            tags: metadata beside `self.tags`.
            end: share of the job when the map is there.
            output: class map, or the head's numbers where only they are wanted.
            layers: the head's numbers.
            similarities: file for them beside a class map, None for none.
            numbers_only: no class map.
            min_mapping_unit: hectares, 0 for none.
        """
        from sits_engine.mapping.embedding_map import embedding_tile_size
        from sits_engine.mapping.lock import claimed
        from sits_engine.mapping.produce import MapRequest

        size = embedding_tile_size(
            at.predictor,
            len(at.series.dates),
            len(at.bands),
            len(card.classes),
            at.series.number_type(at.bands).itemsize,
            self.tile_size,
        )
        everything = self.facts(at) | facts | {"tile": size, "similarities": similarities is not None}
        request = MapRequest(
            series=at.series,
            bands=at.bands,
            region=at.region,
            predictor=at.tiles(head),
            card=card,
            tile_size=size,
            plan=at.how,
            output=None if numbers_only else output,
            probabilities=output if numbers_only else similarities,
            layers=layers,
            min_mapping_unit=min_mapping_unit,
            tags=self.tags(at) | tags,
            phase=f"Mapping on {at.predictor.device.label}",
        )
        with claimed((similarities,)), on_cluster(ctx, self.scheduler, self.device) as cluster:
            runner = None
            if cluster is not None:
                from sits_engine.mapping.recipes import EmbeddingRecipe

                everything["device"] = cluster.kind
                recipe = EmbeddingRecipe(int(self.steps), head, at.months)
                request, runner = cluster.takes(
                    request, recipe, self.model, self.device, self.workers, everything
                )
            return run_map(
                ctx,
                request,
                output,
                everything,
                start=0.05,
                end=end,
                inputs="inputs",
                verb="mapped",
                runner=runner,
            )


def content(array: Any) -> str:
    """Changes when an array does."""
    return hashlib.sha256(array.tobytes()).hexdigest()
