"""Pixel-set encoder: one vector for each date of a set of pixels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sits_engine.models.layers import blocks

#: Keeps the square root and its gradient finite where all pixels are equal (published value).
VARIANCE_FLOOR = 1e-31


def pool_mean_std(x: Tensor, mask: Tensor) -> Tensor:
    """Mean and standard deviation over the pixels that count.

    The divisor of the variance is n - 1, and 1 for a set of one pixel, whose deviation is
    sqrt(1e-31), practically 0, with a finite gradient. A set without pixels gives zeros.

    Args:
        x: (..., S, F) pixel features.
        mask: (..., S) 1 where the pixel counts.

    Returns:
        (..., 2 F): means, then standard deviations.
    """
    w = mask.to(x.dtype).unsqueeze(-1)
    n = w.sum(-2)
    mean = (x * w).sum(-2) / n.clamp(min=1)
    spread = ((x - mean.unsqueeze(-2)) * w).square().sum(-2)
    std = torch.sqrt(spread / (n - 1).clamp(min=1) + VARIANCE_FLOOR)
    return torch.cat([mean, std], -1)


class PixelSetEncoder(nn.Module):
    """mlp1 on each pixel, mean and deviation over the set, mlp2.

    Args:
        n_bands: input channels.
        mlp1: widths of the layers before pooling.
        mlp2: widths of the layers after pooling.
        extra: number of per-set features (geometry) put beside the pooled ones.
        reference: published behaviour: padded pixels enter the batch-norm statistics.

    Source: shared/spec/timematch.md section 3.1.
    """

    def __init__(
        self,
        n_bands: int,
        mlp1: Sequence[int] = (32, 64),
        mlp2: Sequence[int] = (128,),
        *,
        extra: int = 0,
        reference: bool = False,
    ) -> None:
        super().__init__()
        self.reference = reference
        self.extra = extra
        self.mlp1 = blocks([n_bands, *mlp1])
        self.mlp2 = blocks([2 * mlp1[-1] + extra, *mlp2])

    def forward(
        self,
        pixels: Tensor,
        pixel_mask: Tensor,
        date_mask: Tensor | None = None,
        extra: Tensor | None = None,
    ) -> Tensor:
        """Encode sets.

        Args:
            pixels: (B, T, C, S) normalised; fastest where stored channels last.
            pixel_mask: (B, T, S), 1 where the pixel counts at that date.
            date_mask: (B, T) bool, True where the date is used; None: where any pixel counts.
            extra: (B, E) features of the sets, if the encoder was made with them.

        Returns:
            (B, T, mlp2[-1]).
        """
        x = pixels.transpose(2, 3)
        pixel_weight = date_weight = None
        if not self.reference:
            pixel_weight = pixel_mask
            date_weight = pixel_mask.any(-1) if date_mask is None else date_mask
        for block in self.mlp1:
            x = block(x, pixel_weight)
        x = pool_mean_std(x, pixel_mask)
        if self.extra:
            if extra is None:
                raise ValueError(f"this encoder needs {self.extra} extra features for each set")
            x = torch.cat([x, extra.to(x.dtype).unsqueeze(1).expand(-1, x.shape[1], -1)], -1)
        for block in self.mlp2:
            x = block(x, date_weight)
        return x
