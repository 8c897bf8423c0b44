"""A crop map from a time series and a model of pixels or of segments: as raster and, on wish, as parcels."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from sits_engine import __version__
from sits_engine.context import JobContext, counted
from sits_engine.jobs.base import JobResult
from sits_engine.jobs.crop_mapping import OVERLAP, CropMapping, Opened, Overlap
from sits_engine.jobs.map_outputs import check_outputs
from sits_engine.jobs.map_run import SCHEDULER, Scheduler, on_cluster, run_map

if TYPE_CHECKING:
    from sits_engine.device import Device
    from sits_engine.mapping.parcel_sums import ParcelTotals
    from sits_engine.mapping.parcels import Parcels
    from sits_engine.mapping.produce import MapRequest
    from sits_engine.mapping.space import Later
    from sits_engine.models.card import ModelCard
    from sits_engine.series.time_series import TimeSeries


class MapCrops(CropMapping):
    """Map the crops of a region with a model: pixel map with confidence, and parcels on wish."""

    title: ClassVar[str] = "Map crops"

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
    fast: bool = Field(
        False,
        description="map pixels with the fast network in the model's file (see FAST of Train source model); "
        "parcels are still classified by the model itself",
    )
    overlap: Overlap = Field(
        OVERLAP,
        description="percent of a window that the next one sees again (segmentation models); 50: each place "
        "is computed four times, 0: once, with seams",
    )
    scheduler: Scheduler | None = Field(None, description=SCHEDULER)
    id_field: str | None = Field(
        None, description="field of the parcels that names them: its values go to the field parcel_id"
    )

    def run(self, ctx: JobContext) -> JobResult:
        """Make the pixel map, the parcel map, or both."""
        check_outputs(self)
        outputs = (self.output, self.output_parcels, self.output_polygons, self.probabilities)
        device = self.begin(ctx, outputs, (self.parcels,), self.scheduler)
        # Heavy imports come with the job, not with the list of jobs.
        from sits_engine.mapping.lock import claimed

        with claimed(outputs):
            return self._run(ctx, device, outputs)

    def _run(self, ctx: JobContext, device: Device, outputs: Sequence[Path | None]) -> JobResult:
        from sits_engine.mapping.compat import check_resolution, date_warnings
        from sits_engine.mapping.space import space_of_files
        from sits_engine.models.segment_inference import SegmentPredictor

        at = self.opened(ctx, device, outputs, fast=False)
        series, card = at.series, at.predictor.card
        mapper = self.recipe(fast=True).predictor(self.model, device, ctx.warn) if self.fast else at.predictor
        segments = isinstance(at.predictor, SegmentPredictor)
        if self.fast and self.output is None:
            ctx.warn("FAST is for maps of pixels: parcels are classified by the model itself.")
        if self.overlap != OVERLAP and not segments:
            ctx.warn("OVERLAP is for segmentation models: this model sees single pixels and needs none.")
        for sentence in [*check_resolution(series.title, series.grid, card), *date_warnings(series, card)]:
            ctx.warn(sentence)
        window, scale = at.region.window, at.scale
        ctx.info(
            f"{counted(len(series.dates), 'date')}, {counted(len(at.bands), 'band')}, "
            f"{window.width} x {window.height} pixels, {len(card.classes)} classes; device: {device.label}."
            + (f" The map has {scale} x {scale} pixels for one of the images." if scale > 1 else "")
        )
        result = JobResult()
        # A network that sees windows is run once: while it maps, it measures the parcels.
        once = segments and self.output is not None
        parcels = self._found(ctx, at) if self.parcels and once else None
        totals: ParcelTotals | None = None
        end = 1.0 if not self.parcels else 0.97 if once else 0.85
        if self.output is not None:
            mapped = end - 0.05 if self.output_polygons else end
            totals = self._pixels(
                ctx, result, self.output, replace(at, predictor=mapper), device, parcels, mapped
            )
            if self.output_polygons is not None:
                self._polygons(ctx, result, self.output, self.output_polygons, mapped, end)
        if self.parcels and self.output_parcels is not None:
            begin = 0.01 if self.output is None else end
            if self.output is None:
                space_of_files(self._parcels_later(at)).check()
            parcels = parcels or self._found(ctx, at)
            self._parcels(ctx, result, self.output_parcels, at, parcels, totals, begin)
        return result

    def _found(self, ctx: JobContext, at: Opened) -> Parcels:
        """The parcels of the region, with what is to be said about them."""
        from sits_engine.mapping.parcels import MAX_PIXELS, find_parcels
        from sits_engine.models.segment_inference import SegmentPredictor

        # a network that sees windows has named all pixels of them anyway
        most = None if isinstance(at.predictor, SegmentPredictor) else MAX_PIXELS
        parcels = find_parcels(self.parcels or "", at.region, self.id_field, max_pixels=most)
        for note in parcels.notes:
            ctx.warn(note)
        return parcels

    def _polygons(
        self, ctx: JobContext, result: JobResult, crop_map: Path, target: Path, start: float, end: float
    ) -> None:
        from sits_engine.mapping.polygons import write_polygons

        count = write_polygons(crop_map, target, ctx.part(start, end, "Drawing polygons"))
        ctx.info(f"{counted(count, 'polygon')}.")
        result.outputs["output_polygons"] = str(target)
        result.scores["polygons"] = count

    def _pixels(
        self,
        ctx: JobContext,
        result: JobResult,
        output: Path,
        at: Opened,
        device: Device,
        parcels: Parcels | None,
        end: float,
    ) -> ParcelTotals | None:
        """The map; with parcels, what their pixels within it add to them."""
        from sits_engine.mapping.parcel_sums import ParcelPixels

        series, card = at.series, at.predictor.card
        pixels = None if parcels is None else ParcelPixels.of(parcels.pixels, series.grid.width)
        request = self.request(at, device, output, self.probabilities, pixels)
        request = replace(
            request,
            tags=self._tags(series, card),
            phase=f"Classifying on {at.predictor.device.label}",
            later=[*self._polygons_later(request), *self._parcels_later(at)],
        )
        facts = self._facts(at) | {
            "tile": request.tile_size,
            "probabilities": self.probabilities is not None,
            "parcels": None if parcels is None else _geometries(parcels),
        }
        with on_cluster(ctx, self.scheduler, self.device) as cluster:
            runner = None
            if cluster is not None:
                facts["device"] = cluster.kind
                recipe = self.recipe(self.fast)
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
        target: Path,
        at: Opened,
        parcels: Parcels,
        totals: ParcelTotals | None,
        start: float,
    ) -> None:
        from sits_engine.mapping import segment_parcels
        from sits_engine.mapping.journal import Journal, fingerprint
        from sits_engine.mapping.lock import work_folder
        from sits_engine.mapping.parcels import classify_parcels, write_parcels
        from sits_engine.mapping.segment_tiles import SegmentTiles, tile_size_of
        from sits_engine.models.segment_inference import SegmentPredictor

        series, bands, predictor = at.series, at.bands, at.predictor
        share = ctx.part(start, 1.0, f"Classifying parcels on {predictor.device.label}")
        size = tile_size_of(predictor, series, bands, self.tile_size)
        facts = self._facts(at) | {"parcels": _geometries(parcels)}
        if isinstance(predictor, SegmentPredictor):
            facts |= {"tile": size, "mapped": totals is not None}
        journal = Journal.open(work_folder(target), fingerprint(facts))
        try:
            card = predictor.card

            def tick(done: float) -> None:
                share(0.95 * done)

            if isinstance(predictor, SegmentPredictor):
                segments = SegmentTiles(predictor, series.grid)
                mapped = None if totals is None else (at.region.window, totals)
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

    def _polygons_later(self, request: MapRequest) -> list[Later]:
        """The file of patches, where one is asked for, and its bytes."""
        from sits_engine.mapping.space import Later, polygon_bytes

        return [] if self.output_polygons is None else [Later(self.output_polygons, polygon_bytes(request))]

    def _parcels_later(self, at: Opened) -> list[Later]:
        """The file of parcels likewise."""
        from sits_engine.mapping.space import Later, parcel_bytes

        if self.parcels is None or self.output_parcels is None:
            return []
        size = parcel_bytes(self.parcels, at.region, len(at.predictor.card.classes))
        return [Later(self.output_parcels, size)]

    def _facts(self, at: Opened) -> dict[str, object]:
        """All that a tile's result depends on."""
        from sits_engine.models.segment_inference import SegmentPredictor

        predictor = at.predictor
        step = predictor.step if isinstance(predictor, SegmentPredictor) else None
        return {
            "engine": __version__,
            "series": at.series.fingerprint(),
            "model": hashlib.sha256(self.model.read_bytes()).hexdigest(),
            "region": at.region.fingerprint(),
            "network": predictor.card.hyperparameters,  # the file may hold two
            "bands": at.bands,
            "positions": at.series.positions.tolist(),
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
