"""How well a photo model knows classes by their words, and finds photos and places of the same class.

Specification sections 6 and 7. The main number is the raw accuracy; the normalised one divides each class by
its mean over the whole set (transductive, pitfalls 5.12). Retrieval counts a hit where one of the first k has
the class of the query (or is its own place); the query's own place stays in the gallery.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from sits_engine.learning.scores import confusion_of
from sits_engine.learning.timesenclip.scores import retrieval
from sits_engine.learning.zeroshot import normalised
from sits_engine.retrieval.recall import chance_at, nearest, recall_at

KS = (1, 5, 10)
Scoring = Literal["raw", "normalised"]
#: Direction -> (query, gallery) for people.
DIRECTIONS = {"to_photos": "satellite to photos", "to_images": "photos to satellite"}


@dataclass(frozen=True)
class ZeroShot:
    """Zero-shot classification of one task in one way.

    Attributes:
        task: its name.
        steps: 12, 4 or 1 steps of the year.
        prompts: kind of prompts.
        scoring: raw or normalised.
        n: places.
        accuracy: share of places whose class has the highest score.
        mean_class: mean over the classes of the share of their places that is right.
        chance: accuracy of a blind guess among the classes, 1 / K.
        majority: accuracy of naming the most frequent class everywhere.
        confusion: (K, K) counts, rows true.
    """

    task: str
    steps: int
    prompts: str
    scoring: Scoring
    n: int
    accuracy: float
    mean_class: float
    chance: float
    majority: float
    confusion: npt.NDArray[np.int64] = field(repr=False)

    @property
    def right(self) -> int:
        """Places whose class has the highest score."""
        return int(np.trace(self.confusion))


@dataclass(frozen=True)
class Recall:
    """Recall at k of one direction.

    Attributes:
        what: task whose class must agree, or 'place': the own place.
        steps: 12, 4 or 1.
        direction: key of `DIRECTIONS`.
        n: queries = places in the gallery.
        at: k -> share of queries.
        chance: k -> the same of a blind draw.
    """

    what: str
    steps: int
    direction: str
    n: int
    at: dict[int, float]
    chance: dict[int, float]


def zero_shot(
    images: npt.NDArray[np.float32],
    classes: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64],
    *,
    task: str,
    steps: int,
    prompts: str,
) -> list[ZeroShot]:
    """Raw and normalised scores of the places that have a label.

    Args:
        images: (N, dim) unit vectors of places.
        classes: (K, dim) unit vectors of classes.
        labels: (N,) 0..K-1, -1 unknown.
        task, steps, prompts: to write down.

    Raises:
        ValueError: no place has a label.
    """
    known = labels >= 0
    if not known.any():
        raise ValueError("no place has a label")
    cosines, truth = images[known] @ classes.T, labels[known]
    n_classes = len(classes)
    counts = np.bincount(truth, minlength=n_classes)
    out = []
    scoring: Scoring
    for scoring in ("raw", "normalised"):
        values = cosines if scoring == "raw" else normalised(cosines)
        said = values.argmax(axis=1).astype(np.int64)
        confusion = confusion_of(truth, said, n_classes)
        present = counts > 0
        out.append(
            ZeroShot(
                task=task,
                steps=steps,
                prompts=prompts,
                scoring=scoring,
                n=len(truth),
                accuracy=float((said == truth).mean()),
                mean_class=float((np.diag(confusion)[present] / counts[present]).mean()),
                chance=1 / n_classes,
                majority=float(counts.max() / counts.sum()),
                confusion=confusion,
            )
        )
    return out


def recalls(
    images: npt.NDArray[np.float32],
    photos: npt.NDArray[np.float32],
    tasks: dict[str, npt.NDArray[np.int64]],
    steps: int,
    ks: Sequence[int] = KS,
) -> list[Recall]:
    """Recall in both directions: of each task among its labelled places, and of the own place among all.

    Args:
        images: (N, dim) unit vectors of places.
        photos: (N, dim) unit means of the photos of the same places.
        tasks: name -> (N,) labels, -1 unknown.
        steps: to write down.
        ks: how many answers count.
    """
    out = []
    for task, labels in tasks.items():
        known = labels >= 0
        marks = labels[known]
        sides = {"to_photos": (images[known], photos[known]), "to_images": (photos[known], images[known])}
        for direction, (queries, gallery) in sides.items():
            found = nearest(queries, gallery, max(ks))
            at, chance = recall_at(found, marks, marks, ks), chance_at(marks, marks, ks)
            out.append(Recall(task, steps, direction, len(marks), at, chance))
    own = retrieval(images, photos)
    chance = {k: min(1.0, k / len(images)) for k in (1, 5, 10)}
    for direction, shares in (("to_photos", own.to_photos), ("to_images", own.to_images)):
        at = dict(zip((1, 5, 10), shares, strict=True))
        out.append(Recall("place", steps, direction, len(images), at, chance))
    return out


def confusions(result: ZeroShot, names: Sequence[str], most: int = 10) -> list[tuple[str, str, int, float]]:
    """(true class, class said, places, share of the true class) of the most frequent mistakes."""
    wrong = result.confusion.copy()
    total = wrong.sum(axis=1)
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    pairs = [(int(i), int(j)) for i, j in zip(*np.unravel_index(order, wrong.shape), strict=True)]
    return [
        (names[i], names[j], int(wrong[i, j]), float(wrong[i, j] / total[i])) for i, j in pairs if wrong[i, j]
    ]


def pooled(vectors: npt.NDArray[np.float32], place: npt.NDArray[np.int64], n: int) -> npt.NDArray[np.float32]:
    """(n, dim) unit means of the photos of each place; zeros where it has none."""
    sums = np.zeros((n, vectors.shape[1]), np.float64)
    np.add.at(sums, place, vectors)
    return np.asarray(sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12), np.float32)


def table_rows(zero_shots: Sequence[ZeroShot], found: Sequence[Recall]) -> list[dict[str, Any]]:
    """All scores as rows of one long table: a number a row, chance beside it."""
    rows: list[dict[str, Any]] = []
    for one in zero_shots:
        for measure, value in (("accuracy", one.accuracy), ("mean_class_accuracy", one.mean_class)):
            rows.append(
                {
                    "measure": measure,
                    "task": one.task,
                    "steps": one.steps,
                    "prompts": one.prompts,
                    "scoring": one.scoring,
                    "direction": "",
                    "k": "",
                    "value": round(value, 6),
                    "chance": round(one.chance, 6),
                    "majority": round(one.majority, 6) if measure == "accuracy" else "",
                    "n": one.n,
                }
            )
    for each in found:
        for k, value in each.at.items():
            rows.append(
                {
                    "measure": "recall",
                    "task": each.what,
                    "steps": each.steps,
                    "prompts": "",
                    "scoring": "",
                    "direction": each.direction,
                    "k": k,
                    "value": round(value, 6),
                    "chance": round(each.chance[k], 6),
                    "majority": "",
                    "n": each.n,
                }
            )
    return rows
