"""Section of a report on the fast network in a model's file."""

from __future__ import annotations

from collections.abc import Sequence

from sits_engine.learning.summary import FastScores
from sits_engine.report import words
from sits_engine.report.page import Column, Section, Table

#: Figures of a fast network on a model's card, in words.
FIGURES = {
    "agreement": "share of single pixels that get the same class",
    "macro_f1": "macro-F1 on single pixels",
    "teacher_macro_f1": "macro-F1 of the model itself on them",
    "accuracy": "accuracy on single pixels",
    "teacher_accuracy": "accuracy of the model itself on them",
}


def fast_section(fast: FastScores | None, classes: Sequence[str], colors: Sequence[str]) -> Section | None:
    """What it gives up against the model itself; None where there is no fast network.

    Args:
        fast: the figures.
        classes, colors: names and '#rrggbb' in the order of the model.
    """
    if fast is None:
        return None
    text = [
        "The file holds a small network that learned to answer as the model does, for single pixels: Map "
        "crops with FAST uses it. Parcels are always classified by the model itself.",
        f"The two give the same class to {words.percent(fast.agreement, 1)} of {words.count(fast.pixels)} "
        "single pixels that the small one did not learn from.",
    ]
    if fast.macro_f1 is None:
        return Section("The fast network", [], text)
    rows = [
        ["macro-F1", words.score(fast.teacher_macro_f1, 3), words.score(fast.macro_f1, 3)],
        ["accuracy", words.score(fast.teacher_accuracy, 3), words.score(fast.accuracy, 3)],
    ]
    both = zip(classes, fast.teacher_f1, fast.f1, strict=True)
    rows += [[f"F1 of {name}", words.score(old, 3), words.score(new, 3)] for name, old, new in both]
    table = Table(
        [Column("on single pixels"), Column("model", True), Column("fast", True)],
        rows,
        "Both networks see the same pixels one by one; on whole parcels the model does better.",
        ["#888888", "#888888", *colors],
    )
    return Section("The fast network", [table], text)
