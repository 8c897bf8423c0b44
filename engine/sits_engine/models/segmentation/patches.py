"""Windows cut into patches, and back."""

from __future__ import annotations

from torch import Tensor


def along(window: int, patch: int) -> int:
    """Patches along a side of the window.

    Raises:
        ValueError: the window isn't a multiple of the patch.
    """
    if window < patch or window % patch:
        raise ValueError(f"the window of {window} pixels must be a multiple of the patch of {patch}")
    return window // patch


def cut(images: Tensor, patch: int) -> Tensor:
    """(B, T, C, H, W) -> (B * h * w, T, patch * patch * C), h = H / patch; the channel runs fastest."""
    batch, dates, bands, height, width = images.shape
    h, w = height // patch, width // patch
    x = images.reshape(batch, dates, bands, h, patch, w, patch).permute(0, 3, 5, 1, 4, 6, 2)
    return x.reshape(batch * h * w, dates, patch * patch * bands)


def join(values: Tensor, size: tuple[int, int]) -> Tensor:
    """The inverse of the cut: every patch's values go to its own pixels.

    Args:
        values: (B, K, h * w, patch * patch).
        size: (H, W) of the result.

    Returns:
        (B, K, H, W).
    """
    batch, classes, _, area = values.shape
    patch = round(area**0.5)
    h, w = size[0] // patch, size[1] // patch
    x = values.reshape(batch, classes, h, w, patch, patch).permute(0, 1, 2, 4, 3, 5)
    return x.reshape(batch, classes, *size)


def join_as_published(values: Tensor, size: tuple[int, int]) -> Tensor:
    """The published order, in which most values land on another patch (pitfalls 3.1). Arguments as `join`."""
    return values.reshape(*values.shape[:2], *size)
