"""What the report on masks says where pixel labels are given: scores of the masks, like beside like."""

from __future__ import annotations

from sits_engine.learning.exact.summary import PseudoMaskReportData, TruthScores
from sits_engine.report import words
from sits_engine.report.page import Column, Figure, Section, Table
from sits_engine.report.plots import confusion

#: Scores of masks against pixel labels, and what they are called.
SCORES = {"accuracy": "right pixels", "miou": "mean IoU", "macro_f1": "macro-F1"}


def truth_section(data: PseudoMaskReportData) -> Section | None:
    """Scores and confusion of the masks; None without pixel labels."""
    if data.truth is None:
        return None
    truth = data.truth
    both = Table(
        [Column("against pixel labels"), *(Column(word, True) for word in SCORES.values())],
        [
            [what, *(words.score(scores.get(name), 3) for name in SCORES)]
            for what, scores in (
                ("masks", truth.scores),
                ("masks, not sharpened" + ("" if truth.plain else " (plain CAM)"), truth.unsharpened),
                ("plain CAM, not sharpened", truth.plain),
            )
            if scores is not None
        ],
        ""
        if truth.plain is None
        else "Plain CAM: maps of the same network with the same threshold, without prototypes, affinity "
        "propagation and sharpening. Compare it with masks that are not sharpened.",
    )
    items: list[Figure | Table] = [both]
    if truth.confusion.sum():
        items.append(
            Figure(
                confusion.confusion_matrix(
                    "confusion",
                    truth.confusion,
                    [row.name for row in data.classes],
                    "label (pixels)",
                    "class of the mask",
                ),
                "Confusion matrix of the labelled pixels; the table of the classes holds the scores of each.",
                "Count, and share of the row. What lies off the framed diagonal is wrong.",
            )
        )
    texts = [
        f"For the report only: {truth.reference} had no part in training, in the threshold or in the choice "
        "of weights. The pixels lie in the polygons that were ticked: the figures tell how good these masks "
        "are, not how good a map of other land will be."
    ]
    if not truth.background:
        texts.append(
            "The labels don't say where none of the crops grows, so background in the masks counts only "
            "where it hides a crop."
        )
    return Section("Masks against pixel labels (for the report only)", items, texts)


def others_beside(truth: TruthScores) -> str:
    """Below the mean IoU: that of other masks from the same network."""
    others = (("not sharpened", truth.unsharpened), ("plain CAM, not sharpened", truth.plain))
    return ", ".join(f"{what} {words.score(scores.get('miou'))}" for what, scores in others if scores)


def others_after(truth: TruthScores) -> str:
    """End of a sentence: mean IoU of other masks from the same network, like beside like."""
    before = "" if truth.unsharpened is None else words.score(truth.unsharpened.get("miou"))
    plain = "" if truth.plain is None else words.score(truth.plain.get("miou"))
    if before and plain:
        cam = f"plain CAM of the same network, not sharpened either, has {plain}"
        return f". Before sharpening it was {before}; {cam}."
    if before:
        return f", before sharpening {before}."
    return f", of plain CAM of the same network {plain}." if plain else "."


def compared_columns(data: PseudoMaskReportData) -> list[tuple[str, str]]:
    """Columns of scores against pixel labels: heading and attribute of a class."""
    if data.truth is None:
        return []
    before = [("IoU, not sharpened", "unsharpened_iou")] if data.truth.unsharpened is not None else []
    plain = [("IoU, plain CAM", "plain_iou")] if data.truth.plain is not None else []
    return [("IoU", "iou"), *before, *plain, ("precision", "precision"), ("recall", "recall")]
