"""Area-adjusted accuracy and class areas with confidence intervals.

Source: P. Olofsson, G. M. Foody, M. Herold, S. V. Stehman, C. E. Woodcock, M. A. Wulder (2014): Good
practices for estimating area and assessing accuracy of land change. Remote Sensing of Environment 148,
42-57; equation numbers below are those of the paper.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: Factor of a 95 % interval, as in the paper.
Z = 1.96


@dataclass(frozen=True)
class Estimate:
    """Estimates of a stratified random sample whose strata are the map's classes.

    All half widths are of 95 % intervals, in the unit of their estimate; NaN where unknown.

    Attributes:
        overall, overall_half: overall accuracy.
        users, users_half: (K,) share of the mapped class that is right.
        producers, producers_half: (K,) share of the true class that is mapped as such.
        areas, areas_half: (K + E,) true area, in the unit of the mapped areas.
        proportions: (K, K + E) estimated shares of area, rows = map, columns = reference (eq. 4).
        no_sample: strata with area but no sample; their area is left out of everything.
        single: strata with one sample; their variance is taken as the largest possible.
    """

    overall: float
    overall_half: float
    users: Floats
    users_half: Floats
    producers: Floats
    producers_half: Floats
    areas: Floats
    areas_half: Floats
    proportions: Floats
    no_sample: list[int]
    single: list[int]


def estimate(matrix: npt.NDArray[np.int64], mapped_areas: npt.ArrayLike) -> Estimate:
    """Estimate accuracy and areas.

    Args:
        matrix: (K, K + E) sample counts, rows = map class (stratum), columns = reference class; the last
            E are classes that the map doesn't have.
        mapped_areas: (K,) mapped area of each class, any unit.

    Returns:
        See `Estimate`. Strata without a sample are left out (their share of the area is unknown
        territory: the caller must say so); a class that is nowhere in the sample has NaN accuracies.

    Raises:
        ValueError: shapes differ, a sample lies in a stratum without area, or there is no sample at all.
    """
    n = np.asarray(matrix, dtype=float)
    area = np.asarray(mapped_areas, dtype=float)
    k = len(area)
    if n.ndim != 2 or len(n) != k or n.shape[1] < k:
        raise ValueError("matrix and areas have different classes")
    per_stratum = n.sum(axis=1)
    if per_stratum.sum() == 0:
        raise ValueError("no samples")
    if (area[per_stratum > 0] <= 0).any():
        raise ValueError("samples in a class without mapped area")
    sampled = per_stratum > 0
    no_sample = np.flatnonzero(~sampled & (area > 0))
    area = np.where(sampled, area, 0.0)
    total = area.sum()
    weight = area / total  # W_i
    size = np.where(sampled, per_stratum, 1.0)
    share = n / size[:, None]  # n_ij / n_i.
    # A stratum of one sample tells nothing about its spread: take the largest that shares can have.
    single = per_stratum == 1
    spread = np.where(single[:, None], 0.25, share * (1 - share) / np.maximum(size - 1, 1)[:, None])
    p = weight[:, None] * share  # eq. 4
    diagonal = np.arange(k)

    overall = float(p.trace())  # eq. 1
    variance_overall = (weight**2 * spread[diagonal, diagonal])[sampled].sum()  # eq. 5
    users = np.where(sampled, share[diagonal, diagonal], np.nan)  # eq. 2
    variance_users = np.where(sampled, spread[diagonal, diagonal], np.nan)  # eq. 6
    column = p.sum(axis=0)  # eq. 9
    with np.errstate(invalid="ignore", divide="ignore"):
        producers = p[diagonal, diagonal] / column[:k]  # eq. 3
        # eq. 7 with N_i. = mapped area and N_.j = estimated area
        estimated = total * column[:k]
        own = area**2 * (1 - producers) ** 2 * np.where(sampled, spread[diagonal, diagonal], 0.0)
        others = area[:, None] ** 2 * spread[:, :k] * ~np.eye(k, dtype=bool) * sampled[:, None]
        variance_producers = (own + producers**2 * others.sum(axis=0)) / estimated**2
    # eq. 10: W_i p_ij - p_ij^2 = W_i^2 * share (1 - share)
    variance_column = (weight[:, None] ** 2 * spread * sampled[:, None]).sum(axis=0)
    return Estimate(
        overall=overall,
        overall_half=float(Z * np.sqrt(variance_overall)),
        users=users,
        users_half=Z * np.sqrt(variance_users),
        producers=producers,
        producers_half=Z * np.sqrt(variance_producers),
        areas=total * column,  # eq. 11
        areas_half=Z * total * np.sqrt(variance_column),
        proportions=p,
        no_sample=[int(i) for i in no_sample],
        single=[int(i) for i in np.flatnonzero(single)],
    )
