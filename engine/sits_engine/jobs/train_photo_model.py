"""Train a photo model: satellite images learn what photos of the same places show."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, field_validator

from sits_engine.context import JobContext
from sits_engine.errors import InputError
from sits_engine.jobs.base import JobResult, claim_outputs, model_path, write_numbers
from sits_engine.jobs.photo_sources import PhotoFields
from sits_engine.jobs.region_samples import series_facts
from sits_engine.jobs.training_job import TrainingJob
from sits_engine.jobs.training_material import pixel_size_of
from sits_engine.outputs import numbers_beside

if TYPE_CHECKING:
    from sits_engine.device import Device
    from sits_engine.learning.processes import Processes
    from sits_engine.learning.timesenclip.batches import PairedPlaces
    from sits_engine.learning.timesenclip.options import PhotoOptions
    from sits_engine.models.clip import ClipEncoder
    from sits_engine.samples.photo_pixels import PhotoPixels
    from sits_engine.series.time_series import TimeSeries


class TrainPhotoModel(TrainingJob, PhotoFields):
    """Align monthly satellite images with CLIP's vectors of photos taken at the same places."""

    title: ClassVar[str] = "Train photo model"

    series: list[Path] = Field(min_length=1, description="time series (.json), one a region")
    photos: str = Field(
        description="photos: a point layer with a field of file paths, a folder of geotagged photos, or a "
        "LUCAS table (CSV)"
    )
    clip: Path | None = Field(
        None, description="folder of a CLIP model in Hugging Face layout; default: the one that was fetched"
    )
    context: Literal["1", "3", "5", "9"] = Field(
        "1", description="pixels along the side of the square that is seen around a place"
    )
    effort: Literal["quick", "standard", "thorough"] = Field(
        "standard", description="quick, standard (about 4 times as long) or thorough (the published length)"
    )
    output: Path = Field(description="model (.safetensors)")
    report: Path | None = Field(None, description="report (.html); its numbers are written beside it")
    bands: list[str] = Field(default_factory=list, description="bands to use; default: all common ones")
    masking: Literal["none", "mixed", "all", "random", "spectral"] = Field(
        "mixed",
        description="months hidden in training: mixed (published: median of the year, or without a quarter), "
        "all (or random months, too), random, spectral (and bands), none",
    )
    published: bool = Field(
        False,
        description="as released: masking drawn once a batch, photos compared with past ones only, positions "
        "start at zero",
    )
    pooling: Literal["average", "attention"] = Field("average", description="of the photos of a place")
    normalisation: Literal["data", "published"] = Field(
        "data", description="bands by percentiles of the training data, or the published constants"
    )
    form: Literal["released", "paper"] = Field(
        "released",
        description="network as released (ReLU, one layer at its end) or as in the paper (GELU, two)",
    )
    width: Literal["standard", "small"] | None = Field(
        None,
        description="standard is the published network; default: small on a processor and with few places",
    )
    split: Literal["blocks", "places", "none"] = Field(
        "blocks", description="validation and test in spatial blocks, single places, or none"
    )
    block_size: float | None = Field(None, gt=0, description="side of a block in metres; default: chosen")
    epochs: int | None = Field(None, ge=1, le=10_000, description="at most; default: by effort")
    batch_size: int = Field(256, ge=8, le=8192, description="places a step (published: 1024)")
    learning_rate: float | None = Field(
        None, gt=0, le=1, description="highest; default: 0.001 for small, 0.0001 for standard (published)"
    )
    seed: int = Field(1, ge=0, le=2**31 - 1, description="the same seed on a CPU gives the same model")
    numbers: Path | None = Field(None, description="numbers of the report (.json); default: beside it")

    @field_validator("series", "bands", mode="before")
    @classmethod
    def _words(cls, value: object, info: object) -> object:
        """One text is a list too; commas separate bands (QGIS' string parameters)."""
        if not isinstance(value, str):
            return value
        if getattr(info, "field_name", "") != "bands":
            return [value]
        return [word.strip() for word in value.replace(";", ",").split(",") if word.strip()]

    @field_validator("context", mode="before")
    @classmethod
    def _side(cls, value: object) -> object:
        return str(value)

    @field_validator("output")
    @classmethod
    def _model_name(cls, value: Path) -> Path:
        return model_path(value)

    def check_processes(self, processes: Processes) -> None:
        """The form as published, too, can't be shared."""
        from sits_engine.learning.timesenclip.options import check_processes

        super().check_processes(processes)
        check_processes(self.published, processes)

    def train(self, ctx: JobContext, processes: Processes, device: Device) -> JobResult:
        """Read photos and images, train, test, write."""
        numbers = self.numbers or numbers_beside(self.report or self.output)
        claim_outputs((self.output, self.report, numbers, self.checkpoint), [*self.series, self.photos])
        ctx.progress(0.0, "Opening images and photos")
        self.use(device, processes, ctx)
        encoder = _open_clip(self.clip, device)
        pixels, series = self._pixels(ctx)
        pairs, n_bad = self._pairs(encoder, pixels, ctx)

        from sits_engine.learning.timesenclip.run import train_photo_model
        from sits_engine.learning.timesenclip.summary import SIDES
        from sits_engine.models.model_file import save_model
        from sits_engine.report.photo_model import nothing_learned, write_photo_model_report
        from sits_engine.samples.known_places import KEY, remembered

        if not self.resume:
            self.forget()
        made = train_photo_model(
            pairs,
            {
                "name": encoder.name,
                "fingerprint": encoder.fingerprint,
                "dim": encoder.dim,
                "path": str(encoder.folder.path.resolve()),
            },
            self._options(series),
            device,
            ctx,
            start=0.5,
            end=0.97,
            processes=processes,
            checkpoint=self.checkpoint,
        )
        report = made.report
        for doubt in nothing_learned(report):
            ctx.warn(doubt)
            report.warnings.append(doubt)
        report.notes[:0] = pixels.photos.notes
        if n_bad:
            what = (
                "1 photo could not be read and was"
                if n_bad == 1
                else f"{n_bad} photos could not be read and were"
            )
            report.notes.append(f"{what} left out.")
        ctx.progress(0.97, "Writing report and model")
        outputs = {"output": str(self.output)}
        if self.report is not None:
            beside = write_photo_model_report(self.report, report)
            outputs |= {"report": str(self.report), "numbers": str(beside)}
        if self.numbers is not None or self.report is None:
            write_numbers(numbers, report.as_json())
            outputs["numbers"] = str(numbers)
        # validation places count as seen, too: they chose the weights
        made.card.provenance[KEY] = remembered(report.xy[report.side != SIDES.index("test")])
        # the model last: where it is, everything is
        save_model(self.output, made.module.cpu(), made.card)
        self.forget()
        scores: dict[str, Any] = {
            name: None if math.isnan(v) else round(v, 6) for name, v in report.scores.items()
        }
        scores |= {"n_places": len(pairs), "n_photos": len(pairs.vectors), "n_test": report.counts[2]}
        ctx.progress(1.0, "Done")
        return JobResult(outputs=outputs, scores=scores, warnings=report.warnings)

    def _pixels(self, ctx: JobContext) -> tuple[PhotoPixels, list[TimeSeries]]:
        """Places with photos and composites."""
        from sits_engine.samples.photo_pixels import common_bands, photo_pixels

        series = [self.open_series(path, ctx) for path in self.series]
        bands = common_bands(series, self.bands)
        photos = self.read_photos()
        for warning in photos.warnings:
            ctx.warn(warning)
        pixels = photo_pixels(
            series,
            photos,
            bands,
            int(self.context),
            ctx.part(0.02, 0.25, "Making monthly composites of the places"),
        )
        for note in (*photos.notes, *pixels.notes):
            ctx.info(note)
        for warning in pixels.warnings:
            ctx.warn(warning)
        return pixels, series

    def _pairs(self, encoder: ClipEncoder, pixels: PhotoPixels, ctx: JobContext) -> tuple[PairedPlaces, int]:
        """Composites and photo vectors of the places that have both, and how many photos can't be read."""
        import numpy as np

        from sits_engine.learning.timesenclip.batches import PairedPlaces
        from sits_engine.models.clip import photo_vectors

        images = photo_vectors(
            encoder, pixels.photos.paths, ctx.part(0.25, 0.5, f"Looking at the photos with {encoder.name}")
        )
        for problem in images.problems[:5]:
            ctx.warn(f"Photo left out: {problem}")
        if len(images.problems) > 5:
            ctx.warn(f"{len(images.problems) - 5} more photos were left out.")
        owner = pixels.photos.place[images.kept]
        order = np.argsort(owner, kind="stable")
        counts = np.bincount(owner, minlength=len(pixels))
        seen = counts > 0
        offsets = np.concatenate([[0], np.cumsum(counts[seen])])
        return PairedPlaces(
            pixels.composites.subset(seen), images.vectors[order], offsets.astype(np.int64)
        ), len(images.problems)

    def _options(self, series: list[TimeSeries]) -> PhotoOptions:
        from sits_engine.learning.timesenclip.options import PhotoOptions

        left_out = {"output", "report", "numbers", "resume"}
        return PhotoOptions(
            width=self.width,
            effort=self.effort,
            form=self.form,
            masking=self.masking,
            published=self.published,
            pooling=self.pooling,
            normalisation=self.normalisation,
            split=self.split,
            block_size=self.block_size,
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            seed=self.seed,
            season_year=series[0].season_year,
            provenance={
                "series": [series_facts(one) for one in series],
                "photos_from": self.photos,
                "resolution": pixel_size_of(series),
                "seed": self.seed,
            },
            parameters=self.model_dump(mode="json", exclude=left_out),
        )


def _open_clip(folder: Path | None, device: Device) -> ClipEncoder:
    """The CLIP model in `folder`, or the one in the models folder; InputError where there is none."""
    from sits_engine.models.clip import ClipEncoder
    from sits_engine.models.clip.fetch import default_clip

    chosen = folder or default_clip()
    if chosen is None:
        raise InputError(
            "No CLIP model was given, and none has been fetched.",
            "Give CLIP, a folder with a CLIP model in Hugging Face layout, or run 'Fetch CLIP model' once.",
        )
    return ClipEncoder.open(chosen, device)
