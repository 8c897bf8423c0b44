"""What making a map from words and planning one share: steps of the year, series and encoder that fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator

from sits_engine.context import JobContext
from sits_engine.jobs.mapping_job import MappingJob

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from sits_engine.device import Device
    from sits_engine.mapping.cog import Layers
    from sits_engine.mapping.embedding_map import EmbeddingTiles, Head
    from sits_engine.mapping.produce import MapRequest
    from sits_engine.models.card import ModelCard
    from sits_engine.models.photo_inference import EmbeddingPredictor
    from sits_engine.samples.region import Region
    from sits_engine.series.time_series import TimeSeries

#: What a photo model sees of the year: months, quarters, or one median.
Steps = Literal["12", "4", "1"]


@dataclass(frozen=True)
class Images:
    """Inputs of a map from words that fit each other.

    Attributes:
        series: as the model reads it.
        region: what is mapped.
        predictor: satellite encoder on the device.
        bands: the series' names of the encoder's bands, in its order.
    """

    series: TimeSeries
    region: Region
    predictor: EmbeddingPredictor
    bands: list[str]

    @property
    def months(self) -> npt.NDArray[np.int64]:
        """(T,) calendar month of each date, 0..11."""
        from sits_engine.samples.composites import months_of

        return months_of(self.series.dates)

    def tiles(self, head: Head) -> EmbeddingTiles:
        """The model of tiles with a head."""
        from sits_engine.mapping.embedding_map import EmbeddingTiles

        return EmbeddingTiles(self.predictor, head, self.months)


class WordsMapping(MappingJob):
    """A map by a photo model, made or planned."""

    steps: Steps = Field(
        "12", description="what the model sees of the year: 12 months, 4 quarters, or 1 median"
    )

    @field_validator("steps", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) else value

    def encoder(self, ctx: JobContext, device: Device) -> EmbeddingPredictor:
        """The satellite encoder of the photo model."""
        from sits_engine.models.photo_inference import EmbeddingPredictor

        return EmbeddingPredictor.open(self.model, device, steps=int(self.steps), notice=ctx.warn)

    def images_of(
        self, ctx: JobContext, predictor: EmbeddingPredictor, outputs: Sequence[Path | None]
    ) -> Images:
        """Open the series and the region for an encoder.

        Args:
            ctx: of the job.
            predictor: of `encoder`.
            outputs: files that will be written, None for those that nobody wants.

        Raises:
            InputError: a file can't be used, or is an output. ModelError: bands of the model are missing.
        """
        from sits_engine.mapping.compat import check_resolution, match_bands
        from sits_engine.samples.composites import check_season

        card = predictor.card
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
        return Images(series, region, predictor, bands)

    def words_request(
        self,
        at: Images,
        head: Head,
        card: ModelCard,
        layers: Layers,
        *,
        output: Path | None,
        numbers: Path | None,
        min_mapping_unit: float = 0.0,
    ) -> MapRequest:
        """The map to be made.

        Args:
            at: the inputs.
            head: what is made of vectors.
            card: of the model, with the classes of the map.
            layers: the head's numbers.
            output: class map, None for none.
            numbers: file for the head's numbers, None for none.
            min_mapping_unit: hectares, 0 for none.
        """
        from sits_engine.mapping.embedding_map import embedding_tile_size
        from sits_engine.mapping.produce import MapRequest

        size = embedding_tile_size(
            at.predictor,
            len(at.series.dates),
            len(at.bands),
            len(card.classes),
            at.series.number_type(at.bands).itemsize,
            self.tile_size,
        )
        return MapRequest(
            series=at.series,
            bands=at.bands,
            region=at.region,
            predictor=at.tiles(head),
            card=card,
            tile_size=size,
            plan=self.plan_on(at.predictor.device),
            output=output,
            probabilities=numbers,
            layers=layers,
            min_mapping_unit=min_mapping_unit,
        )
