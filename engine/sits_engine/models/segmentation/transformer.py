"""Transformer layers with PyTorch's fused attention and the products of `products`."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from sits_engine.models.segmentation import products


class TransformerLayer(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)).

    Args:
        dim: width of a token.
        heads, head_dim: attention; inside it is heads * head_dim wide.
        hidden: width of the middle of the mlp.

    Source: shared/spec/cscl.md section 9 (ordinary pre-norm layers, no bias on query, key and value).
    """

    def __init__(self, dim: int, heads: int, head_dim: int, hidden: int) -> None:
        super().__init__()
        self.heads, self.inner = heads, heads * head_dim
        self.attention_norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * self.inner, bias=False)
        self.project = nn.Linear(self.inner, dim)
        self.mlp_norm = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))

    def forward(self, x: Tensor, mask: Tensor | None = None, rows: int | None = None) -> Tensor:
        """Transform tokens.

        Args:
            x: (N, L, dim).
            mask: (N, 1, 1, L) bool, True where a token may be attended to; None: all.
            rows: only the first so many tokens are wanted; the others are still attended to.

        Returns:
            (N, rows or L, dim).
        """
        normed = self.attention_norm(x)
        if rows is None:
            query, key, value = products.linear(normed, self.qkv.weight).chunk(3, -1)
        else:
            weight = self.qkv.weight
            x = x[:, :rows]
            query = products.linear(normed[:, :rows].contiguous(), weight[: self.inner])
            key, value = products.linear(normed, weight[self.inner :]).chunk(2, -1)
        mixed = F.scaled_dot_product_attention(
            self._split(query), self._split(key), self._split(value), attn_mask=mask
        )
        x = x + products.linear(mixed.transpose(1, 2).flatten(2), self.project.weight, self.project.bias)
        w1, b1, w2, b2 = self.mlp.parameters()
        return x + products.mlp(self.mlp_norm(x), (w1, b1), (w2, b2))

    def _split(self, x: Tensor) -> Tensor:
        """(N, L, heads * head_dim) -> (N, heads, L, head_dim)."""
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)


class Transformer(nn.Module):
    """Layers and a last norm.

    Args:
        depth: number of layers, at least 1; the others as `TransformerLayer`.
    """

    def __init__(self, dim: int, depth: int, heads: int, head_dim: int, hidden: int) -> None:
        super().__init__()
        if min(dim, depth, heads, head_dim, hidden) < 1:
            raise ValueError("a transformer's sizes must all be at least 1")
        self.layers = nn.ModuleList(TransformerLayer(dim, heads, head_dim, hidden) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, mask: Tensor | None = None, rows: int | None = None) -> Tensor:
        """As `TransformerLayer`; the last layer computes the wanted rows only, which changes no number."""
        last = len(self.layers) - 1
        for number, layer in enumerate(self.layers):
            x = layer(x, mask, rows if number == last else None)
        result: Tensor = self.norm(x)
        return result
