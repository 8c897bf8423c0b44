"""The section of a training report that shows the mean series of each class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sits_engine.learning.summary import Profiles
from sits_engine.report.page import Figure, Section
from sits_engine.report.plots import profiles


def profiles_section(
    shown: Profiles, classes: Sequence[str], colors: Sequence[str], over: str
) -> Section | None:
    """One panel a class; None where nothing was seen.

    Args:
        shown: of the K classes.
        classes, colors: names and colours.
        over: what the mean is over, in words.
    """
    if shown.mean.size == 0 or not np.isfinite(shown.mean).any():
        return None
    label, _ = profiles.index_of(shown.bands, np.asarray(shown.mean, dtype=float))
    picture = profiles.class_profiles(
        "profiles",
        classes,
        colors,
        np.asarray(shown.positions, dtype=float),
        shown.bands,
        shown.mean,
        shown.season_year,
    )
    return Section(
        f"What it saw: {label} of each class over the season",
        [
            Figure(
                picture,
                f"Mean {label} of each class over the season.",
                f"Mean {label} over {over}; the other classes in grey. Classes with the same curve can't be "
                "told apart by it.",
            )
        ],
    )
