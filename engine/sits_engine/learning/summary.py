"""What a training run leaves for people: the data of its report and of the numbers beside it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

SPLITS = ("train", "validation", "test")


def unit_of(provenance: dict[str, Any]) -> str:
    """What the sets of a run are called: 'parcels', or 'samples' where labelled series are among them."""
    return "samples" if provenance.get("labelled_series") else "parcels"


@dataclass
class ClassRow:
    """One class: how much of it there was, and how well it was found on the test blocks.

    Attributes:
        name: class name.
        color: '#rrggbb'.
        codes: values of the label field that mean it.
        parcels: number of parcels by split name (`SPLITS`).
        pixels: number of pixels in all its parcels together.
        precision, recall, f1: on the test blocks; None where the class isn't there.
    """

    name: str
    color: str
    codes: list[str]
    parcels: dict[str, int]
    pixels: int
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None


@dataclass
class EpochRow:
    """One epoch. `validation_*` is measured on the validation blocks in evaluation mode."""

    epoch: int
    learning_rate: float
    train_loss: float
    validation_loss: float
    validation_macro_f1: float
    validation_accuracy: float


@dataclass
class Reliability:
    """Calibration: mean confidence and share of right answers in equal bins of confidence.

    Attributes:
        edges: (bins + 1,) confidence limits, 0 to 1.
        counts: (bins,) samples in each bin.
        confidence, accuracy: (bins,) means; NaN in empty bins.
        error: expected calibration error, sum over bins of share * |accuracy - confidence|; NaN without
            samples.
    """

    edges: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float64]
    accuracy: npt.NDArray[np.float64]
    error: float

    def as_json(self) -> dict[str, Any]:
        """Plain numbers; empty bins become None."""
        return {
            "edges": self.edges.round(6).tolist(),
            "counts": self.counts.tolist(),
            "confidence": [None if np.isnan(v) else round(float(v), 6) for v in self.confidence],
            "accuracy": [None if np.isnan(v) else round(float(v), 6) for v in self.accuracy],
            "error": None if np.isnan(self.error) else round(self.error, 6),
        }


@dataclass
class FastScores:
    """What the fast network gives up against its teacher, on single pixels that neither learned from.

    Attributes:
        pixels: how many were compared.
        agreement: share of them to which both give the same class; None without pixels.
        temperature: probabilities of the fast network are softmax(logits / temperature).
        macro_f1, accuracy, teacher_macro_f1, teacher_accuracy: None without enough labels.
        f1, teacher_f1: (K,) of each class; None where it can't be known.
    """

    pixels: int
    agreement: float | None
    temperature: float
    macro_f1: float | None = None
    accuracy: float | None = None
    teacher_macro_f1: float | None = None
    teacher_accuracy: float | None = None
    f1: list[float | None] = field(default_factory=list)
    teacher_f1: list[float | None] = field(default_factory=list)

    @property
    def on_card(self) -> dict[str, float | int]:
        """The figures that the model's card keeps; unknown ones are left out."""
        kept = {k: v for k, v in asdict(self).items() if not isinstance(v, list) and k != "temperature"}
        return {name: value for name, value in kept.items() if value is not None}


@dataclass
class Profiles:
    """Mean series of each class over its valid pixels, training parcels only.

    Attributes:
        positions: (T,) days since 1 January of the season year.
        bands: C names.
        mean, std: (K, T, C) physical units; NaN where a class was never seen on a date.
        season_year: the year that positions count from (that of the first region).
    """

    positions: npt.NDArray[np.float64]
    bands: tuple[str, ...]
    mean: npt.NDArray[np.float32]
    std: npt.NDArray[np.float32]
    season_year: int

    def as_json(self, digits: int = 5) -> dict[str, Any]:
        """Nested lists, None for NaN."""

        def plain(array: npt.NDArray[np.float32]) -> Any:
            rounded = np.round(array.astype(np.float64), digits)
            out = rounded.astype(object)
            out[np.isnan(rounded)] = None
            return out.tolist()

        return {
            "positions": self.positions.tolist(),
            "bands": list(self.bands),
            "mean": plain(self.mean),
            "std": plain(self.std),
            "season_year": self.season_year,
        }


@dataclass
class TrainingReportData:
    """All that the training report shows; `as_json` gives the numbers file beside it.

    Attributes:
        title: heading of the report.
        provenance: words and numbers about the inputs: series, parcels, dates, counts, seed, versions.
        parameters: every parameter of the run with the value used.
        classes: one row a class, in the order of the model.
        epochs: training curve.
        best_epoch: the epoch whose weights were kept.
        confusion: (K, K) counts on the test blocks, rows = reference, columns = predicted.
        scores: macro_f1, weighted_f1, accuracy, kappa on the test blocks; calibration_error and
            calibration_error_before on the validation blocks, `test_calibration_error` on the test blocks;
            NaN where too few samples were there to measure it.
        temperature: probabilities are softmax(logits / temperature).
        reliability_before, reliability_after: on the test blocks, without and with the temperature.
        profiles: mean series of each class.
        xy: (N, 2) longitude, latitude of the parcels; NaN rows have no place.
        split: (N,) index into `SPLITS`.
        labels: (N,) class of each parcel.
        split_kind: 'blocks' or 'parcels' (a random split).
        block_size: metres, None where blocks weren't used.
        predicted: (N,) class that the model gives to the test parcels, -1 for all others; None: unknown.
        notes: sentences on what was dropped or repaired, with counts.
        warnings: what the user must know.
        fast: of the fast network, None where there is none.
    """

    title: str
    provenance: dict[str, Any]
    parameters: dict[str, Any]
    classes: list[ClassRow]
    epochs: list[EpochRow]
    best_epoch: int
    confusion: npt.NDArray[np.int64]
    scores: dict[str, float]
    temperature: float
    reliability_before: Reliability
    reliability_after: Reliability
    profiles: Profiles
    xy: npt.NDArray[np.float64]
    split: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    split_kind: str
    block_size: float | None
    predicted: npt.NDArray[np.int64] | None = None
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    fast: FastScores | None = None

    @property
    def right(self) -> npt.NDArray[np.bool_] | None:
        """(N,) whether the model gives the right class; of meaning for the test parcels only."""
        return None if self.predicted is None else self.predicted == self.labels

    def as_json(self) -> dict[str, Any]:
        """JSON-serialisable numbers of the report."""
        return {
            "title": self.title,
            "scores": {n: None if np.isnan(v) else round(v, 6) for n, v in self.scores.items()},
            "temperature": self.temperature,
            "classes": [vars(row) for row in self.classes],
            "confusion": {"rows": "reference", "columns": "predicted", "counts": self.confusion.tolist()},
            "epochs": [vars(row) for row in self.epochs],
            "best_epoch": self.best_epoch,
            "reliability": {
                "before": self.reliability_before.as_json(),
                "after": self.reliability_after.as_json(),
            },
            "profiles": self.profiles.as_json(),
            "split": {
                "kind": self.split_kind,
                "block_size": self.block_size,
                "parcels": {name: int((self.split == i).sum()) for i, name in enumerate(SPLITS)},
            },
            "provenance": self.provenance,
            "parameters": self.parameters,
            "notes": self.notes,
            "warnings": self.warnings,
            "fast": None if self.fast is None else asdict(self.fast),
        }
