"""Is the adapted model likely better in the target? Judged from what can be seen without labels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sits_engine.learning.adaptation.options import METHODS, SHIFTING, Method
from sits_engine.learning.adaptation.summary import Reason, ShiftCurves, Verdict, Word
from sits_engine.samples.pixel_sets import PixelSets

Floats = npt.NDArray[np.float32]
#: The limits were set on runs of benchmarks/adaptation_pairs.py; docs/adaptation.md says how often they hold.
#: Gain and loss of the share of variance between crops that count as clear.
CLEAR_GAIN, CLEAR_LOSS = 0.01, 0.02
#: Gain of the inception score, in nats, by which a shift is clear, and by which answers are surer.
CLEAR_SHIFT, SURER = 0.05, 0.02
#: Share of the samples: so few changed ones leave a model the same; a crop of such a share is missed.
FEW, LOST = 0.07, 0.02


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
) -> Verdict:
    """The verdict; arguments as `measures_of`."""
    found = measures_of(target, curves, shift, before, shifted, after)
    word = _word(method, shift, found)
    return Verdict(word, _headline(word, method, found), _reasons(method, shift, found), found)


def _word(method: Method, shift: int, found: dict[str, float]) -> Word:
    """What decides is how well the answers divide the target's series: a network can't flatter itself there.

    Its own certainty can grow by training alone, so it is only asked not to have fallen.
    """
    gain = found["explained_after"] - found["explained_before"]
    surer = found["inception_after"] - found["inception_before"]
    lost = found["lost"] > LOST
    if gain <= -CLEAR_LOSS or (lost and gain < CLEAR_GAIN):
        return "worse"
    if gain >= CLEAR_GAIN and surer >= 0:
        return "better"
    moved = method in SHIFTING and _clear_shift(shift, found)
    if abs(gain) < CLEAR_GAIN and (found["changed"] < FEW or (method in SHIFTING and not moved)):
        return "same"
    return "unclear"


def _clear_shift(shift: int, found: dict[str, float]) -> bool:
    return found["gain_shift"] > CLEAR_SHIFT and abs(shift) > max(3.0, found["spread"])


def _reasons(method: Method, shift: int, found: dict[str, float]) -> list[Reason]:
    reasons = []
    if method in SHIFTING:
        clear = _clear_shift(shift, found)
        text = (
            f"Moved by {shift:+d} days, the dates make the source model clearly surer and more varied "
            f"(inception score {found['gain_shift']:+.2f})."
            if clear
            else "Moving the dates makes the source model hardly surer: there may be no shift to correct."
        )
        reasons.append(Reason(1 if clear else -1, text))
    gain = found["explained_after"] - found["explained_before"]
    speaks = 1 if gain >= CLEAR_GAIN else -1 if gain <= -CLEAR_LOSS else 0
    tail = {1: "better than", -1: "less well than", 0: "about as well as"}[speaks]
    reasons.append(
        Reason(
            speaks,
            f"The crops that the adapted model names divide the region's series {tail} those of the source "
            f"model ({found['explained_after']:.0%} of the variance lies between crops, "
            f"{found['explained_before']:.0%} before).",
        )
    )
    surer = found["inception_after"] - found["inception_before"]
    speaks = 1 if surer > SURER else -1 if surer < 0 else 0
    tail = {1: "surer and more varied", -1: "less sure or less varied", 0: "about as sure and varied"}[speaks]
    aside = "" if method in SHIFTING else " Training alone can bring that about, so it decides little"
    reasons.append(
        Reason(
            speaks,
            f"Over the region its answers are {tail} (inception score {surer:+.2f}).{aside and aside + '.'}",
        )
    )
    if found["lost"] > LOST:
        share = f"{found['lost']:.0%}"
        reasons.append(
            Reason(
                -1, f"A crop that had {share} of the samples is hardly named any more by the adapted model."
            )
        )
    return reasons


def _headline(word: Word, method: Method, found: dict[str, float]) -> str:
    name, changed = METHODS[method], f"{found['changed']:.0%} of the samples changed class"
    return {
        "better": f"{name} likely improved the model for this region ({changed}).",
        "same": f"{name} brings nothing that can be seen for this region ({changed}): use the source model.",
        "worse": f"{name} likely made the model worse for this region ({changed}): use the source model.",
        "unclear": f"Whether {name} improved the model can't be told without labels ({changed}).",
    }[word]
