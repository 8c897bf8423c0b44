"""Scores and calibration of a trained network on the sides that it has not seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from torch import nn

from sits_engine.device import Device
from sits_engine.learning.calibration import fit_temperature, reliability, with_temperature
from sits_engine.learning.held_out import enough
from sits_engine.learning.segmentation.inference import probabilities
from sits_engine.learning.segmentation.scores import Tally
from sits_engine.learning.segmentation.sides import Sides
from sits_engine.learning.summary import Reliability
from sits_engine.models.card import ModelCard

Progress = Callable[[float], None]
#: Pixels of a side that calibration looks at; an equal share of each window.
CALIBRATION_PIXELS = 50_000


@dataclass
class SideResult:
    """One side: counts of all its pixels, a sample of its probabilities, and maps of some windows."""

    tally: Tally
    sample: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    maps: dict[int, npt.NDArray[np.int16]] = field(default_factory=dict)


def judge(
    module: nn.Module,
    card: ModelCard,
    sides: Sides,
    number: int,
    device: Device,
    progress: Progress = lambda share: None,
    *,
    keep: npt.NDArray[np.integer] | None = None,
    seed: int = 0,
) -> SideResult:
    """Map all windows of a side and count.

    Args:
        module, card: the network; the card's temperature is that of the sample.
        sides, number: which pixels.
        device, progress: as in `inference.probabilities`.
        keep: windows whose map is kept.
        seed: of the sample.
    """
    windows, k = sides.windows, len(card.classes)
    counted = (sides.side == number) & (windows.labels >= 0)
    usable = np.flatnonzero(counted.any(axis=(1, 2)))
    rng = np.random.default_rng(seed)
    share = max(1, CALIBRATION_PIXELS // max(1, len(usable)))
    tally = Tally(k)
    kept: dict[int, npt.NDArray[np.int16]] = {}
    parts, labels = [np.zeros((0, k), np.float32)], [np.zeros(0, np.int64)]
    for i, found in probabilities(module, card, windows, device, progress, usable):
        classes = found.argmax(axis=0).astype(np.int16)
        tally.add(windows.labels[i][None], classes[None], counted[i][None])
        pixels = np.flatnonzero(counted[i])
        if len(pixels) > share:
            pixels = rng.choice(pixels, share, replace=False)
        parts.append(found.reshape(k, -1)[:, pixels].T)
        labels.append(windows.labels[i].reshape(-1)[pixels].astype(np.int64))
        if keep is not None and i in keep:
            kept[i] = classes
    return SideResult(tally, np.concatenate(parts), np.concatenate(labels), kept)


@dataclass
class Judged:
    """What is known of the model after validation and test; scores are NaN where too little is held out."""

    test: SideResult
    temperature: float
    scores: dict[str, float]
    before: Reliability
    after: Reliability
    enough: bool


def calibrate_and_score(validation: SideResult, test: SideResult) -> Judged:
    """Temperature from the validation side, scores from the test side.

    Both results must come from temperature 1.
    """
    k = test.tally.n_classes
    nothing = np.zeros((0, k), np.float32), np.zeros(0, np.int64)
    held = (validation.sample, validation.labels) if enough(validation.labels) else nothing
    temperature = fit_temperature(*held)
    sufficient = enough(test.labels)
    sample, labels = (test.sample, test.labels) if sufficient else nothing
    after = reliability(with_temperature(sample, temperature), labels)
    scores = test.tally.as_scores()
    if not sufficient:
        scores = dict.fromkeys(scores, float("nan"))
    scores |= {
        "test_calibration_error": after.error,
        "calibration_error_before": reliability(*held).error,
        "calibration_error": reliability(with_temperature(held[0], temperature), held[1]).error,
    }
    return Judged(test, temperature, scores, reliability(sample, labels), after, sufficient)
