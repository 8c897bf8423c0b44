"""Is the adapted model likely better in the target? Judged from what can be seen without labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sits_engine.learning.adaptation.options import METHODS, Method
from sits_engine.learning.adaptation.summary import AdaptEpoch, Reason, ShiftCurves, Verdict, Word
from sits_engine.samples.pixel_sets import PixelSets

Floats = npt.NDArray[np.float32]


def measures_of(
    target: PixelSets, curves: ShiftCurves, shift: int, before: Floats, shifted: Floats, after: Floats
) -> dict[str, float]:
    """Label-free numbers.

    Args:
        target: sets; labels are not looked at.
        curves, shift: what was estimated, and what was used.
        before, shifted, after: (N, K) probabilities of the source model, of the source model with the shift,
            and of the adapted one.

    Returns:
        gain_shift: inception score at the shift minus that without, source model, nats.
        spread: days between the 5 % and 95 % quantile of the resampled shifts.
        inception_before, _shifted, _after: inception scores of the answers.
        confidence_before, _after: mean highest probability.
        explained_before, _shifted, _after: share of the variance of the target's series between the
            classes that the answers make of it.
        changed: share of the sets whose class changed.
        lost: largest share of a class (by the source model with the shift) that the adapted model no longer
            finds at all; 0 if it finds all.
    """
    series = _series(target)
    at = {int(day): i for i, day in enumerate(curves.shifts)}
    inception = curves.scores["IS"]
    low, high = curves.interval
    shares, new = (np.bincount(p.argmax(1), minlength=p.shape[1]) / len(p) for p in (shifted, after))
    lost = shares * (new < 0.1 * shares)
    out = {
        "gain_shift": float(inception[at[shift]] - inception[at[0]]) if shift in at else float("nan"),
        "spread": float(high - low),
        "changed": float((before.argmax(1) != after.argmax(1)).mean()),
        "lost": float(lost.max(initial=0)),
    }
    for name, p in (("before", before), ("shifted", shifted), ("after", after)):
        out[f"inception_{name}"] = inception_of(p)
        out[f"confidence_{name}"] = float(p.max(1).mean())
        out[f"explained_{name}"] = explained(series, p.argmax(1))
    return out


def inception_of(p: Floats) -> float:
    """Mean over the sets of KL(p || mean p), nats: sure of each set, and of many classes."""
    p = p.astype(np.float64)
    mean = p.mean(0)
    return float((p * (np.log(p + 1e-5) - np.log(mean + 1e-5))).sum(1).mean())


def explained(series: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> float:
    """Share of the variance of (N, F) series that lies between groups of the same label."""
    total = float(np.square(series - series.mean(0)).sum())
    if total <= 0:
        return 0.0
    between = 0.0
    for k in np.unique(labels):
        group = series[labels == k]
        between += len(group) * float(np.square(group.mean(0) - series.mean(0)).sum())
    return between / total


def _series(target: PixelSets, step: int = 10) -> npt.NDArray[np.float64]:
    """(N, F) mean series of the sets on common days, every band with the same weight."""
    means, seen = target.set_means()
    days = np.arange(target.positions.min(), target.positions.max() + 1, step)
    out = np.zeros((len(target), len(days), means.shape[2]))
    for i in range(len(target)):
        there = seen[i]
        if there.any():
            for c in range(means.shape[2]):
                out[i, :, c] = np.interp(days, target.positions[i, there], means[i, there, c])
    scale = out.std(axis=(0, 1), keepdims=True)
    return np.asarray((out / np.where(scale > 0, scale, 1)).reshape(len(target), -1))


def judge(
    target: PixelSets,
    method: Method,
    curves: ShiftCurves,
    shift: int,
    before: Floats,
    shifted: Floats,
    after: Floats,
    rows: Sequence[AdaptEpoch],
) -> Verdict:
    """The verdict; arguments as `measures_of`, and the epochs."""
    found = measures_of(target, curves, shift, before, shifted, after)
    reasons = _reasons(method, curves, shift, found, rows)
    balance = sum(reason.speaks for reason in reasons)
    word: Word = "unclear"
    if found["changed"] < 0.03:
        word = "same"
    elif balance >= 2:
        word = "better"
    elif balance <= -1:
        word = "worse"
    return Verdict(word, _headline(word, method, found), reasons, found)


def _reasons(
    method: Method, curves: ShiftCurves, shift: int, found: dict[str, float], rows: Sequence[AdaptEpoch]
) -> list[Reason]:
    reasons = []
    if method in ("timematch", "shift"):
        clear = found["gain_shift"] > 0.05 and abs(shift) > max(3.0, found["spread"])
        text = (
            f"The source model is clearly surer and more varied when the dates are moved by {shift:+d} days "
            f"(inception score {found['gain_shift']:+.2f})."
            if clear
            else "Moving the dates makes the source model hardly surer: there may be no shift to correct."
        )
        reasons.append(Reason(1 if clear else -1, text))
    for name, words in (
        ("explained", "Crops as the adapted model names them separate the series of the target"),
        ("inception", "The adapted model's answers are, over the region, surer and more varied"),
    ):
        gain = found[f"{name}_after"] - found[f"{name}_before"]
        speaks = 1 if gain > 0.02 else -1 if gain < -0.02 else 0
        tail = {1: "better than before", -1: "less well than before", 0: "about as well as before"}[speaks]
        reasons.append(Reason(speaks, f"{words}: {tail} ({gain:+.2f})."))
    if found["lost"] > 0.02:
        reasons.append(
            Reason(
                -1,
                f"A class with {found['lost']:.0%} of the samples is no longer found by the adapted model.",
            )
        )
    return reasons


def _headline(word: Word, method: Method, found: dict[str, float]) -> str:
    name, changed = METHODS[method], f"{found['changed']:.0%} of the samples changed class"
    return {
        "better": f"{name} likely improved the model for this region ({changed}).",
        "same": f"{name} left the model as it was for this region ({changed}): use the source model.",
        "worse": f"{name} likely made the model worse for this region ({changed}): use the source model.",
        "unclear": f"Whether {name} improved the model can't be told without labels ({changed}).",
    }[word]
