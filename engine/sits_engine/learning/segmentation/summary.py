"""What training a segmentation model leaves for people: plain data of its report and its numbers."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sits_engine.learning.summary import SPLITS, Profiles, Reliability


@dataclass
class PretrainRow:
    """One epoch of CSCL. `validation_*`, `positive` and `negative` are measured on the validation side.

    Attributes:
        epoch: from 1.
        learning_rate: of its last step.
        train_loss, validation_loss: CSCL, at best -1.
        positive, negative: mean similarity of neighbours of the same class, and of different classes.
    """

    epoch: int
    learning_rate: float
    train_loss: float
    validation_loss: float
    positive: float
    negative: float


@dataclass
class SegmentEpochRow:
    """One epoch of fine-tuning, as `PretrainRow`; `validation_*` from crops of the validation side."""

    epoch: int
    learning_rate: float
    train_loss: float
    validation_loss: float
    validation_miou: float
    validation_accuracy: float


@dataclass
class SegmentClassRow:
    """One class.

    Attributes:
        name, color, codes: as in the model card.
        parcels: number of parcels, of all sides together; with label rasters of connected patches, those of
            each window counted anew.
        pixels: known pixels by side (names of `SPLITS`).
        iou, precision, recall, f1: on the test side; None where the class isn't there.
    """

    name: str
    color: str
    codes: list[str]
    parcels: int
    pixels: dict[str, int]
    iou: float | None = None
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None


@dataclass
class ZoneRow:
    """Scores of one set of test pixels: 'all', 'boundary' or 'interior'; NaN without pixels."""

    zone: str
    pixels: int
    accuracy: float
    miou: float
    macro_f1: float


@dataclass
class BorderRow:
    """How well borders between classes are found, within `distance` pixels of the label grid.

    `found` and `true`: border pixels of the map and of the truth.
    """

    distance: int
    precision: float
    recall: float
    f1: float
    found: int = 0
    true: int = 0


@dataclass
class Example:
    """One window of the test side as pictures, all on the label grid except the image.

    Attributes:
        title: place in words, e.g. 'row 480, column 960'.
        picture: (H, W, 3) uint8, the image of one clear date.
        picture_words: date and bands of it.
        truth: (H * s, W * s) class, -1 unknown.
        found: (H * s, W * s) class of the map.
        similarity: (H * s, W * s) mean cosine with the eight neighbours.
    """

    title: str
    picture: npt.NDArray[np.uint8]
    picture_words: str
    truth: npt.NDArray[np.int16]
    found: npt.NDArray[np.int16]
    similarity: npt.NDArray[np.float32]


@dataclass
class SegmentationReportData:
    """All that the report on a segmentation model shows; `as_json` gives the numbers file beside it.

    Attributes:
        title: heading.
        provenance: words and numbers about the inputs.
        parameters: every parameter of the run with the value used.
        classes: in the order of the model.
        pretraining: curve of CSCL; empty without.
        epochs: curve of fine-tuning.
        best_epoch: whose weights were kept.
        confusion: (K, K) known test pixels, rows = reference, columns = predicted.
        scores: by name, on the test side (`scores.Tally.as_scores`), and calibration_error,
            calibration_error_before, test_calibration_error; NaN where it can't be measured.
        zones: test pixels at and away from borders; 'all' first.
        borders: boundary scores by distance.
        temperature: probabilities are softmax(logits / temperature).
        reliability_before, reliability_after: of test pixels, without and with the temperature.
        examples: up to four windows.
        similarity_of: what the similarity maps compare, in words.
        xy: (M, 2) longitude, latitude of the centres of windows (or of their tiles), NaN without place.
        split: (M,) index into `SPLITS`.
        split_kind: 'blocks', 'windows', 'tiles' (parts of windows), 'regions' or 'folds'.
        block_size: metres, None where blocks weren't used.
        scale: pixels of the labels along one of the images.
        pixel_size: metres of a pixel of the labels, None where unknown.
        profiles: mean series of each class over the pixels for training.
        notes, warnings: sentences.
    """

    title: str
    provenance: dict[str, Any]
    parameters: dict[str, Any]
    classes: list[SegmentClassRow]
    pretraining: list[PretrainRow]
    epochs: list[SegmentEpochRow]
    best_epoch: int
    confusion: npt.NDArray[np.int64]
    scores: dict[str, float]
    zones: list[ZoneRow]
    borders: list[BorderRow]
    temperature: float
    reliability_before: Reliability
    reliability_after: Reliability
    examples: list[Example]
    similarity_of: str
    xy: npt.NDArray[np.float64]
    split: npt.NDArray[np.int64]
    split_kind: str
    block_size: float | None
    scale: int
    pixel_size: float | None = None
    profiles: Profiles | None = None
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """JSON-serialisable numbers of the report; pictures stay out, NaN becomes None."""
        return {
            "title": self.title,
            "scores": _plain(self.scores),
            "temperature": self.temperature,
            "classes": [_plain(asdict(row)) for row in self.classes],
            "confusion": {"rows": "reference", "columns": "predicted", "counts": self.confusion.tolist()},
            "zones": [_plain(asdict(row)) for row in self.zones],
            "borders": [_plain(asdict(row)) for row in self.borders],
            "pretraining": [_plain(asdict(row)) for row in self.pretraining],
            "epochs": [_plain(asdict(row)) for row in self.epochs],
            "best_epoch": self.best_epoch,
            "reliability": {
                "before": self.reliability_before.as_json(),
                "after": self.reliability_after.as_json(),
            },
            "split": {
                "kind": self.split_kind,
                "block_size": self.block_size,
                "places": {name: int((self.split == i).sum()) for i, name in enumerate(SPLITS)},
            },
            "profiles": None if self.profiles is None else self.profiles.as_json(),
            "scale": self.scale,
            "pixel_size": self.pixel_size,
            "provenance": self.provenance,
            "parameters": self.parameters,
            "notes": self.notes,
            "warnings": self.warnings,
        }


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Floats rounded, NaN as None."""
    return {
        name: (None if np.isnan(value) else round(value, 6)) if isinstance(value, float) else value
        for name, value in values.items()
    }
