"""Satellite encoder of TimeSenCLIP: a transformer over the months of one place.

Source: shared/spec/timesenclip.md sections 3 and 4; parameter names are the published ones.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from sits_engine.models.timesenclip.steps import MONTHS, positions_of

#: exp(s) of the published start: cosines are divided by 0.07.
START_SCALE = math.log(1 / 0.07)
#: Cosines are multiplied by at most 100.
LARGEST_SCALE = math.log(100.0)


class SatelliteEncoder(nn.Module):
    """Monthly composites -> a vector in the space of CLIP (not of unit length).

    Args:
        n_bands: C.
        embedding: length of CLIP's vectors.
        context: S, pixels along the side of the square that is seen (odd).
        dim, depth, heads, feedforward: of the transformer; dim is divisible by heads.
        dropout: in training.
        activation: 'relu' as released, 'gelu' as in the paper.
        head: 'linear' as released, 'mlp' (two layers) as in the paper.
        reference: one step gets January's position at inference, as released, instead of the mean position
            that it is trained with.
    """

    def __init__(
        self,
        *,
        n_bands: int,
        embedding: int = 512,
        context: int = 1,
        dim: int = 512,
        depth: int = 6,
        heads: int = 8,
        feedforward: int = 256,
        dropout: float = 0.2,
        activation: str = "relu",
        head: str = "linear",
        reference: bool = False,
    ) -> None:
        super().__init__()
        if (
            dim % heads
            or context % 2 == 0
            or activation not in ("relu", "gelu")
            or head not in ("linear", "mlp")
        ):
            raise ValueError(f"{dim=}, {heads=}, {context=}, {activation=}, {head=}")
        self.n_bands, self.embedding, self.context = n_bands, embedding, context
        self.dim, self.heads, self.activation = dim, heads, activation
        self.reference = reference
        self.spectral_embedding = nn.Sequential(nn.Flatten(2), nn.Linear(n_bands * context**2, dim))
        self.time_pos_encoding = nn.Parameter(torch.zeros(1, MONTHS, dim))
        self.time_token = nn.Parameter(torch.zeros(1, 1, dim))
        layer = nn.TransformerEncoderLayer(
            dim, heads, feedforward, dropout, activation=activation, batch_first=True
        )
        # Nested tensors would drop padding only where all of it stands at the end.
        self.transformer = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        last = [nn.Linear(dim, embedding)]
        if head == "mlp":
            last = [nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, embedding)]  # type: ignore[list-item]
        self.mlp_head = nn.Sequential(nn.LayerNorm(dim), *last)
        self.logit_scale = nn.Parameter(torch.tensor(START_SCALE))

    @torch.no_grad()
    def start_with_calendar(self, amplitude: float = 0.5) -> None:
        """Before training, give months positions that differ, neighbours less: one to three waves a year.

        As released positions start at zero, and until they have grown, which takes thousands of steps, the
        order of the months has no influence: a run on hundreds of places never gets there.

        Args:
            amplitude: root of the mean square of a position.
        """
        angle = torch.arange(MONTHS, device=self.time_token.device) * (2 * math.pi / MONTHS)
        waves = torch.stack([wave(k * angle) for k in (1, 2, 3) for wave in (torch.sin, torch.cos)], 1)
        mix = torch.randn(waves.shape[1], self.dim).to(waves) / math.sqrt(3)
        self.time_pos_encoding.copy_((amplitude * waves @ mix).unsqueeze(0))

    def positions(self) -> Tensor:
        """(17, dim): positions of the months, of the quarters (medians) and of the year (mean)."""
        months = self.time_pos_encoding[0]
        quarters = months.view(4, 3, -1).median(1).values
        return torch.cat([months, quarters, months.mean(0, keepdim=True)])

    def months_of(self, steps: int) -> Tensor:
        """(steps,) positions at inference of 12, 4 or 1 steps."""
        return positions_of(steps, january=self.reference)

    def tokens(self, images: Tensor) -> Tensor:
        """(B, T, C, S, S) normalised -> (B, T, dim), without position."""
        out: Tensor = self.spectral_embedding(images)
        return out

    def encode(self, tokens: Tensor, positions: Tensor, mask: Tensor | None = None) -> Tensor:
        """Tokens with their positions through the transformer.

        Args:
            tokens: (B, T, dim).
            positions: (B, T, dim), or what broadcasts to it.
            mask: (B, T) bool, False for tokens that nobody may see.

        Returns:
            (B, embedding).
        """
        b = tokens.shape[0]
        x = torch.cat([self.time_token.expand(b, -1, -1), tokens + positions], 1)
        hidden = None
        if mask is not None:
            hidden = torch.cat([mask.new_zeros(b, 1), ~mask], 1)
        x = self.transformer(x, src_key_padding_mask=hidden)
        out: Tensor = self.mlp_head(x[:, 0])
        return out

    def forward(self, images: Tensor, months: Tensor, mask: Tensor | None = None) -> Tensor:
        """Vectors of B places.

        Args:
            images: (B, T, C, S, S), clip((physical - mean) / std, 0, 1).
            months: (B, T) int64, 0..11; 12..15 for quarters, 16 for the year (`steps`).
            mask: (B, T) bool, True where used; None: all.

        Returns:
            (B, embedding), not normalised. A place without any month gets what the class token alone gives.
        """
        return self.encode(self.tokens(images), self.positions()[months], mask)
