"""Transformer layers with the attention of `token_attention` and the products of `products`."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from sits_engine.models.segmentation import products
from sits_engine.models.token_attention import attention

#: What is added to a layer's attention: its input (the usual form), the normed input (published classifier of
#: Exact), or both (published segmentation network of Exact).
RESIDUALS = ("input", "normed", "both")
#: Sees query and key of a layer, (N, heads, rows or L, head_dim) and (N, heads, L, head_dim).
Watch = Callable[[Tensor, Tensor], None]


class TransformerLayer(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)).

    Args:
        dim: width of a token.
        heads, head_dim: attention; inside it is heads * head_dim wide.
        hidden: width of the middle of the mlp.
        residual: one of `RESIDUALS`.

    Source: shared/spec/cscl.md section 9 (ordinary pre-norm layers, no bias on query, key and value),
    exact.md section 2.1 (the other residuals).
    """

    def __init__(self, dim: int, heads: int, head_dim: int, hidden: int, residual: str = "input") -> None:
        super().__init__()
        if residual not in RESIDUALS:
            raise ValueError(f"residual '{residual}' is none of {', '.join(RESIDUALS)}")
        self.residual = residual
        self.heads, self.inner = heads, heads * head_dim
        self.attention_norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * self.inner, bias=False)
        self.project = nn.Linear(self.inner, dim)
        self.mlp_norm = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))

    def forward(
        self, x: Tensor, mask: Tensor | None = None, rows: int | None = None, watch: Watch | None = None
    ) -> Tensor:
        """Transform tokens.

        Args:
            x: (N, L, dim).
            mask: (N, 1, 1, L) bool, True where a token may be attended to; None: all.
            rows: only the first so many tokens are wanted; the others are still attended to.
            watch: is shown query and key.

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
        query, key = self._split(query), self._split(key)
        if watch is not None:
            watch(query, key)
        mixed = attention(query, key, self._split(value), None if mask is None else ~mask[:, 0, 0])
        if self.residual != "input":
            normed = normed[:, :rows]
            x = normed if self.residual == "normed" else x + normed
        x = x + products.linear(mixed.flatten(2), self.project.weight, self.project.bias)
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

    def __init__(
        self, dim: int, depth: int, heads: int, head_dim: int, hidden: int, residual: str = "input"
    ) -> None:
        super().__init__()
        if min(dim, depth, heads, head_dim, hidden) < 1:
            raise ValueError("a transformer's sizes must all be at least 1")
        self.layers = nn.ModuleList(
            TransformerLayer(dim, heads, head_dim, hidden, residual) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(dim)

    def forward(
        self, x: Tensor, mask: Tensor | None = None, rows: int | None = None, watch: Watch | None = None
    ) -> Tensor:
        """As `TransformerLayer`; the last layer computes the wanted rows only, which changes no number."""
        last = len(self.layers) - 1
        for number, layer in enumerate(self.layers):
            x = layer(x, mask, rows if number == last else None, watch)
        result: Tensor = self.norm(x)
        return result
