"""Expected ratings from described scenes: early and late ensembling over voters (specification, section 8).

Voters write down short descriptions of places and rate each of them. A place's rating is the expectation of
the ratings under a soft-max of its similarities to the descriptions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sits_engine.errors import InputError
from sits_engine.models.clip.prompts import RESOURCES, read_rows

Ensembling = Literal["early", "late"]
#: An example with ratings of voters that don't exist.
EXAMPLE = RESOURCES / "scenicness.csv"
_ADVICE = "Write a CSV in UTF-8 with the columns prompt, rating and, if several people rated, voter."


@dataclass(frozen=True)
class Ratings:
    """P rated descriptions of V voters.

    Attributes:
        prompts: P.
        ratings: (P,) on any scale.
        voter: (P,) index into `voters`.
        voters: V names.
    """

    prompts: tuple[str, ...]
    ratings: npt.NDArray[np.float32]
    voter: npt.NDArray[np.int64]
    voters: tuple[str, ...]


def read_ratings(path: Path) -> Ratings:
    """Rated descriptions of a CSV with the columns prompt, rating and, optionally, voter.

    Raises:
        InputError: unreadable, a column is missing, no line, an empty prompt, a rating that is no number, all
            ratings equal, a voter with one description only or the same twice.
    """
    rows = read_rows(path, ("prompt", "rating"), _ADVICE)
    prompts: list[str] = []
    ratings: list[float] = []
    names: list[str] = []
    for row in rows:
        prompt = " ".join(row["prompt"].split())
        if not prompt:
            raise InputError(f"{path.name}: the rating '{row['rating']}' has no prompt.", _ADVICE)
        try:
            rating = float(row["rating"].replace(",", "."))
        except ValueError:
            rating = float("nan")
        if not np.isfinite(rating):
            raise InputError(
                f"{path.name}: the rating '{row['rating']}' of '{prompt}' is no number.",
                "Write a number such as 7 or 7.5.",
            )
        prompts.append(prompt)
        ratings.append(rating)
        names.append(" ".join(row.get("voter", "").split()))
    if not prompts:
        raise InputError(f"There is no line with a prompt in {path.name}.", _ADVICE)
    if len(set(ratings)) == 1:
        raise InputError(
            f"All ratings of {path.name} are {ratings[0]:g}: so would be the whole map.",
            "Add descriptions with other ratings.",
        )
    voters = tuple(dict.fromkeys(names))
    for voter in voters:
        own = [p.casefold() for p, name in zip(prompts, names, strict=True) if name == voter]
        who = f"The voter '{voter}' of {path.name}" if voter else f"{path.name}"
        if len(own) == 1:
            raise InputError(
                f"{who} rated one description only: that would be the rating of every place.",
                "Add descriptions, or leave the voter out.",
            )
        twice = next((p for p in own if own.count(p) > 1), None)
        if twice is not None:
            raise InputError(
                f"{who} rated '{twice}' twice.",
                "Keep one of the lines; if they are of different people, name them in the column voter.",
            )
    index = np.array([voters.index(name) for name in names], np.int64)
    return Ratings(tuple(prompts), np.array(ratings, np.float32), index, voters)


def expected(
    cosines: Tensor, ratings: Sequence[float] | npt.NDArray[Any], scale: float, groups: Sequence[int] = ()
) -> Tensor:
    """(n,) expected ratings.

    Args:
        cosines: (n, P) of places with descriptions.
        ratings: (P,).
        scale: of cosines in the soft-max, the inverse of its temperature.
        groups: (P,) voter of each description: late ensembling, the mean over voters of the expectation under
            each one's own descriptions. Without it, early: one soft-max over all of them.
    """
    values = torch.as_tensor(np.asarray(ratings, np.float32), device=cosines.device)
    logits = scale * cosines.float()
    if len(groups) == 0:
        return torch.softmax(logits, dim=1) @ values
    index = torch.as_tensor(np.asarray(groups, np.int64), device=cosines.device)
    each = [
        torch.softmax(logits[:, index == voter], dim=1) @ values[index == voter]
        for voter in torch.unique(index).tolist()
    ]
    return torch.stack(each).mean(dim=0)
