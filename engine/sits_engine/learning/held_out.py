"""Scores of a trained model on samples that it has never seen, and the profiles of its classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sits_engine.learning import scores as scoring
from sits_engine.learning.calibration import fit_temperature, reliability, with_temperature
from sits_engine.learning.summary import SPLITS, ClassRow, Profiles, Reliability
from sits_engine.samples.classes import ClassInfo
from sits_engine.samples.pixel_sets import PixelSets

#: More date positions than this (series of many years) are put into bins of `BIN_DAYS` days.
MOST_POSITIONS = 120
BIN_DAYS = 8
#: Scores of fewer samples, or of samples of fewer classes, mean nothing: one parcel would give F1 = 1.
FEWEST_SAMPLES = 5
FEWEST_CLASSES = 2


@dataclass
class HeldOut:
    """Scores on the test side, and the calibration found on the validation side.

    Attributes:
        confusion: counts, however few they are.
        enough: whether the test side holds enough for scores; they are NaN otherwise.
    """

    confusion: npt.NDArray[np.int64]
    scores: dict[str, float]
    temperature: float
    before: Reliability
    after: Reliability
    enough: bool = True


def enough(labels: npt.NDArray[np.int64]) -> bool:
    """Whether samples with these classes say anything about a model."""
    return len(labels) >= FEWEST_SAMPLES and len(np.unique(labels)) >= FEWEST_CLASSES


def too_few(labels: npt.NDArray[np.int64], *, blocks: bool, unit: str = "parcels") -> str:
    """What to say where there aren't enough."""
    n, k = len(labels), len(np.unique(labels))
    held = f"{n} {unit if n != 1 else unit.removesuffix('s')} of {k} class{'es' if k != 1 else ''}"
    way = f"Label more {unit}" + (", or choose SPLIT = parcels." if blocks else ".")
    return (
        f"The test side holds {held}; at least {FEWEST_SAMPLES} of {FEWEST_CLASSES} classes are needed, "
        f"so no accuracy is given. {way}"
    )


def assess(
    validation: tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]],
    test: tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]],
    n_classes: int,
) -> HeldOut:
    """Calibrate on the validation side, score on the test side.

    Args:
        validation, test: (N, K) probabilities at temperature 1, and (N,) labels.
        n_classes: K.

    Returns:
        Scores: macro_f1, weighted_f1, accuracy, kappa, test_calibration_error (test side);
        calibration_error_before, calibration_error (validation side). NaN where a side doesn't hold
        `enough`; the temperature is 1 then, since a few right answers would ask for blind confidence.
    """
    nothing = np.zeros((0, n_classes), np.float32), np.zeros(0, np.int64)
    sufficient = enough(test[1])
    confusion = scoring.confusion_of(test[1], test[0].argmax(axis=1) if len(test[1]) else test[1], n_classes)
    validation = validation if enough(validation[1]) else nothing
    temperature = fit_temperature(*validation)
    probabilities, labels = test if sufficient else nothing
    after = reliability(with_temperature(probabilities, temperature), labels)
    scores = {
        "macro_f1": scoring.macro_f1(confusion),
        "weighted_f1": scoring.weighted_f1(confusion),
        "accuracy": scoring.accuracy(confusion),
        "kappa": scoring.kappa(confusion),
        "test_calibration_error": after.error,
        "calibration_error_before": reliability(*validation).error,
        "calibration_error": reliability(with_temperature(validation[0], temperature), validation[1]).error,
    }
    if not sufficient:
        scores |= dict.fromkeys(("macro_f1", "weighted_f1", "accuracy", "kappa"), float("nan"))
    return HeldOut(
        confusion=confusion,
        scores=scores,
        temperature=temperature,
        before=reliability(probabilities, labels),
        after=after,
        enough=sufficient,
    )


def class_rows(
    sets: PixelSets,
    side: npt.NDArray[np.int64],
    classes: list[ClassInfo],
    confusion: npt.NDArray[np.int64],
) -> list[ClassRow]:
    """The class table: counts on each side, and scores on the test side where it holds `enough`."""
    right = np.diag(confusion).astype(np.float64)
    support, claimed = confusion.sum(axis=1), confusion.sum(axis=0)
    precision, recall = right / np.maximum(claimed, 1), right / np.maximum(support, 1)
    f1 = scoring.class_f1(confusion)
    pixels = np.bincount(sets.labels, sets.n_pixels, len(classes)).astype(int)
    sufficient = enough(np.repeat(np.arange(len(classes)), support))
    rows = []
    for k, info in enumerate(classes):
        there = sufficient and support[k] > 0
        rows.append(
            ClassRow(
                name=info.name,
                color=info.color,
                codes=list(info.codes),
                parcels={
                    name: int(((sets.labels == k) & (side == s)).sum()) for s, name in enumerate(SPLITS)
                },
                pixels=int(pixels[k]),
                precision=float(precision[k]) if there else None,
                recall=float(recall[k]) if there else None,
                f1=float(f1[k]) if there else None,
            )
        )
    return rows


def class_profiles(sets: PixelSets, season_year: int) -> Profiles:
    """Mean and deviation over the sets of each class (of each set's own mean), date by date.

    Dates of series from many years are put into bins of `BIN_DAYS` days.
    """
    means, seen = sets.set_means()
    positions, column = date_columns(sets.positions)
    shape = (len(sets.classes), len(positions), len(sets.bands))
    count = np.zeros(shape[:2])
    total, squares = np.zeros(shape), np.zeros(shape)
    rows, dates = np.nonzero(seen & (sets.labels >= 0)[:, None])
    place = (sets.labels[rows], column[rows, dates])
    values = means[rows, dates].astype(np.float64)
    np.add.at(count, place, 1)
    np.add.at(total, place, values)
    np.add.at(squares, place, values**2)
    return profiles_of_sums(positions, sets.bands, count, total, squares, season_year)


def date_columns(
    positions: npt.NDArray[np.integer],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.intp]]:
    """(D,) dates of profiles, and for each of the given positions, of any shape, its number among them.

    Dates of series from many years are put into bins of `BIN_DAYS` days.
    """
    days = positions.astype(np.float64)
    if len(np.unique(days)) > MOST_POSITIONS:
        days = np.floor(days / BIN_DAYS) * BIN_DAYS + BIN_DAYS / 2
    found, column = np.unique(days, return_inverse=True)
    return found, column.reshape(days.shape)


def profiles_of_sums(
    positions: npt.NDArray[np.float64],
    bands: tuple[str, ...],
    count: npt.NDArray[np.float64],
    total: npt.NDArray[np.float64],
    squares: npt.NDArray[np.float64],
    season_year: int,
) -> Profiles:
    """Means and deviations; NaN where nothing was seen.

    Args:
        positions: (T,) dates.
        bands: C names.
        count: (K, T) weights.
        total, squares: (K, T, C) sums of the values and of their squares.
        season_year: the year that positions count from.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / count[..., None]
        std = np.sqrt(np.maximum(squares / count[..., None] - mean**2, 0))
    return Profiles(positions, bands, mean.astype(np.float32), std.astype(np.float32), season_year)
