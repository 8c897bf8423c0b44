"""How good a photo model is: zero-shot accuracy of classes in words, and recall between images and photos."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, field_validator

from sits_engine.context import JobContext
from sits_engine.errors import InputError
from sits_engine.jobs.base import JobResult, claim_outputs, existing
from sits_engine.jobs.photo_sources import PhotoFields, as_trained
from sits_engine.outputs import numbers_beside

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from sits_engine.models.clip import ClipEncoder
    from sits_engine.models.photo_inference import EmbeddingPredictor
    from sits_engine.samples.composites import Composites
    from sits_engine.samples.photos import PhotoSet

TaskName = Literal["field", "land_cover", "land_use", "crops", "habitat", "bioregion", "country"]
Templates = Literal["Generic", "LC_Generic", "LU_Generic", "SAT_Generic", "Generic_SATGeneric"]
#: Fewer places than this tell nothing.
FEWEST = 4


@dataclass
class Places:
    """What is scored: composites of N places, fields with labels, and photos (of some places, or none)."""

    composites: Composites
    labels: dict[str, npt.NDArray[np.str_]]
    title: str
    photos: PhotoSet | None = None
    place: npt.NDArray[np.int64] | None = None
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class EvaluatePhotoModel(PhotoFields):
    """Score a photo model on places with labels and photos."""

    title: ClassVar[str] = "Evaluate photo model"

    series: list[Path] = Field(default_factory=list, description="time series (.json), one a region")
    sen4map: Path | None = Field(
        None, description="instead of series: Sen4Map patches (.h5); photos are joined by LUCAS point"
    )
    model: Path = Field(description="photo model (.safetensors), made by 'Train photo model'")
    clip: Path | None = Field(
        None,
        description="folder of the CLIP model that the photo model was trained with; default: where it was "
        "then, else the models folder",
    )
    tasks: list[TaskName] = Field(
        ["field"],
        description="what is classified: field (values of label_field), or LUCAS and Sen4Map codes of "
        "land_cover, land_use, crops, habitat, bioregion, country",
    )
    label_field: str | None = Field(
        None, description="field of the photos with the class, for the task 'field'"
    )
    class_table: Path | None = Field(
        None, description="descriptive prompts of the classes of label_field (CSV: class, prompt)"
    )
    templates: Templates | None = Field(
        None, description="group of prompt templates; default: by task, Generic for label_field"
    )
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    report: Path | None = Field(None, description="report (.html); its numbers are written beside it")
    table: Path | None = Field(None, description="all scores as a table (.csv)")

    @field_validator("series", "tasks", mode="before")
    @classmethod
    def _as_list(cls, value: object) -> object:
        """One text is a list, too; tasks may have commas between them."""
        if isinstance(value, str):
            return [part.strip() for part in value.split(",")] if "," in value else [value]
        return [value] if isinstance(value, Path) else value

    def run(self, ctx: JobContext) -> JobResult:
        """Read, embed in three ways, score, write."""
        self._check()
        from sits_engine import device as devices
        from sits_engine.evaluation.photo_scores import pooled, recalls, table_rows
        from sits_engine.models.clip.choice import clip_of
        from sits_engine.models.photo_inference import EmbeddingPredictor
        from sits_engine.report.photo_evaluation import EvaluationData, write_evaluation, write_scores
        from sits_engine.samples.known_places import NEAR, overlap

        device = devices.select(self.device)
        ctx.device = device.label
        ctx.progress(0.0, "Opening model and places")
        predictor = EmbeddingPredictor.open(existing(self.model, "Model"), device, notice=ctx.warn)
        clip = clip_of(predictor.card, self.clip, device)
        places = self._places(predictor, ctx)
        tasks = self._labels(places)
        seen_before = overlap(places.composites.xy, predictor.card.provenance)
        if seen_before:
            ctx.warn(
                f"{seen_before} of {len(places.composites)} places lie within about {NEAR:g} m of one that "
                "the model was trained on: scores of such places are too good. Leave them out."
            )
        vectors = None
        if places.photos is not None and places.place is not None:
            images = _photo_vectors(clip, places, ctx)
            vectors = pooled(images, places.place, len(places.composites))
        data = EvaluationData(
            title=f"Photo model on {places.title}",
            model=self.model.name,
            clip=clip.name,
            n_places=len(places.composites),
            n_photos=0 if places.place is None else len(places.place),
            classes={name: names for name, (_, names) in tasks.items()},
            counts={name: _counts(labels, len(names)) for name, (labels, names) in tasks.items()},
            provenance={
                "model": self.model.name,
                "tensors_sha256": predictor.card.tensors_sha256,
                "clip": {"name": clip.name, "fingerprint": clip.fingerprint},
                "series": [path.name for path in self.series],
                "sen4map": None if self.sen4map is None else self.sen4map.name,
                "photos": self.photos,
            },
            parameters=self.model_dump(mode="json", exclude={"report", "table"}),
            notes=places.notes,
            seen_before=seen_before,
        )
        classes = self._classes(clip, tasks, data)
        has_photo = None if vectors is None else (vectors**2).sum(axis=1) > 0.5
        for number, steps in enumerate((12, 4, 1)):
            ctx.progress(0.6 + 0.13 * number, f"Scores of {steps} step{'s' * (steps > 1)} on {device.label}")
            one = EmbeddingPredictor(predictor.module, predictor.card, device, steps=steps, notice=ctx.warn)
            seen = one.embed(places.composites)
            data.zero_shot += _zero_shots(seen, classes, tasks, steps)
            if vectors is not None and has_photo is not None and has_photo.sum() >= FEWEST:
                labelled = {name: labels[has_photo] for name, (labels, _) in tasks.items()}
                data.recalls += recalls(seen[has_photo], vectors[has_photo], labelled, steps)
        data.warnings = list(ctx.warnings)
        outputs: dict[str, str] = {}
        if self.table is not None:
            write_scores(self.table, table_rows(data.zero_shot, data.recalls))
            outputs["table"] = str(self.table)
        if self.report is not None:
            numbers = write_evaluation(self.report, data)
            outputs |= {"report": str(self.report), "numbers": str(numbers)}
        ctx.progress(1.0, "Done")
        return JobResult(outputs=outputs, scores=data.headline(), warnings=list(ctx.warnings))

    def _check(self) -> None:
        """What can be wrong before anything is read."""
        if bool(self.series) == (self.sen4map is not None):
            raise InputError(
                "Images are given twice or not at all.", "Give SERIES with PHOTOS, or SEN4MAP (.h5)."
            )
        if self.series and not self.photos:
            raise InputError("There are no places: PHOTOS is missing.", "Give photos with a class field.")
        if "field" in self.tasks and not self.label_field:
            raise InputError(
                "The task 'field' needs LABEL_FIELD.",
                "Name the field with the class, or choose another task.",
            )
        if len(set(self.tasks)) < len(self.tasks):
            raise InputError(f"A task stands twice in TASKS: {', '.join(self.tasks)}.", "Name each once.")
        beside = None if self.report is None else numbers_beside(self.report)
        read: list[Path | str | None] = [
            *self.series,
            self.sen4map,
            self.model,
            self.photos,
            self.class_table,
        ]
        claim_outputs((self.report, beside, self.table), read)

    def _places(self, predictor: EmbeddingPredictor, ctx: JobContext) -> Places:
        """Composites and labels of the places, with their photos."""
        bands = predictor.card.band_names
        photos = None
        if self.photos:
            photos = self.read_photos(self._label_fields())
            for warning in photos.warnings:
                ctx.warn(warning)
        if self.sen4map is not None:
            places = self._of_sen4map(self.sen4map, bands, predictor.context, photos, ctx)
        else:
            places = self._of_series(predictor, photos, ctx)
        if len(places.composites) < FEWEST:
            raise InputError(
                f"Only {len(places.composites)} places can be scored; {FEWEST} are needed, hundreds are "
                "better.",
                "Give more photos, or the series of all their regions.",
            )
        for note in places.notes:
            ctx.info(note)
        return places

    def _label_fields(self) -> tuple[str, ...] | None:
        """Fields to ask the photos for: the label alone, or all where tasks have fields of their own."""
        return (self.label_field,) if self.label_field and self.tasks == ["field"] else None

    def _of_series(self, predictor: EmbeddingPredictor, photos: Any, ctx: JobContext) -> Places:
        from sits_engine.samples.photo_pixels import photo_pixels

        series = [as_trained(self.open_series(path, ctx), predictor.card) for path in self.series]
        found = photo_pixels(
            series,
            photos,
            predictor.card.band_names,
            predictor.context,
            ctx.part(0.02, 0.3, "Reading the places"),
        )
        for warning in found.warnings:
            ctx.warn(warning)
        title = ", ".join(dict.fromkeys(one.title for one in series))
        notes = [*photos.notes, *found.notes]
        return Places(found.composites, found.photos.labels, title, found.photos, found.photos.place, notes)

    def _of_sen4map(
        self, path: Path, bands: list[str], size: int, photos: PhotoSet | None, ctx: JobContext
    ) -> Places:
        import numpy as np

        from sits_engine.samples.sen4map import read_sen4map

        found = read_sen4map(
            existing(path, "Sen4Map"), bands, size, ctx.part(0.02, 0.3, "Reading the patches")
        )
        for warning in found.warnings:
            ctx.warn(warning)
        if photos is None:
            return Places(found.composites, found.labels, path.name, notes=found.notes)
        row = {name: number for number, name in enumerate(found.ids.tolist())}
        # a LUCAS place is called point_year
        of_place = np.array([row.get(str(name).split("_")[0], -1) for name in photos.ids], np.int64)
        kept = np.flatnonzero(of_place[photos.place] >= 0)
        if not len(kept):
            raise InputError(
                f"None of the {len(photos)} places with photos is a point of {path.name}.",
                "Give the LUCAS table of 2018 with its photos; places are matched by point number.",
            )
        chosen = photos.with_photos(kept)
        places = of_place[photos.place][kept]
        notes = [*found.notes, f"{len(np.unique(places))} points of {path.name} have photos."]
        return Places(found.composites, found.labels, path.name, chosen, places, notes)

    def _labels(self, places: Places) -> dict[str, tuple[npt.NDArray[np.int64], tuple[str, ...]]]:
        """(N,) classes and names of each task."""
        from sits_engine.samples.lucas import coded, task_labels

        out = {}
        for task in self.tasks:
            if task != "field":
                out[str(task)] = task_labels(places.labels, task)
                continue
            by_name = {name.casefold(): values for name, values in places.labels.items()}
            values = by_name.get(str(self.label_field).casefold())
            if values is None:
                raise InputError(
                    f"The places have no field '{self.label_field}'. Their fields: "
                    f"{', '.join(places.labels) or 'none'}.",
                    "Choose one of these.",
                )
            out[str(self.label_field)] = coded(
                [str(value).strip() for value in values], str(self.label_field)
            )
        return out

    def _classes(
        self, clip: ClipEncoder, tasks: dict[str, Any], data: Any
    ) -> dict[tuple[str, str], npt.NDArray[np.float32]]:
        """(task, kind of prompts) -> (K, dim) vectors of the classes."""
        from sits_engine.evaluation.photo_prompts import prompt_kinds
        from sits_engine.models.clip.prompts import class_vectors
        from sits_engine.samples.lucas import TASKS

        out = {}
        for asked, (name, (_, classes)) in zip(self.tasks, tasks.items(), strict=True):
            known = TASKS.get(asked)
            kinds, notes = prompt_kinds(
                classes,
                self.templates or (known.templates if known else "Generic"),
                self.class_table if known is None else None,
                known.described if known else None,
            )
            data.notes += notes
            for kind, prompts in kinds.items():
                out[name, kind] = class_vectors(clip, prompts)
        return out


def _photo_vectors(clip: ClipEncoder, places: Places, ctx: JobContext) -> npt.NDArray[np.float32]:
    """Vectors of the photos; those that can't be read leave `places`."""
    from sits_engine.models.clip import photo_vectors

    if places.photos is None or places.place is None:
        raise ValueError("no photos")
    images = photo_vectors(clip, places.photos.paths, ctx.part(0.3, 0.6, f"Photos on {ctx.device}"))
    for problem in images.problems[:10]:
        ctx.warn(problem)
    if len(images.problems) > 10:
        ctx.warn(f"{len(images.problems) - 10} more photos can't be read.")
    places.place = places.place[images.kept]
    return images.vectors


def _zero_shots(
    seen: Any, classes: dict[tuple[str, str], Any], tasks: dict[str, Any], steps: int
) -> list[Any]:
    from sits_engine.evaluation.photo_scores import zero_shot

    return [
        one
        for (task, kind), vectors in classes.items()
        for one in zero_shot(seen, vectors, tasks[task][0], task=task, steps=steps, prompts=kind)
    ]


def _counts(labels: Any, n: int) -> list[int]:
    import numpy as np

    return [int(count) for count in np.bincount(labels[labels >= 0], minlength=n)]
