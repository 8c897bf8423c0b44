"""What training on photos leaves for people: plain data of its report and its numbers."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sits_engine.learning.timesenclip.scores import Retrieval

#: Names of the sides of the split.
SIDES = ("training", "validation", "test")


@dataclass
class PhotoEpochRow:
    """One epoch.

    Attributes:
        epoch: from 1.
        learning_rate: of its last step.
        loss: mean of its steps.
        scale: what cosines are multiplied by, at its end.
        recall_1, recall_5, reciprocal: of validation places, mean of both directions; None without them.
    """

    epoch: int
    learning_rate: float
    loss: float
    scale: float
    recall_1: float | None = None
    recall_5: float | None = None
    reciprocal: float | None = None


@dataclass
class PhotoReportData:
    """All that the report of a photo model shows; `as_json` gives the numbers file beside it.

    Attributes:
        title: heading.
        provenance, parameters: words and numbers about inputs, and every parameter with the value used.
        epochs: curve.
        best_epoch: whose weights were kept.
        xy: (N, 2) longitude, latitude of the places.
        side: (N,) index into `SIDES`.
        split_kind: 'blocks', 'places' or 'none'.
        block_size: metres, or None.
        photos_per_place: (N,) photos that were used.
        months: (12,) share of the places that were clear in each month.
        masking: what was hidden in training, a sentence.
        steps: months, quarters and year -> retrieval among the test places.
        n_bands, context: of the network.
        n_parameters: of the network.
        scale: what cosines are multiplied by.
        clip: name of the CLIP model.
        seconds: of the training.
        samples_per_second: places a second in training.
        notes: what was left out.
        warnings: what the reader must know.
    """

    title: str
    provenance: dict[str, Any]
    parameters: dict[str, Any]
    epochs: list[PhotoEpochRow]
    best_epoch: int
    xy: npt.NDArray[np.float64]
    side: npt.NDArray[np.int64]
    split_kind: str
    block_size: float | None
    photos_per_place: npt.NDArray[np.int64]
    months: npt.NDArray[np.float64]
    masking: str
    steps: dict[int, Retrieval]
    n_bands: int
    context: int
    n_parameters: int
    scale: float
    clip: str
    seconds: float
    samples_per_second: float
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def counts(self) -> tuple[int, int, int]:
        """Places of each side."""
        one, two, three = (int((self.side == i).sum()) for i in range(3))
        return one, two, three

    @property
    def scores(self) -> dict[str, float]:
        """Of the test places: recall at 1, 5 and 10 with all months, mean of both directions; NaN without."""
        found = self.steps.get(12)
        recall = found.recall if found else (float("nan"),) * 3
        return {
            "recall_1": recall[0],
            "recall_5": recall[1],
            "recall_10": recall[2],
            "reciprocal_rank": found.reciprocal if found else float("nan"),
        }

    def as_json(self) -> dict[str, Any]:
        """Numbers as the file beside the report has them."""
        left_out = ("xy", "side", "photos_per_place", "steps", "months")
        plain = {name: value for name, value in asdict(self).items() if name not in left_out}
        found, places = np.unique(self.photos_per_place, return_counts=True)
        return {
            **plain,
            "places": dict(zip(SIDES, self.counts, strict=True)),
            "photos_per_place": {str(n): int(count) for n, count in zip(found, places, strict=True)},
            "months_clear": [round(float(share), 4) for share in self.months],
            "retrieval": {
                str(steps): {**asdict(one), "recall": one.recall} for steps, one in self.steps.items()
            },
            "scores": self.scores,
        }
