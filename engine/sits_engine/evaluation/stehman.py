"""Area-adjusted accuracy where the strata of the sample are not the classes of the map.

Source: S. V. Stehman (2014): Estimating area and map accuracy for stratified random sampling when the
strata are different from the map classes. International Journal of Remote Sensing 35(13), 4923-4939:
means of indicator variables within strata (eq. 2-3, 25), and ratios of them (eq. 27-28). With the map's
classes as strata these are the estimators of `olofsson`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sits_engine.evaluation.olofsson import Estimate, Z

Floats = npt.NDArray[np.float64]


def estimate(
    stratum: npt.NDArray[np.int64],
    mapped: npt.NDArray[np.int64],
    reference: npt.NDArray[np.int64],
    stratum_areas: npt.ArrayLike,
    n_classes: int,
    n_others: int = 0,
) -> Estimate:
    """Estimate accuracy and areas from single sample units.

    Args:
        stratum: (N,) stratum of each unit, 0..H-1.
        mapped: (N,) class of each unit, 0..K-1.
        reference: (N,) true class of each unit, 0..K+E-1.
        stratum_areas: (H,) area of each stratum, any unit.
        n_classes: K.
        n_others: E, classes of the reference that the map doesn't have.

    Returns:
        As `olofsson.estimate`; `no_sample` and `single` are strata, not classes.

    Raises:
        ValueError: no units, or a unit in a stratum without area.
    """
    area = np.asarray(stratum_areas, dtype=float)
    sizes = np.bincount(stratum, minlength=len(area))
    if len(stratum) == 0:
        raise ValueError("no samples")
    if (area[sizes > 0] <= 0).any():
        raise ValueError("samples in a stratum without area")
    no_sample = np.flatnonzero((sizes == 0) & (area > 0))
    total = area[sizes > 0].sum()
    weight = np.where(sizes > 0, area, 0.0) / total

    def moments(a: Floats, b: Floats) -> tuple[Floats, Floats]:
        """Mean of `a` in each stratum, and the variance of that mean's product with `b`'s (covariance)."""
        mean_a = np.bincount(stratum, a, len(area)) / np.maximum(sizes, 1)
        mean_b = np.bincount(stratum, b, len(area)) / np.maximum(sizes, 1)
        product = np.bincount(stratum, (a - mean_a[stratum]) * (b - mean_b[stratum]), len(area))
        covariance = product / np.maximum(sizes - 1, 1) / np.maximum(sizes, 1)
        return mean_a, covariance

    def mean(y: Floats) -> tuple[float, float]:
        means, variances = moments(y, y)
        # the largest possible variance where a single unit tells nothing about the spread
        variances = np.where(sizes == 1, 0.25, variances)
        return float(weight @ means), float(weight**2 @ variances)

    def ratio(y: Floats, x: Floats) -> tuple[float, float]:
        top, _ = mean(y)
        bottom, _ = mean(x)
        if bottom == 0:
            return float("nan"), float("nan")
        r = top / bottom
        residual = y - r * x
        _, variances = moments(residual, residual)
        variances = np.where(sizes == 1, 0.25, variances)
        return r, float(weight**2 @ variances) / bottom**2

    k, all_of_them = range(n_classes), range(n_classes + n_others)
    right = (mapped == reference).astype(float)
    overall, overall_variance = mean(right)
    is_map = [(mapped == c).astype(float) for c in k]
    is_reference = [(reference == c).astype(float) for c in all_of_them]
    users = np.array([ratio(right * is_map[c], is_map[c]) for c in k])
    producers = np.array([ratio(right * is_reference[c], is_reference[c]) for c in k])
    areas = np.array([mean(is_reference[c]) for c in all_of_them])
    cells = np.array([[mean(is_map[i] * is_reference[j])[0] for j in all_of_them] for i in k])
    return Estimate(
        overall=overall,
        overall_half=float(Z * np.sqrt(overall_variance)),
        users=users[:, 0],
        users_half=Z * np.sqrt(users[:, 1]),
        producers=producers[:, 0],
        producers_half=Z * np.sqrt(producers[:, 1]),
        areas=total * areas[:, 0],
        areas_half=Z * total * np.sqrt(areas[:, 1]),
        proportions=cells,
        no_sample=[int(h) for h in no_sample],
        single=[int(h) for h in np.flatnonzero(sizes == 1)],
    )
