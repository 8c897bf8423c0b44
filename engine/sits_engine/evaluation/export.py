"""The confusion matrix of an assessment as a file for other programs."""

from __future__ import annotations

import csv
from pathlib import Path

from sits_engine.evaluation.summary import AssessmentReportData


def write_confusion(path: Path, data: AssessmentReportData) -> None:
    """Write the confusion matrix as CSV: a line for each mapped class, a column for each reference class."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["map \\ reference", *data.classes, *data.other_classes])
        for name, row in zip(data.classes, data.confusion.tolist(), strict=True):
            writer.writerow([name, *row])
