"""Section of a report on whether the confidence of a model can be trusted."""

from __future__ import annotations

from collections.abc import Mapping

from sits_engine.learning.summary import Reliability
from sits_engine.report import words
from sits_engine.report.page import Column, Figure, Section, Table
from sits_engine.report.plots import curves


def calibration_section(
    before: Reliability, after: Reliability, scores: Mapping[str, float], temperature: float, unit: str
) -> Section | None:
    """Reliability diagram and mean gaps; None without test samples.

    Args:
        before, after: of the test side, without and with the temperature.
        scores: `calibration_error` and `calibration_error_before` are of the validation side.
        temperature: that was set there.
        unit: what is counted, in the plural.
    """
    if int(after.counts.sum()) == 0:
        return None
    figure = Figure(
        curves.reliability(
            "reliability",
            after.edges,
            (before.confidence, before.accuracy),
            (after.confidence, after.accuracy),
            after.counts,
        ),
        f"Reliability diagram of the test {unit}; calibration error {words.percent(after.error, 1)}.",
        f"Test {unit} in bins of confidence. On the dashed line, 80 of 100 {unit} given 80 % are right.",
    )
    gaps = [words.percent(scores.get(f"calibration_error{key}"), 1) for key in ("_before", "")]
    rows = [
        [f"validation {unit} (where it was set)", *gaps],
        [f"test {unit}", words.percent(before.error, 1), words.percent(after.error, 1)],
    ]
    table = Table(
        [Column("mean gap (ECE)"), Column("before", True), Column("after", True)],
        rows,
        f"Expected calibration error in {len(after.counts)} equal bins; temperature {temperature:.3f}.",
    )
    return Section("Whether its confidence can be trusted", [figure, table], beside=True)
