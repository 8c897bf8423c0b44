"""Lightweight temporal attention encoder in the form that TimeMatch published."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sits_engine.models.layers import LinearNorm, blocks

#: Added to every position before it is encoded (published table: row = position + 100).
POSITION_OFFSET = 100
#: Longest wave of the encoding, in days over 2 pi.
POSITION_SCALE = 1000.0


def encode_positions(positions: Tensor, d_model: int) -> Tensor:
    """Sine and cosine of date positions, computed from the value, so that any position is legal.

    Args:
        positions: (...) days since 1 January, any real number.
        d_model: number of columns, even.

    Returns:
        (..., d_model) float32: column 2i = sin(a_i), 2i + 1 = cos(a_i),
        a_i = (position + 100) * 1000 ** (-2i / d_model). Equals the published table.
    """
    even = torch.arange(0, d_model, 2, dtype=torch.float32, device=positions.device)
    rate = torch.exp(even * (-math.log(POSITION_SCALE) / d_model))
    angle = (positions.to(torch.float32) + POSITION_OFFSET).unsqueeze(-1) * rate
    return torch.stack([torch.sin(angle), torch.cos(angle)], -1).flatten(-2)


def attention_weights(scores: Tensor, date_mask: Tensor | None) -> Tensor:
    """Softmax over dates, the last dimension; hidden dates get exactly 0.

    Args:
        scores: (B, H, T).
        date_mask: (B, T) bool, True where the date may be seen; a row without any gives zeros.
    """
    if date_mask is None:
        return torch.softmax(scores, -1)
    seen = date_mask.to(torch.bool).unsqueeze(1)
    # A finite floor keeps a row without any date free of NaN; the product makes it zero.
    scores = scores.masked_fill(~seen, torch.finfo(scores.dtype).min)
    return torch.softmax(scores, -1) * seen.to(scores.dtype)


class AttentionHeads(nn.Module):
    """One learned query for each head; keys are projected, values are the head's own channels."""

    def __init__(self, n_head: int, d_k: int, d_model: int) -> None:
        super().__init__()
        self.n_head, self.d_k = n_head, d_k
        self.query = nn.Parameter(torch.empty(n_head, d_k).normal_(0, math.sqrt(2.0 / d_k)))
        self.key = nn.Linear(d_model, n_head * d_k)

    def scores(self, x: Tensor) -> Tensor:
        """(B, T, d_model) -> (B, H, T), scaled by 1 / sqrt(d_k)."""
        keys = self.key(x).view(*x.shape[:-1], self.n_head, self.d_k)
        return torch.einsum("bthk,hk->bht", keys, self.query) / math.sqrt(self.d_k)

    def folded(self) -> tuple[Tensor, Tensor]:
        """Query multiplied into the key projection: scores = x @ weight.T + bias.

        Returns:
            weight (H, d_model), bias (H,); both differentiable.
        """
        query = self.query / math.sqrt(self.d_k)
        weight = self.key.weight.view(self.n_head, self.d_k, -1)
        bias = self.key.bias.view(self.n_head, self.d_k)
        return torch.einsum("hk,hkd->hd", query, weight), (query * bias).sum(-1)


class LTAE(nn.Module):
    """Weighs the dates of a sequence and sums them up.

    Args:
        in_channels: width of the sequence.
        n_head, d_k, d_model: heads, key width of a head, width inside; d_model divides by n_head.
        mlp: widths of the layers after the heads.
        attention_dropout, dropout: published 0.1 and 0.2.
        reference: published behaviour: every date is attended to, masked or not.
        shift: days added to every position, so that a model made for an earlier or later season fits.

    Source: shared/spec/timematch.md section 3.2.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        n_head: int = 16,
        d_k: int = 8,
        d_model: int = 256,
        mlp: Sequence[int] = (128,),
        attention_dropout: float = 0.1,
        dropout: float = 0.2,
        reference: bool = False,
        shift: int = 0,
    ) -> None:
        super().__init__()
        if d_model % n_head or d_model % 2:
            raise ValueError(f"d_model {d_model} must be even and a multiple of n_head {n_head}")
        self.reference, self.shift = reference, shift
        self.inconv = LinearNorm(in_channels, d_model)
        self.attention_heads = AttentionHeads(n_head, d_k, d_model)
        self.mlp = blocks([d_model, *mlp])
        self.attention_dropout = nn.Dropout(attention_dropout)
        self.dropout = nn.Dropout(dropout)
        self.register_load_state_dict_pre_hook(_drop_position_table)  # type: ignore[no-untyped-call]

    def forward(self, x: Tensor, positions: Tensor, date_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Encode sequences.

        Args:
            x: (B, T, in_channels).
            positions: (B, T) days since 1 January.
            date_mask: (B, T) bool, True where the date is used; ignored by the published form.

        Returns:
            features (B, mlp[-1]) and attention (B, H, T) before dropout.
        """
        seen = None if self.reference else date_mask
        x = self.inconv(x, seen)
        x = x + encode_positions(positions + self.shift, x.shape[-1]).to(x.dtype)
        attention = attention_weights(self.attention_heads.scores(x), seen)
        heads = x.view(*x.shape[:-1], self.attention_heads.n_head, -1)
        out = torch.einsum("bht,bthc->bhc", self.attention_dropout(attention), heads).flatten(1)
        for block in self.mlp:
            out = block(out)
        return self.dropout(out), attention


def _drop_position_table(module: nn.Module, state: dict[str, Any], prefix: str, *rest: Any) -> None:
    """Published state dicts carry the encoding as a table; it is computed here."""
    state.pop(prefix + "positional_enc.weight", None)
