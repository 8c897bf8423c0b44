"""Recall at k: how often one of the k nearest is of the query's class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

#: Queries that are compared with the whole gallery at once.
ROWS = 1024


def nearest(
    queries: npt.NDArray[np.float32], gallery: npt.NDArray[np.float32], k: int
) -> npt.NDArray[np.int64]:
    """(Q, min(k, G)) rows of the gallery by falling cosine; equal ones in random but repeatable order.

    Args:
        queries, gallery: (Q, dim) and (G, dim) unit vectors.
        k: how many.
    """
    # In the given order equal cosines would favour the class that comes first in a sorted table.
    order = np.random.default_rng(0).permutation(len(gallery))
    shuffled, k = gallery[order], min(k, len(gallery))
    found = np.empty((len(queries), k), np.int64)
    for start in range(0, len(queries), ROWS):
        cosines = queries[start : start + ROWS] @ shuffled.T
        some = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
        best = np.argsort(-np.take_along_axis(cosines, some, 1), axis=1, kind="stable")
        found[start : start + ROWS] = order[np.take_along_axis(some, best, 1)]
    return found


def recall_at(
    found: npt.NDArray[np.int64],
    wanted: npt.NDArray[np.int64],
    gallery: npt.NDArray[np.int64],
    ks: Sequence[int],
) -> dict[int, float]:
    """Share of queries with one of their class among the first k.

    Args:
        found: (Q, K) of `nearest`, K at least the largest k (or the whole gallery).
        wanted: (Q,) classes of the queries.
        gallery: (G,) classes of the gallery.
        ks: numbers of answers.
    """
    hits = gallery[found] == wanted[:, None]
    return {k: float(hits[:, :k].any(axis=1).mean()) for k in ks}


def chance_at(
    wanted: npt.NDArray[np.int64], gallery: npt.NDArray[np.int64], ks: Sequence[int]
) -> dict[int, float]:
    """What `recall_at` expects of k photos drawn blindly: 1 - C(G - m, k) / C(G, k), m of the class."""
    same = (gallery[None, :] == np.unique(wanted)[:, None]).sum(axis=1)
    size = len(gallery)
    weight = np.unique(wanted, return_counts=True)[1] / len(wanted)
    out = {}
    for k in ks:
        steps = np.arange(min(k, size))
        none = np.prod(np.clip((size - same[:, None] - steps) / (size - steps), 0, None), axis=1)
        out[k] = float((weight * (1 - none)).sum())
    return out
