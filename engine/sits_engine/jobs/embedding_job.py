"""What maps from words and photos have in common: inputs, opening them, tiles with a journal."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from sits_engine import __version__
from sits_engine.context import JobContext, counted
from sits_engine.jobs.map_run import SCHEDULER, Scheduler, on_cluster, run_map
from sits_engine.jobs.words_mapping import Images, WordsMapping

if TYPE_CHECKING:
    from sits_engine.mapping.cog import Layers
    from sits_engine.mapping.embedding_map import Head
    from sits_engine.mapping.produce import MapSummary
    from sits_engine.mapping.space import Later
    from sits_engine.models.card import ModelCard
    from sits_engine.models.clip import ClipEncoder


@dataclass(frozen=True)
class Opened(Images):
    """Inputs of a run that fit each other.

    Attributes:
        clip: the CLIP model that the encoder was trained with.
    """

    clip: ClipEncoder


class EmbeddingJob(WordsMapping):
    """Inputs of all maps from words and photos."""

    model: Path = Field(description="photo model (.safetensors), made by 'Train photo model'")
    clip: Path | None = Field(
        None,
        description="folder of the CLIP model that the photo model was trained with; default: where it was "
        "then, else the models folder",
    )
    workers: int = Field(0, ge=0, le=64, description="threads that compute; 0: all processors")
    scheduler: Scheduler | None = Field(None, description=SCHEDULER)

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
        from sits_engine.models.clip.choice import clip_of

        predictor = self.encoder(ctx, device)
        clip = clip_of(predictor.card, self.clip, device)
        at = self.images_of(ctx, predictor, outputs)
        window = at.region.window
        ctx.info(
            f"{counted(len(at.series.dates), 'date')}, {counted(len(at.bands), 'band')}, "
            f"{window.width} x {window.height} pixels; words and photos by {clip.name}; "
            f"device: {device.label}."
        )
        return Opened(at.series, at.region, predictor, at.bands, clip)

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
        later: Sequence[Later] = (),
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
            later: files that are made of the map.
        """
        from sits_engine.mapping.lock import claimed

        request = self.words_request(
            at,
            head,
            card,
            layers,
            output=None if numbers_only else output,
            numbers=output if numbers_only else similarities,
            min_mapping_unit=min_mapping_unit,
        )
        request = replace(
            request,
            tags=self.tags(at) | tags,
            phase=f"Mapping on {at.predictor.device.label}",
            later=later,
        )
        everything = self.facts(at) | facts
        everything |= {"tile": request.tile_size, "similarities": similarities is not None}
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
