"""The ground photos that look most like places of a series: layer, contact sheet, index to use again."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, field_validator

from sits_engine.context import JobContext
from sits_engine.errors import InputError
from sits_engine.jobs.base import JobResult, claim_outputs, existing
from sits_engine.jobs.photo_sources import PhotoFields, as_trained, lon_lat_polygons
from sits_engine.outputs import numbers_beside

if TYPE_CHECKING:
    from sits_engine.device import Device
    from sits_engine.models.card import ModelCard
    from sits_engine.models.clip import ClipEncoder
    from sits_engine.retrieval.build import Prepared
    from sits_engine.samples.photos import PhotoSet


class RetrievePhotos(PhotoFields):
    """Search photos by the satellite vectors of places."""

    title: ClassVar[str] = "Retrieve photos"

    series: Path = Field(description="time series (.json) of the places")
    model: Path = Field(description="satellite model (.safetensors) made by 'Train photo model'")
    clip: Path | None = Field(None, description="folder of the CLIP model; default: that of the training")
    places: str = Field(description="points or polygons in the series: the queries")
    id_field: str | None = Field(None, description="field that names a place; default: numbers from 1")
    index: Path | None = Field(
        None,
        description="folder of the photo index: used again where it holds one of the same photos, else made; "
        "without photos it must be there",
    )
    k: int = Field(6, ge=1, le=1000, description="photos of each place")
    photo_region: str | None = Field(
        None, description="only photos in this polygon layer or extent (xmin,xmax,ymin,ymax [EPSG:code])"
    )
    date_from: datetime.date | None = Field(None, description="only photos from this day on")
    date_to: datetime.date | None = Field(None, description="only photos up to this day")
    steps: Literal["12", "4", "1"] = Field(
        "12", description="what the model sees of the year: 12 months, 4 quarters, or 1 median"
    )
    search: Literal["auto", "exact", "cells"] = Field(
        "auto",
        description="exact: compare with every photo; cells: only with near ones (IVF); auto: by number",
    )
    seed: int = Field(1, ge=0, le=2**31 - 1, description="of the pixels drawn in large polygons")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    output: Path = Field(description="points of the photos (.gpkg)")
    report: Path | None = Field(None, description="contact sheet (.html); its numbers are written beside it")

    @field_validator("steps", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        """A number does as well."""
        return str(value) if isinstance(value, int) else value

    def run(self, ctx: JobContext) -> JobResult:
        """Index the photos, embed the places, search, write."""
        self._check()
        from sits_engine import device as devices
        from sits_engine.models.photo_inference import EmbeddingPredictor
        from sits_engine.report.retrieval import SheetData, write_contact_sheet
        from sits_engine.retrieval.answers import answer, write_answers
        from sits_engine.retrieval.build import Prepared
        from sits_engine.retrieval.queries import embed_places
        from sits_engine.samples.composites import check_season
        from sits_engine.samples.vectors import read_features

        device = devices.select(self.device)
        ctx.device = device.label
        ctx.progress(0.0, "Opening series and model")
        predictor = EmbeddingPredictor.open(
            existing(self.model, "Model"), device, steps=int(self.steps), notice=ctx.warn
        )
        series = as_trained(self.open_series(self.series, ctx), predictor.card)
        places = read_features(self.places, id_field=self.id_field)
        polygons = lon_lat_polygons(self.photo_region, series.grid)
        for sentence in check_season(series):
            ctx.warn(sentence)
        source = self._source(predictor.card, device, ctx)
        # before the photos are looked at, which takes far longer: there may be no place to ask for
        queries = embed_places(
            series,
            places,
            predictor,
            seed=self.seed,
            progress=ctx.part(0.02, 0.2, f"Reading the places on {device.label}"),
        )
        prepared = source if isinstance(source, Prepared) else self._indexed(*source, ctx)
        for note in prepared.notes:
            ctx.info(note)
        for warning in prepared.warnings:
            ctx.warn(warning)
        found = answer(
            prepared.index,
            queries,
            self.k,
            polygons=polygons,
            dates=(self.date_from, self.date_to),
            progress=ctx.part(0.8, 0.9, "Searching"),
        )
        for note in (*queries.notes, *found.notes):
            ctx.info(note)
        for warning in (*queries.warnings, *found.warnings):
            ctx.warn(warning)
        write_answers(self.output, queries, found)
        outputs = {"output": str(self.output)}
        if self.index is not None:
            outputs["index"] = str(self.index)
        if self.report is not None:
            clip = prepared.index.clip
            sheet = SheetData(
                title=f"Photos that look like places of {series.title}",
                model=self.model.name,
                clip=clip.get("name", ""),
                series=series.title,
                queries=queries,
                answers=found,
                n_photos=len(prepared.index),
                kind=prepared.index.kind,
                provenance={
                    "series": self.series.name,
                    "model": self.model.name,
                    "tensors_sha256": predictor.card.tensors_sha256,
                    "clip": clip,
                    "photos": self.photos or f"index {self.index}",
                },
                parameters=self.model_dump(mode="json", exclude={"report", "output"}),
                notes=[*prepared.notes, *queries.notes, *found.notes],
                warnings=list(ctx.warnings),
            )
            numbers = write_contact_sheet(self.report, sheet, ctx.part(0.9, 1.0, "Contact sheet"))
            outputs |= {"report": str(self.report), "numbers": str(numbers)}
        best = [one.similarity for one in found.answers if one.rank == 1]
        ctx.progress(1.0, "Done")
        return JobResult(
            outputs=outputs,
            scores={
                "n_places": len(queries),
                "n_photos": len(prepared.index),
                "n_found": len(found.answers),
                "mean_similarity": sum(best) / len(best),
                "index_reused": prepared.reused,
            },
            warnings=list(ctx.warnings),
        )

    def _check(self) -> None:
        """What can be wrong before anything is read."""
        if not self.photos and self.index is None:
            raise InputError(
                "There are no photos to search in.", "Give PHOTOS, or the INDEX folder of an earlier run."
            )
        if self.date_from and self.date_to and self.date_from > self.date_to:
            raise InputError(
                f"DATE_FROM ({self.date_from}) is later than DATE_TO ({self.date_to}).", "Swap them."
            )
        if self.output.suffix.lower() != ".gpkg":
            raise InputError(
                f"The output {self.output.name} must be a GeoPackage.", f"Name it {self.output.stem}.gpkg."
            )
        beside = None if self.report is None else numbers_beside(self.report)
        read: list[Path | str | None] = [self.series, self.model, self.places, self.photos, self.photo_region]
        claim_outputs((self.output, self.report, beside), read)
        if self.index is not None and self.photos:
            from sits_engine.retrieval.folder import check_folder

            check_folder(self.index)

    def _source(
        self, card: ModelCard, device: Device, ctx: JobContext
    ) -> Prepared | tuple[PhotoSet, ClipEncoder]:
        """The index as it is, or photos and what looks at them."""
        from sits_engine.models.clip.choice import clip_of
        from sits_engine.retrieval.build import clip_facts, existing_index

        if self.index is not None and not self.photos:
            trained = card.provenance.get("clip")
            if isinstance(trained, dict) and self.clip is None:  # then CLIP itself isn't needed
                return existing_index(self.index, trained)
            return existing_index(self.index, clip_facts(clip_of(card, self.clip, device)))
        photos = self.read_photos()
        for note in photos.notes:
            ctx.info(note)
        for warning in photos.warnings:
            ctx.warn(warning)
        return photos, clip_of(card, self.clip, device)

    def _indexed(self, photos: PhotoSet, encoder: ClipEncoder, ctx: JobContext) -> Prepared:
        """An index of these photos: brought up to date, or new."""
        from sits_engine.retrieval.build import prepare_index

        prepared = prepare_index(
            photos,
            encoder,
            self.index,
            search=self.search,
            progress=ctx.part(0.2, 0.8, f"Photos on {ctx.device}"),
        )
        count = f"{len(prepared.index)} photos"
        ctx.info(
            f"The index of {count} is used again." if prepared.reused else f"An index of {count} was made."
        )
        return prepared
