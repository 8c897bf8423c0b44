"""What making a crop map and planning one share: its settings, and series, region and model that fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from sits_engine.context import JobContext
from sits_engine.jobs.mapping_job import MappingJob

if TYPE_CHECKING:
    from sits_engine.device import Device
    from sits_engine.mapping.parcel_sums import ParcelPixels
    from sits_engine.mapping.produce import MapRequest
    from sits_engine.mapping.recipes import CropRecipe
    from sits_engine.models.inference import Predictor
    from sits_engine.models.segment_inference import SegmentPredictor
    from sits_engine.samples.region import Region
    from sits_engine.series.time_series import TimeSeries

#: Percent of a window that the next one sees again.
OVERLAP = 50
Overlap = Annotated[int, Field(ge=0, le=90)]


@dataclass(frozen=True)
class Opened:
    """Inputs of a crop map that fit each other.

    Attributes:
        series: as the model reads it.
        region: what is mapped.
        predictor: the model on the device.
        bands: the series' names of the model's bands, in its order.
    """

    series: TimeSeries
    region: Region
    predictor: Predictor | SegmentPredictor
    bands: list[str]

    @property
    def scale(self) -> int:
        """Pixels of the map along one pixel of the images."""
        return int(getattr(self.predictor, "scale", 1))


class CropMapping(MappingJob):
    """A crop map, made or planned."""

    min_mapping_unit: Annotated[float, Field(ge=0)] = Field(
        0.0, description="minimum mapping unit in hectares; 0: keep every pixel"
    )
    season_year: int | None = Field(
        None, ge=1970, le=2200, description="year whose 1 January is day 0; default: as the series says"
    )
    fast: bool = Field(False, description="with the fast network in the model's file")
    batch_size: int = Field(0, ge=0, description="pixels computed at once; 0: what suits the device")
    overlap: Overlap = Field(
        OVERLAP, description="percent of a window that the next one sees again (segmentation models)"
    )

    def recipe(self, fast: bool) -> CropRecipe:
        """How the model (or the fast network in its file) is opened, here and at the workers of a cluster."""
        from sits_engine.mapping.recipes import CropRecipe

        return CropRecipe(self.overlap, self.batch_size, fast)

    def opened(
        self, ctx: JobContext, device: Device, outputs: Sequence[Path | None], *, fast: bool
    ) -> Opened:
        """Open series, region and model.

        Args:
            ctx: of the job.
            device: from `begin`.
            outputs: files that will be written, None for those that nobody wants.
            fast: with the fast network in the model's file.

        Raises:
            InputError: a file can't be used, or is an output. ModelError: bands of the model are missing.
        """
        from sits_engine.mapping.compat import match_bands
        from sits_engine.mapping.finer import with_edge_pixels

        series = self.open_images(ctx, outputs, season_year=self.season_year)
        region = self.region_in(series)
        ctx.progress(0.005)
        predictor = self.recipe(fast).predictor(self.model, device, ctx.warn)
        if not predictor.mask_dates:
            series = series.with_clouds()  # as the model was trained
        at = Opened(series, region, predictor, match_bands(series, predictor.card))
        return replace(at, region=with_edge_pixels(region, at.scale))

    def request(
        self,
        at: Opened,
        device: Device,
        output: Path,
        probabilities: Path | None,
        parcels: ParcelPixels | None = None,
    ) -> MapRequest:
        """The map to be made.

        Args:
            at: the inputs.
            device: from `begin`.
            output, probabilities: its files.
            parcels: pixels of parcels that a segmentation model measures on the way.
        """
        from sits_engine.mapping.produce import MapRequest
        from sits_engine.mapping.segment_tiles import SegmentTiles, tile_size_of
        from sits_engine.models.segment_inference import SegmentPredictor

        predictor = at.predictor
        return MapRequest(
            series=at.series,
            bands=at.bands,
            region=at.region,
            predictor=(
                SegmentTiles(predictor, at.series.grid, parcels)
                if isinstance(predictor, SegmentPredictor)
                else predictor
            ),
            card=predictor.card,
            tile_size=tile_size_of(predictor, at.series, at.bands, self.tile_size),
            plan=self.plan_on(device),
            output=output,
            probabilities=probabilities,
            min_mapping_unit=self.min_mapping_unit,
        )
