"""A crop map from a time series and a model of pixels or of segments: as raster and, on wish, as parcels."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from sits_engine import __version__
from sits_engine.context import JobContext
from sits_engine.jobs.base import JobResult, existing, keep_inputs
from sits_engine.jobs.map_outputs import check_outputs
from sits_engine.jobs.map_run import SCHEDULER, Scheduler, on_cluster, own_device, run_map
from sits_engine.jobs.series_reading import SeriesJob
from sits_engine.mapping.tiles import CACHE_MB

if TYPE_CHECKING:
    from sits_engine.mapping.parcel_sums import ParcelTotals
    from sits_engine.mapping.parcels import Parcels
    from sits_engine.mapping.pipeline import Plan
    from sits_engine.mapping.recipes import CropRecipe
    from sits_engine.models.card import ModelCard
    from sits_engine.models.inference import Predictor
    from sits_engine.models.segment_inference import SegmentPredictor
    from sits_engine.samples.region import Region
    from sits_engine.series.time_series import TimeSeries

    #: Output, series, region, model and its bands in the series.
    Where = tuple[Path, TimeSeries, Region, Predictor | SegmentPredictor, list[str]]

#: Percent of a window that the next one sees again.
OVERLAP = 50


class MapCrops(SeriesJob):
    """Map the crops of a region with a model: pixel map with confidence, and parcels on wish."""

    title: ClassVar[str] = "Map crops"

    series: Path = Field(description="time series (STAC ItemCollection, .json)")
    model: Path = Field(description="model (.safetensors)")
    extent: str | None = Field(
        None, description="region of interest as xmin,xmax,ymin,ymax [EPSG:code]; default: the whole series"
    )
    region: str | None = Field(
        None, description="polygon layer of the region of interest (path|layername=NAME)"
    )
    parcels: str | None = Field(
        None,
        description="polygon layer of parcels to classify as a whole, by their pixels without the edge (by "
        "models of single pixels: at most 128 of each)",
    )
    output: Path | None = Field(None, description="crop map, cloud-optimised GeoTIFF (.tif)")
    output_parcels: Path | None = Field(None, description="classified parcels (.gpkg)")
    output_polygons: Path | None = Field(
        None, description="patches of the crop map as polygons with class, area and confidence (.gpkg)"
    )
    probabilities: Path | None = Field(
        None, description="probabilities of all classes in percent, one band a class (.tif)"
    )
    min_mapping_unit: Annotated[float, Field(ge=0)] = Field(
        0.0, description="minimum mapping unit in hectares; 0: keep every pixel"
    )
    season_year: int | None = Field(
        None, ge=1970, le=2200, description="year whose 1 January is day 0; default: as the series says"
    )
    fast: bool = Field(
        False,
        description="map pixels with the fast network in the model's file (see FAST of Train source model); "
        "parcels are still classified by the model itself",
    )
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    batch_size: int = Field(0, ge=0, description="pixels computed at once; 0: what suits the device")
    overlap: int = Field(
        OVERLAP,
        ge=0,
        le=90,
        description="percent of a window that the next one sees again (segmentation models); 50: each place "
        "is computed four times, 0: once, with seams",
    )
    tile_size: int = Field(
        0, ge=0, le=4096, description="largest side of a tile in pixels; 0: 256. Long series get smaller ones"
    )
    workers: int = Field(0, ge=0, le=64, description="threads that classify; 0: all processors")
    scheduler: Scheduler | None = Field(None, description=SCHEDULER)
    id_field: str | None = Field(
        None, description="field of the parcels that names them: its values go to the field parcel_id"
    )

    def run(self, ctx: JobContext) -> JobResult:
        """Make the pixel map, the parcel map, or both."""
        # GDAL reads it at first use; a user's own setting wins.
        os.environ.setdefault("GDAL_CACHEMAX", CACHE_MB)
        # Heavy imports come with the job, not with the list of jobs.
        from sits_engine.device import threads
        from sits_engine.mapping.compat import check_resolution, date_warnings, match_bands
        from sits_engine.mapping.finer import with_edge_pixels
        from sits_engine.mapping.pipeline import plan
        from sits_engine.models.segment_inference import SegmentPredictor
        from sits_engine.outputs import check_writable
        from sits_engine.samples.region import make_region

        check_outputs(self)
        outputs = (self.output, self.output_parcels, self.output_polygons, self.probabilities)
        keep_inputs(outputs, (self.series, self.model, self.region, self.parcels))
        existing(self.model, "Model")
        for path in outputs:
            if path is not None:
                check_writable(path)
        ctx.progress(0.0, "Opening series and model")
        device = own_device(self.device, self.scheduler)
        ctx.device = device.label
        series = self.open_series(self.series, ctx, season_year=self.season_year)
        keep_inputs(outputs, (h for scenes in series.scenes for scene in scenes for h in scene.hrefs()))
        region = make_region(series.grid, self.extent, self.region)
        ctx.progress(0.005)
        predictor = self._recipe().predictor(self.model, device, ctx.warn)
        mapper = self._recipe(self.fast).predictor(self.model, device, ctx.warn) if self.fast else predictor
        card = predictor.card
        if self.fast and self.output is None:
            ctx.warn("FAST is for maps of pixels: parcels are classified by the model itself.")
        if self.overlap != OVERLAP and not isinstance(predictor, SegmentPredictor):
            ctx.warn("OVERLAP is for segmentation models: this model sees single pixels and needs none.")
        if not predictor.mask_dates:
            series = series.with_clouds()  # as the model was trained
        bands = match_bands(series, card)
        scale = _scale(predictor)
        for sentence in [*check_resolution(series.title, series.grid, card), *date_warnings(series, card)]:
            ctx.warn(sentence)
        region = with_edge_pixels(region, scale)
        ctx.info(
            f"{len(series.dates)} dates, {len(bands)} bands, {region.window.width} x {region.window.height} "
            f"pixels, {len(card.classes)} classes; device: {device.label}."
            + (f" The map has {scale} x {scale} pixels for one of the images." if scale > 1 else "")
        )
        how = plan(device.is_cpu, threads(), self.workers)
        result = JobResult()
        # A network that sees windows is run once: while it maps, it measures the parcels.
        once = isinstance(predictor, SegmentPredictor) and self.output is not None
        parcels = self._found(ctx, region, predictor) if self.parcels and once else None
        totals: ParcelTotals | None = None
        end = 1.0 if not self.parcels else 0.97 if once else 0.85
        if self.output is not None:
            mapped = end - 0.05 if self.output_polygons else end
            where = (self.output, series, region, mapper, bands)
            totals = self._pixels(ctx, result, where, how, parcels, mapped)
            if self.output_polygons is not None:
                self._polygons(ctx, result, self.output, self.output_polygons, mapped, end)
        if self.parcels and self.output_parcels is not None:
            begin = 0.01 if self.output is None else end
            where = (self.output_parcels, series, region, predictor, bands)
            parcels = parcels or self._found(ctx, region, predictor)
            self._parcels(ctx, result, where, parcels, totals, begin)
        return result

    def _found(self, ctx: JobContext, region: Region, predictor: Predictor | SegmentPredictor) -> Parcels:
        """The parcels of the region, with what is to be said about them."""
        from sits_engine.mapping.parcels import MAX_PIXELS, find_parcels
        from sits_engine.models.segment_inference import SegmentPredictor

        # a network that sees windows has named all pixels of them anyway
        most = None if isinstance(predictor, SegmentPredictor) else MAX_PIXELS
        parcels = find_parcels(self.parcels or "", region, self.id_field, max_pixels=most)
        for note in parcels.notes:
            ctx.warn(note)
        return parcels

    def _recipe(self, fast: bool = False) -> CropRecipe:
        """How the model (or the fast network in its file) is opened, here and at the workers of a cluster."""
        from sits_engine.mapping.recipes import CropRecipe

        return CropRecipe(self.overlap, self.batch_size, fast)

    def _polygons(
        self, ctx: JobContext, result: JobResult, crop_map: Path, target: Path, start: float, end: float
    ) -> None:
        from sits_engine.mapping.polygons import write_polygons

        count = write_polygons(crop_map, target, ctx.part(start, end, "Drawing polygons"))
        ctx.info(f"{count} polygons.")
        result.outputs["output_polygons"] = str(target)
        result.scores["polygons"] = count

    def _pixels(
        self,
        ctx: JobContext,
        result: JobResult,
        where: Where,
        how: Plan,
        parcels: Parcels | None,
        end: float,
    ) -> ParcelTotals | None:
        """The map; with parcels, what their pixels within it add to them."""
        from sits_engine.mapping.parcel_sums import ParcelPixels
        from sits_engine.mapping.produce import MapRequest
        from sits_engine.mapping.segment_tiles import SegmentTiles, tile_size_of
        from sits_engine.models.segment_inference import SegmentPredictor

        output, series, region, predictor, bands = where
        card = predictor.card
        size = tile_size_of(predictor, series, bands, self.tile_size)
        facts = self._facts(series, region, predictor, bands) | {
            "tile": size,
            "probabilities": self.probabilities is not None,
            "parcels": None if parcels is None else _geometries(parcels),
        }
        pixels = None if parcels is None else ParcelPixels.of(parcels.pixels, series.grid.width)
        request = MapRequest(
            series=series,
            bands=bands,
            region=region,
            predictor=(
                SegmentTiles(predictor, series.grid, pixels)
                if isinstance(predictor, SegmentPredictor)
                else predictor
            ),
            card=card,
            tile_size=size,
            plan=how,
            output=output,
            probabilities=self.probabilities,
            min_mapping_unit=self.min_mapping_unit,
            tags=self._tags(series, card),
            phase=f"Classifying on {predictor.device.label}",
        )
        with on_cluster(ctx, self.scheduler, self.device) as cluster:
            runner = None
            if cluster is not None:
                facts["device"] = cluster.kind
                recipe = self._recipe(self.fast)
                request, runner = cluster.takes(request, recipe, self.model, self.device, self.workers, facts)
            summary = run_map(
                ctx,
                request,
                output,
                facts,
                start=0.01,
                end=end,
                inputs="series, model, region",
                verb="classified",
                runner=runner,
            )
        if summary.sieved:
            ctx.info(f"The minimum mapping unit changed {summary.sieved} pixels; their confidence was kept.")
        result.outputs["output"] = str(output)
        if self.probabilities is not None:
            result.outputs["probabilities"] = str(self.probabilities)
        result.scores |= summary.scores | {
            "pixels": summary.pixels,
            "areas": {name: round(area, 4) for name, area in summary.hectares.items()},
            "season_start": series.dates[0].isoformat(),
            "season_end": series.dates[-1].isoformat(),
            "classes": [
                {"value": i, "name": c.name, "color": c.color} for i, c in enumerate(card.classes, 1)
            ],
        }
        return summary.parcels

    def _parcels(
        self,
        ctx: JobContext,
        result: JobResult,
        where: Where,
        parcels: Parcels,
        totals: ParcelTotals | None,
        start: float,
    ) -> None:
        from sits_engine.mapping import segment_parcels
        from sits_engine.mapping.journal import Journal, fingerprint, work_folder
        from sits_engine.mapping.parcels import classify_parcels, write_parcels
        from sits_engine.mapping.segment_tiles import SegmentTiles, tile_size_of
        from sits_engine.models.segment_inference import SegmentPredictor

        target, series, region, predictor, bands = where
        share = ctx.part(start, 1.0, f"Classifying parcels on {predictor.device.label}")
        size = tile_size_of(predictor, series, bands, self.tile_size)
        facts = self._facts(series, region, predictor, bands) | {"parcels": _geometries(parcels)}
        if isinstance(predictor, SegmentPredictor):
            facts |= {"tile": size, "mapped": totals is not None}
        journal = Journal.open(work_folder(target), fingerprint(facts))
        try:
            card = predictor.card

            def tick(done: float) -> None:
                share(0.95 * done)

            if isinstance(predictor, SegmentPredictor):
                segments = SegmentTiles(predictor, series.grid)
                mapped = None if totals is None else (region.window, totals)
                probabilities, dates = segment_parcels.classify_parcels(
                    series, parcels, bands, segments, size, journal, tick, mapped
                )
            else:
                probabilities, dates = classify_parcels(
                    series, parcels, bands, predictor, len(card.classes), journal, tick
                )
            known = write_parcels(target, parcels, card, probabilities, dates)
        except BaseException as error:
            journal.close()
            raise journal.explained(error) from error.__cause__
        journal.remove()
        if known < len(dates):
            ctx.warn(
                f"{len(dates) - known} of {len(dates)} parcels have no clear pixel at any date: no class."
            )
        result.outputs["output_parcels"] = str(target)
        result.scores |= {"parcels": len(dates), "parcels_classified": known}
        share(1.0)

    def _facts(
        self,
        series: TimeSeries,
        region: Region,
        predictor: Predictor | SegmentPredictor,
        bands: list[str],
    ) -> dict[str, object]:
        """All that a tile's result depends on."""
        from sits_engine.models.segment_inference import SegmentPredictor

        step = predictor.step if isinstance(predictor, SegmentPredictor) else None
        return {
            "engine": __version__,
            "series": series.fingerprint(),
            "model": hashlib.sha256(self.model.read_bytes()).hexdigest(),
            "region": region.fingerprint(),
            "network": predictor.card.hyperparameters,  # the file may hold two
            "bands": bands,
            "positions": series.positions.tolist(),
            "device": predictor.device.torch.type,
            "batch": self.batch_size,
            "step": step,
        }

    def _tags(self, series: TimeSeries, card: ModelCard) -> dict[str, str]:
        """Metadata of the map: no clock, no paths, so that equal inputs give equal bytes."""
        return {
            "SITS_ENGINE": __version__,
            "SITS_MODEL": self.model.name,
            "SITS_MODEL_SHA256": card.tensors_sha256,
            **({"SITS_NETWORK": "fast"} if self.fast else {}),
            "SITS_SERIES": series.title,
            "SITS_DATES": str(len(series.dates)),
            "SITS_SEASON_START": series.dates[0].isoformat(),
            "SITS_SEASON_END": series.dates[-1].isoformat(),
            "SITS_MIN_MAPPING_UNIT_HA": f"{self.min_mapping_unit:g}",
        }


def _geometries(parcels: Parcels) -> str:
    """Changes when parcels do."""
    return hashlib.sha256(b"".join(parcels.frame.geometry.to_wkb())).hexdigest()


def _scale(predictor: Predictor | SegmentPredictor) -> int:
    """Pixels of the map along one pixel of the images."""
    return int(getattr(predictor, "scale", 1))
