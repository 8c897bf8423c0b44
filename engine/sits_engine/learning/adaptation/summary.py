"""What estimating a shift and adapting a model leave for people: plain data for reports and numbers files."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from sits_engine.learning.summary import FastScores, Profiles

#: Words for the estimators of the shift, in the order of plots.
ESTIMATORS = {"IS": "inception score", "AM": "activation maximisation", "ENT": "entropy"}


@dataclass
class ShiftCurves:
    """Scores of all tried shifts (days added to the target's positions), without labels.

    Attributes:
        shifts: (D,) whole days, rising, 0 among them.
        scores: (D,) for each key of `ESTIMATORS`; IS is best where largest, AM and ENT where smallest.
        best: best shift of each estimator; ties go to the smallest absolute value.
        resampled: (R,) best shifts of resamples of the target, for each estimator.
        estimator: the one that decides.
        shift: the estimate in days (its best); positive: the target's season is EARLIER than the source's
            (add days to its dates to land on the source's calendar).
        n_sets: target sets that were looked at.
    """

    shifts: npt.NDArray[np.int64]
    scores: dict[str, npt.NDArray[np.float64]]
    best: dict[str, int]
    resampled: dict[str, npt.NDArray[np.int64]]
    estimator: str
    shift: int
    n_sets: int

    @property
    def interval(self) -> tuple[int, int]:
        """5 % and 95 % quantiles of the deciding estimator's resamples: what sampling alone can change.

        Without resamples the estimate itself, twice.
        """
        days = self.resampled.get(self.estimator, np.array([], dtype=np.int64))
        if len(days) == 0:
            return self.shift, self.shift
        low, high = np.quantile(days, [0.05, 0.95])
        return int(np.floor(low)), int(np.ceil(high))

    @property
    def level(self) -> tuple[int, int]:
        """First and last day that score nearly as well as the best: within 5 % of the curve's height.

        Wide where the curve is flat or has two peaks, which resamples of the target often don't show.
        """
        curve = self.scores[self.estimator]
        loss = np.abs(curve - curve[int(np.searchsorted(self.shifts, self.shift))])
        near = self.shifts[loss <= 0.05 * float(np.ptp(curve))]
        return int(near[0]), int(near[-1])

    @property
    def at_edge(self) -> bool:
        """True where the best shift is the first or last that was tried."""
        return self.shift in (int(self.shifts[0]), int(self.shifts[-1]))

    def as_json(self) -> dict[str, Any]:
        """Plain numbers."""
        return {
            "shift_days": self.shift,
            "interval_days": list(self.interval),
            "level_days": list(self.level),
            "estimator": self.estimator,
            "best": self.best,
            "shifts": self.shifts.tolist(),
            "scores": {name: np.round(curve, 6).tolist() for name, curve in self.scores.items()},
            "resampled": {name: days.tolist() for name, days in self.resampled.items()},
            "n_sets": self.n_sets,
        }


@dataclass
class ShiftReportData:
    """All that the report of an estimated shift shows.

    Attributes:
        title: heading.
        source_title, target_title: names of the two regions for people.
        season_year: the year that the positions of the profiles count from.
        curves: label-free scores of the shifts.
        source_profiles: mean series of each class where the model learned (its card holds them), or None.
        target_profile: mean series over all target sets, K = 1, on the target's own positions (not
            shifted), or None.
        provenance, parameters, notes, warnings: as in the other reports.
    """

    title: str
    source_title: str
    target_title: str
    season_year: int
    curves: ShiftCurves
    source_profiles: Profiles | None = None
    target_profile: Profiles | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """JSON-serialisable numbers of the report."""
        source, target = self.source_profiles, self.target_profile
        return {
            "title": self.title,
            "source": self.source_title,
            "target": self.target_title,
            "season_year": self.season_year,
            **self.curves.as_json(),
            "source_profiles": None if source is None else source.as_json(),
            "target_profile": None if target is None else target.as_json(),
            "provenance": self.provenance,
            "parameters": self.parameters,
            "notes": self.notes,
            "warnings": self.warnings,
        }


@dataclass
class AdaptEpoch:
    """One epoch. Losses are means over its steps; NaN where the method has no such term.

    Attributes:
        epoch: from 1.
        shift: days that the teacher (or, without one, nobody: 0) saw the target with.
        source_loss, target_loss: classification on the source; pseudo labels or alignment on the target.
        pseudo_labels: target samples that counted as confident, of `pseudo_seen` looked at.
        confidence: mean highest probability on the target (teacher's where there is one).
        class_shares: (K,) shares of the classes that the target samples were given, confident or not.
        agreement: share of the target sets with the class of the source model (with its shift).
        learning_rate: at the end of the epoch.
    """

    epoch: int
    shift: int
    source_loss: float
    target_loss: float
    pseudo_labels: int
    pseudo_seen: int
    confidence: float
    class_shares: list[float]
    agreement: float
    learning_rate: float


Word = Literal["better", "same", "worse", "unclear"]


@dataclass
class Reason:
    """A whole sentence that speaks for (+1) or against (-1) the adapted model, or is neutral (0)."""

    speaks: int
    text: str


@dataclass
class Verdict:
    """Whether the adapted model is likely better in the target than the source model; no label was used.

    Attributes:
        word: the verdict.
        headline: one sentence for the top of the report.
        reasons: what speaks for and against it.
        measures: the label-free numbers behind the reasons, by name.
    """

    word: Word
    headline: str
    reasons: list[Reason] = field(default_factory=list)
    measures: dict[str, float] = field(default_factory=dict)


@dataclass
class LabelledCheck:
    """Scores on target labels that the user gave for the report only; nothing was chosen with them.

    Attributes:
        n_sets: labelled target sets with a class of the model.
        left_out: labelled target sets of classes that the model doesn't know.
        scores: for 'source' (model as it was), 'shifted' (source model with the shift) and 'adapted':
            macro_f1, accuracy.
        per_class: F1 of each class (None where there is no such set) for the same three.
    """

    n_sets: int
    left_out: int
    scores: dict[str, dict[str, float]]
    per_class: dict[str, list[float | None]]


@dataclass
class AdaptationReportData:
    """All that the report of an adaptation shows.

    Attributes:
        title: heading.
        method: key of `options.METHODS`.
        classes: names in the order of the model; colors: '#rrggbb' of each.
        source_title, target_title: names of the two regions for people.
        curves: label-free scores of the shifts with the source model, before training.
        shift: days that the method used, added to the target's positions; 0 without shift.
        epochs: one row an epoch; empty for 'shift'.
        source_profiles: mean series of each class in the source.
        target_profiles: the same over target sets by the pseudo labels of the source model with the shift,
            on the target's own positions (so: before shifting; add `shift` to them for 'after').
        shares_source: (K,) shares of the classes in the source samples.
        shares_before, shares_after: (K,) shares in the target by source model (unshifted), adapted model.
        changes: (K, K) target sets, rows = class by source model (unshifted), columns = by adapted model.
        xy: (N, 2) longitude, latitude of the target sets, NaN without place.
        before, after: (N,) class by source model (unshifted) and adapted model.
        confidence_before, confidence_after: (N,) highest probability.
        verdict: label-free judgement.
        labelled: scores on labels given for the report only, or None.
        provenance, parameters: words and numbers on inputs and settings.
        notes: what was dropped or repaired. warnings: what the user must know.
        fast: of the fast network, None where there is none.
    """

    title: str
    method: str
    classes: list[str]
    colors: list[str]
    source_title: str
    target_title: str
    curves: ShiftCurves
    shift: int
    epochs: list[AdaptEpoch]
    source_profiles: Profiles
    target_profiles: Profiles
    shares_source: npt.NDArray[np.float64]
    shares_before: npt.NDArray[np.float64]
    shares_after: npt.NDArray[np.float64]
    changes: npt.NDArray[np.int64]
    xy: npt.NDArray[np.float64]
    before: npt.NDArray[np.int64]
    after: npt.NDArray[np.int64]
    confidence_before: npt.NDArray[np.float32]
    confidence_after: npt.NDArray[np.float32]
    verdict: Verdict
    labelled: LabelledCheck | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    fast: FastScores | None = None

    @property
    def agreement(self) -> float:
        """Share of the target sets whose class the adaptation did not change; NaN without sets."""
        return float((self.before == self.after).mean()) if len(self.before) else float("nan")

    def as_json(self) -> dict[str, Any]:
        """JSON-serialisable numbers of the report."""
        return {
            "title": self.title,
            "method": self.method,
            "classes": self.classes,
            "source": self.source_title,
            "target": self.target_title,
            "shift_days": self.shift,
            "curves": self.curves.as_json(),
            "epochs": [asdict(row) for row in self.epochs],
            "class_shares": {
                "source": self.shares_source.tolist(),
                "before": self.shares_before.tolist(),
                "after": self.shares_after.tolist(),
            },
            "changes": {"rows": "source model", "columns": "adapted model", "counts": self.changes.tolist()},
            "agreement": self.agreement,
            "mean_confidence": {
                "before": float(self.confidence_before.mean()) if len(self.confidence_before) else None,
                "after": float(self.confidence_after.mean()) if len(self.confidence_after) else None,
            },
            "verdict": asdict(self.verdict),
            "labelled_for_the_report_only": None if self.labelled is None else asdict(self.labelled),
            "source_profiles": self.source_profiles.as_json(),
            "target_profiles": self.target_profiles.as_json(),
            "provenance": self.provenance,
            "parameters": self.parameters,
            "notes": self.notes,
            "warnings": self.warnings,
            "fast": None if self.fast is None else asdict(self.fast),
        }


@dataclass
class ComparisonRow:
    """One method with one seed on one direction of a pair. Bounds are rows as well.

    Attributes:
        method: key of `options.METHODS`, or 'source' (no adaptation) or 'target' (trained on the target).
        seed: of source model and adaptation.
        macro_f1, accuracy: on the target's test side.
        per_class: (K,) F1, None for a class without test sets.
        shift: days used, None where the method has none.
        seconds: of the adaptation alone.
        verdict: what the label-free judgement said, '' for the bounds.
        measures: the label-free numbers behind it.
    """

    method: str
    seed: int
    macro_f1: float
    accuracy: float
    per_class: list[float | None]
    shift: int | None
    seconds: float
    verdict: str = ""
    measures: dict[str, float] = field(default_factory=dict)


@dataclass
class ComparisonReportData:
    """The table of a comparison.

    Attributes:
        title: heading. source_title, target_title: names of the regions.
        classes: names. support: (K,) test sets of each class in the target.
        rows: all runs.
        counts: sets used: source_train, source_validation, target_train, target_test.
        provenance, parameters, notes, warnings: as in the other reports.
    """

    title: str
    source_title: str
    target_title: str
    classes: list[str]
    support: list[int]
    rows: list[ComparisonRow]
    counts: dict[str, int]
    provenance: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def methods(self) -> list[str]:
        """Methods in the order of their first row."""
        return list(dict.fromkeys(row.method for row in self.rows))

    def summary(self) -> list[dict[str, Any]]:
        """Mean and population deviation over the seeds, a dict a method."""
        out = []
        for method in self.methods():
            rows = [row for row in self.rows if row.method == method]
            f1, accuracy = ([getattr(row, name) for row in rows] for name in ("macro_f1", "accuracy"))
            per_class = [_moments([row.per_class[k] for row in rows]) for k in range(len(self.classes))]
            shifts = [row.shift for row in rows if row.shift is not None]
            out.append(
                {
                    "method": method,
                    "seeds": len(rows),
                    "macro_f1": float(np.mean(f1)),
                    "macro_f1_std": float(np.std(f1)),
                    "accuracy": float(np.mean(accuracy)),
                    "accuracy_std": float(np.std(accuracy)),
                    "per_class_f1": [mean for mean, _ in per_class],
                    "per_class_f1_std": [deviation for _, deviation in per_class],
                    "shift": float(np.mean(shifts)) if shifts else None,
                    "seconds": float(np.mean([row.seconds for row in rows])),
                }
            )
        return out

    def as_json(self) -> dict[str, Any]:
        """JSON-serialisable numbers of the report."""
        return {**asdict(self), "summary": self.summary()}


def _moments(values: list[float | None]) -> tuple[float | None, float | None]:
    """Mean and population deviation; None of a class that some seed had no test sample of."""
    known = [value for value in values if value is not None]
    return (float(np.mean(known)), float(np.std(known))) if len(known) == len(values) else (None, None)
