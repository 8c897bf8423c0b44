"""Report on a photo model: zero-shot accuracy, recall, confusions; the same as a table."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sits_engine.evaluation.photo_prompts import KINDS
from sits_engine.evaluation.photo_scores import DIRECTIONS, Recall, ZeroShot, confusions, table_rows
from sits_engine.outputs import atomic
from sits_engine.report import words
from sits_engine.report.page import Column, Figure, Page, Section, Table, Tile, write_page
from sits_engine.report.plots.confusion import confusion_matrix
from sits_engine.report.plots.photo_scores import accuracy_dots, recall_curves
from sits_engine.samples.known_places import NEAR

#: Confusion matrices with more classes than this can't be read; the list of mistakes stays.
MOST_CLASSES = 30
#: Fewer places than this say little.
FEW = 30


@dataclass
class EvaluationData:
    """What was measured.

    Attributes:
        title: heading.
        model, clip: names.
        n_places, n_photos: scored.
        classes: task -> names.
        counts: task -> places of each class.
        zero_shot, recalls: scores.
        provenance, parameters: facts for the end of the page.
        notes, warnings: sentences.
        seen_before: how many of the places the model was trained on; None if its card doesn't say.
    """

    title: str
    model: str
    clip: str
    n_places: int
    n_photos: int
    classes: dict[str, tuple[str, ...]]
    counts: dict[str, list[int]]
    zero_shot: list[ZeroShot] = field(default_factory=list)
    recalls: list[Recall] = field(default_factory=list)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    seen_before: int | None = None

    def of(self, task: str, scoring: str = "raw") -> list[ZeroShot]:
        """Zero-shot scores of a task."""
        return [one for one in self.zero_shot if (one.task, one.scoring) == (task, scoring)]

    def main(self, task: str) -> ZeroShot:
        """12 steps, raw scores, class names: chosen before the scores are known."""
        return next(one for one in self.of(task) if (one.steps, one.prompts) == (12, "name"))

    def recall(self, what: str, direction: str, steps: int = 12) -> Recall | None:
        """Recall of a task or 'place'; None without photos."""
        found = (r for r in self.recalls if (r.what, r.direction, r.steps) == (what, direction, steps))
        return next(found, None)

    def headline(self) -> dict[str, Any]:
        """The few numbers that stand for all, of the first task."""
        first = self.main(next(iter(self.classes)))
        out: dict[str, Any] = {
            "n_places": self.n_places,
            "accuracy": first.accuracy,
            "mean_class_accuracy": first.mean_class,
            "chance": first.chance,
        }
        for direction in DIRECTIONS:
            for what, name in ((first.task, "recall_1"), ("place", "place_recall_1")):
                one = self.recall(what, direction)
                if one is not None:
                    out[f"{name}_{direction}"] = one.at[1]
        return out

    def as_json(self) -> dict[str, Any]:
        """The numbers of the page."""
        return {
            "title": self.title,
            "places": self.n_places,
            "places_seen_in_training": self.seen_before,
            "photos": self.n_photos,
            "classes": {
                task: dict(zip(names, self.counts[task], strict=True)) for task, names in self.classes.items()
            },
            "scores": table_rows(self.zero_shot, self.recalls),
            "confusion": {
                task: {f"{one.steps} {one.prompts}": one.confusion.tolist() for one in self.of(task)}
                for task in self.classes
            },
            "provenance": dict(self.provenance),
            "parameters": dict(self.parameters),
            "notes": self.notes,
            "warnings": self.warnings,
        }


def write_scores(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the long table as CSV, complete or not at all."""
    with atomic(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_evaluation(path: Path, data: EvaluationData) -> Path:
    """Write the report to `path` and its numbers beside it; returns the path of the numbers.

    Raises:
        EngineError: OUTPUT_NOT_WRITABLE.
    """
    return write_page(path, evaluation_page(data), data.as_json())


def evaluation_page(data: EvaluationData) -> Page:
    """The page: what it knows by words, what it finds, what it confuses."""
    first = next(iter(data.classes))
    main = data.main(first)
    tiles = [
        Tile(
            words.percent(main.accuracy),
            "zero-shot accuracy",
            f"{_title(first)}, 12 months, class names; chance {words.percent(main.chance)}",
        ),
        Tile(words.percent(main.mean_class), "mean of the classes", "every class counts the same"),
    ]
    for direction, title in DIRECTIONS.items():
        one = data.recall(first, direction)
        if one is not None:
            note = f"{title}; chance {words.percent(one.chance[1])}"
            tiles.append(Tile(words.percent(one.at[1]), "recall at 1, same class", note))
    sections = []
    for number, task in enumerate(data.classes):
        sections.append(_zero_shot_section(data, task, number))
        sections.append(_confusion_section(data, task, number))
    for number, what in enumerate([*data.classes, "place"]):
        if data.recall(what, "to_photos") is not None:
            sections.append(_recall_section(data, what, number))
    return Page(
        kind="Photo model",
        title=data.title,
        subtitle=f"{data.model} with the CLIP model {data.clip}",
        sentences=[
            *_verdict(main),
            f"Scored were {words.count(data.n_places)} places with {words.count(data.n_photos)} photos. A "
            "place counts for a task where its class is known. The model's answers used no label.",
            _seen_before(data),
        ],
        tiles=tiles,
        sections=sections,
        provenance={
            "Inputs": words.facts(data.provenance),
            "Parameters": words.facts(data.parameters),
            "Notes": {str(i): note for i, note in enumerate(data.notes, start=1)},
        },
        warnings=list(dict.fromkeys(data.warnings)),
    )


def _interval(one: ZeroShot) -> tuple[float, float]:
    """95 % interval of the accuracy, were places independent (near ones are not)."""
    return words.wilson(one.right, one.n)


def _verdict(main: ZeroShot) -> list[str]:
    low, high = _interval(main)
    against = (
        "above both"
        if low > max(main.chance, main.majority)
        else "above chance, but naming the most frequent class everywhere would be as good or better"
        if main.accuracy <= main.majority and low > main.chance
        else "above chance, and above the most frequent class by no more than its uncertainty"
        if low > main.chance
        else "not above chance by more than its uncertainty"
    )
    out = [
        f"From class names alone the model is right at {words.of_hundred(main.accuracy)} places. With so "
        f"many places ({words.count(main.n)}), chance alone lets that figure lie anywhere between "
        f"{100 * low:.0f} and {100 * high:.0f}. A blind guess would be at {words.of_hundred(main.chance)}, "
        f"the most frequent class at {words.of_hundred(main.majority)}: {against}."
    ]
    if main.n < FEW:
        out.append(f"So few places ({main.n}) say little: take these figures as a rough guide.")
    return out


def _seen_before(data: EvaluationData) -> str:
    worth = (
        "scores are only worth something on places that training didn't see, and not close to those it saw."
    )
    if data.seen_before is None:
        return f"The model's file doesn't say which places it was trained on: {worth}"
    known = words.count(data.seen_before) if data.seen_before else "None"
    lie = "lies" if data.seen_before == 1 else "lie"
    near = f"within about {NEAR:g} m of one that the model was trained on"
    return f"{known} of the places {lie} {near}: {worth}"


def _title(task: str) -> str:
    return task.replace("_", " ")


def _zero_shot_section(data: EvaluationData, task: str, number: int) -> Section:
    raw, other = data.of(task), data.of(task, "normalised")
    values: dict[str, dict[int, tuple[float, float, float]]] = {}
    for one in raw:
        values.setdefault(KINDS[one.prompts], {})[one.steps] = (one.accuracy, *_interval(one))
    rows = [
        [
            str(one.steps),
            KINDS[one.prompts],
            words.percent(one.accuracy, 1),
            words.percent(one.mean_class, 1),
            words.percent(two.accuracy, 1),
            words.percent(two.mean_class, 1),
        ]
        for one, two in zip(raw, other, strict=True)
    ]
    columns = [Column("Steps of the year"), Column("prompts")]
    columns += [
        Column(name, True)
        for name in ("raw", "raw, mean of classes", "normalised", "normalised, mean of classes")
    ]
    one = raw[0]
    return Section(
        f"Zero-shot: {_title(task)}, {len(data.classes[task])} classes",
        [
            Figure(
                accuracy_dots(f"accuracy-{number}", values, one.chance, one.majority),
                f"Zero-shot accuracy of {_title(task)} for 12, 4 and 1 steps and kinds of prompts.",
                "Bars: 95 % intervals (Wilson), were places independent; places near each other are not, "
                "so the truth is wider.",
            ),
            Table(
                columns,
                rows,
                f"{words.count(one.n)} places; chance {words.percent(one.chance, 1)}, most frequent class "
                f"{words.percent(one.majority, 1)}. Normalised scores divide each class by its mean over "
                "all these places: they need the whole set, so they are no score of a single place.",
            ),
        ],
    )


def _confusion_section(data: EvaluationData, task: str, number: int) -> Section:
    main, names = data.main(task), data.classes[task]
    items: list[Figure | Table] = []
    if len(names) <= MOST_CLASSES:
        items.append(
            Figure(
                confusion_matrix(
                    f"confusion-{number}", main.confusion, names, "true class", "class named by the model"
                ),
                f"Confusion matrix of {_title(task)}.",
            )
        )
    rows = [
        [true, said, words.count(count), words.percent(share)]
        for true, said, count, share in confusions(main, names)
    ]
    columns = [
        Column("True class"),
        Column("taken for"),
        Column("places", True),
        Column("of its class", True),
    ]
    if rows:
        items.append(Table(columns, rows, "The most frequent mistakes."))
    return Section(
        f"Confusions: {_title(task)}", items, ["12 months, class names, raw scores."] if items else []
    )


def _recall_section(data: EvaluationData, what: str, number: int) -> Section:
    panels, rows, n = [], [], 0
    for direction, title in DIRECTIONS.items():
        found = {r.steps: r for r in data.recalls if (r.what, r.direction) == (what, direction)}
        chance = next(iter(found.values())).chance
        panels.append((title, {steps: one.at for steps, one in found.items()}, chance))
        for steps, one in found.items():
            n = one.n
            rows.append([title, str(steps), *(words.percent(value, 1) for value in one.at.values())])
        rows.append([title, "chance", *(words.percent(value, 1) for value in chance.values())])
    ks = list(chance)
    own = what == "place"
    name = "the own place" if own else f"a place of the same class ({_title(what)})"
    return Section(
        "Recall: own place" if own else f"Recall: same class, {_title(what)}",
        [
            Figure(
                recall_curves(f"recall-{number}", panels),
                f"Recall at 1, 5 and 10 in both directions: {name} among the answers.",
                f"Share of queries with {name} among their first answers.",
            ),
            Table(
                [Column("Direction"), Column("steps"), *(Column(f"R@{k}", True) for k in ks)],
                rows,
                f"{words.count(n)} queries and as many answers to choose from. The photos of a place are one "
                "answer (their mean). The query's own place stays among the answers"
                + ("." if own else ", and counts as a hit: it has the same class."),
            ),
        ],
    )
