"""Smooth random fields."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage

Field = npt.NDArray[np.float32]


def smooth_field(
    rng: np.random.Generator, shape: tuple[int, int], scale: float, slope: float | None = None
) -> Field:
    """Gaussian random field (H, W) float32 with mean 0 and standard deviation 1.

    Args:
        rng: random numbers.
        shape: rows and columns.
        scale: size of its patches in pixels.
        slope: None for patches of one size (Gaussian spectrum); else power falls with frequency as
            f ** -slope below the size of the patches, which gives ragged shapes such as clouds (about 3).
    """
    # Twice-as-coarse noise where the patches are large: same field, a quarter of the work or less.
    step = 1 if slope is not None else max(1, int(scale / 4))
    margin = int(np.ceil(2 * scale))
    rows, cols = (int(np.ceil((n + margin) / step)) for n in shape)
    rows, cols = (fft.next_fast_len(n, real=True) for n in (rows, cols))
    white = rng.standard_normal((rows, cols), dtype=np.float32)
    spectrum = fft.rfft2(white)
    fy = np.fft.fftfreq(rows).astype(np.float32)[:, None]
    fx = np.fft.rfftfreq(cols).astype(np.float32)[None]
    f2 = (fy * fy + fx * fx) * np.float32((scale / step) ** 2)
    weight = np.exp(-2.0 * f2) if slope is None else (1.0 + 4.0 * f2) ** np.float32(-0.25 * slope)
    weight[0, 0] = 0.0
    field = fft.irfft2(spectrum * weight, s=(rows, cols))
    if step > 1:
        field = ndimage.zoom(field, step, order=1, grid_mode=False)
    field = field[: shape[0], : shape[1]]
    field = field - field.mean()
    return np.asarray(field / max(float(field.std()), 1e-12), dtype=np.float32)


def block_mean(values: Field, factor: int) -> Field:
    """Mean of `factor` x `factor` neighbours: (..., H, W) -> (..., H / factor, W / factor)."""
    *lead, height, width = values.shape
    rows = values.reshape(*lead, height // factor, factor, width)
    # Rows first: contiguous additions, several times as fast as one mean over two axes.
    summed = rows.sum(axis=-2)
    columns = summed.reshape(*lead, height // factor, width // factor, factor)
    return np.asarray(columns.sum(axis=-1) * np.float32(1.0 / factor**2), dtype=np.float32)


def repeat(values: npt.NDArray[np.generic], factor: int) -> npt.NDArray[np.generic]:
    """Each value of (..., H, W) becomes a square of `factor` x `factor`."""
    return values.repeat(factor, axis=-2).repeat(factor, axis=-1)
