"""Head of context-self contrastive pre-training: how alike a pixel and its neighbours are."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Norms below this count as this (published: F.normalize's default).
EPS = 1e-12


class SimilarityHead(nn.Module):
    """Cosine of a pixel's query and the keys of the window around it.

    The window of keys is never laid out in memory (k * k copies of the embedding): with the learned
    position r of a window cell, |key + r|^2 = |key|^2 + 2 key.r + |r|^2, and each term is a map that
    is only shifted.

    Args:
        channels: of the embedding.
        attention_channels: width of query and key, even, a multiple of `groups`.
        kernel: rows and columns k of the window, odd.
        dilation: distance of neighbours in the window, in pixels.
        groups: groups of channels with a cosine each; the cosines are summed.
        normalise: cosine; False: plain product.

    Raises:
        ValueError: a number is out of range.

    Source: shared/spec/cscl.md section 1 (stride 1).
    """

    def __init__(
        self,
        channels: int,
        attention_channels: int = 128,
        kernel: int = 3,
        dilation: int = 1,
        groups: int = 1,
        normalise: bool = True,
    ) -> None:
        super().__init__()
        if kernel < 1 or kernel % 2 == 0 or dilation < 1:
            raise ValueError(f"kernel {kernel} must be odd and dilation {dilation} at least 1")
        if attention_channels % 2 or groups < 1 or attention_channels % groups:
            raise ValueError(
                f"{attention_channels} attention channels must be even and a multiple of {groups}"
            )
        self.kernel, self.dilation, self.groups, self.normalise = kernel, dilation, groups, normalise
        self.query = nn.Conv2d(channels, attention_channels, 1, bias=False)
        self.key = nn.Conv2d(channels, attention_channels, 1, bias=False)
        # First half of the channels knows the row of the window, the second half the column.
        self.row_position = nn.Parameter(torch.randn(attention_channels // 2, kernel))
        self.column_position = nn.Parameter(torch.randn(attention_channels // 2, kernel))

    def forward(self, embedding: Tensor) -> Tensor:
        """Compare.

        Args:
            embedding: (B, E, H, W).

        Returns:
            (B, H, W, k, k) float32, in [-1, 1] per group; a neighbour outside the image gives the
            cosine with the position alone.
        """
        query, key = self.query(embedding).float(), self.key(embedding).float()
        # Half precision is too coarse for the sum of squares below, whatever the caller works in.
        with torch.autocast(embedding.device.type, enabled=False):
            return self._compare(self._grouped(query), self._grouped(key))

    def _compare(self, query: Tensor, key: Tensor) -> Tensor:
        """Query and key (B, g, c, H, W) -> (B, H, W, k, k)."""
        shape = key.shape
        position = self._positions()
        if self.normalise:
            query = F.normalize(query, dim=2, eps=EPS)
        with_position = torch.einsum("bgchw,gcn->bgnhw", query, position)
        reach = self.kernel // 2 * self.dilation
        padding = (reach, reach, reach, reach)
        padded = F.pad(key, padding)
        cells = [(query * shifted).sum(2) for shifted in self._windows(padded, shape)]
        similarity = torch.stack(cells, 2) + with_position
        if self.normalise:
            similarity = similarity * self._inverse_norm(padded, position, shape)
        result = similarity.sum(1).permute(0, 2, 3, 1)
        return result.reshape(*result.shape[:3], self.kernel, self.kernel)

    def _inverse_norm(self, padded: Tensor, position: Tensor, shape: torch.Size) -> Tensor:
        """1 / |key + r| (B, g, k * k, H, W)."""
        square = padded.square().sum(2, keepdim=True)
        product = torch.einsum("bgchw,gcn->bgnhw", padded, position)
        total = square + 2 * product + position.square().sum(1)[None, :, :, None, None]
        cells = [cell[:, :, n] for n, cell in enumerate(self._windows(total, shape))]
        return torch.stack(cells, 2).clamp(min=EPS**2).rsqrt()

    def _windows(self, padded: Tensor, shape: torch.Size) -> list[Tensor]:
        """Views of (..., H + 2 reach, W + 2 reach), one for each cell of the window, row by row."""
        height, width = shape[-2:]
        offsets = range(0, self.kernel * self.dilation, self.dilation)
        return [padded[..., i : i + height, j : j + width] for i in offsets for j in offsets]

    def _grouped(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], self.groups, -1, *x.shape[2:])

    def _positions(self) -> Tensor:
        """Learned position of every cell, (g, c, k * k)."""
        k = self.kernel
        rows = self.row_position[:, :, None].expand(-1, k, k)
        columns = self.column_position[:, None, :].expand(-1, k, k)
        return torch.cat([rows, columns]).reshape(self.groups, -1, k * k)
