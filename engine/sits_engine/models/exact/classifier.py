"""Exact's classifier: learns from labels of whole windows which classes one holds, and shows where."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sits_engine.models.exact.clues import CluePrototypes
from sits_engine.models.exact.temporal import ExactTemporalStage
from sits_engine.models.segmentation.patches import along
from sits_engine.models.segmentation.temporal_stage import PatchPositions
from sits_engine.models.segmentation.transformer import Transformer

#: Rows of the day table: published, and ours (a year may have 366 days).
PUBLISHED_DAYS, DAYS_OF_YEAR = 365, 366


#: Longest and shortest wave of the day table at the start in days, and their height.
WAVES, HEIGHT = (365.0, 20.0), 0.7


@dataclass(frozen=True)
class ExactOutput:
    """What the classifier sees. K classes, d channels, h x w patches; outside of the polygon maps are 0.

    Attributes:
        logits: (B, K) float32, of the whole window.
        temporal_logits, spatial_logits: (B, K) float32, means of the two maps over the patches inside.
        temporal_map, spatial_map: (B, K, h, w) float32, Mt and Ms.
        class_features: (B, K, d, h, w), Zt: the class tokens before the stage over space.
        date_features: (B, K, d, h, w), V: the date tokens, weighted for each class; None where not asked for.
        date_attention: (B, K, T) float32, attention of the classes to the dates, without gradient; None with
            `date_features`.
        date_weights: (B, K, T) float32, what V is weighted with; a row sums to 1.
    """

    logits: Tensor
    temporal_logits: Tensor
    spatial_logits: Tensor
    temporal_map: Tensor
    spatial_map: Tensor
    class_features: Tensor
    date_features: Tensor | None
    date_attention: Tensor | None
    date_weights: Tensor | None


class ExactClassifier(nn.Module):
    """Judges windows; any number of dates, padding and patches outside of a polygon are left out everywhere.

    Args:
        n_bands, n_classes: C (without the day) and K (without background).
        window: rows and columns of the training window, a multiple of `patch`; for other sizes the
            table of patch positions is interpolated.
        patch: rows and columns of a patch.
        dim: d, width of a token.
        temporal_depth, spatial_depth: layers.
        heads, head_dim: attention.
        mlp_ratio: width of the middle of the mlp over `dim`.
        n_prototypes: clue prototypes for each class, each of foreground and background.
        prototype_mode: one of `clues.MODES`.
        date_temperature: weights of the dates are their attention to the power of 1 / temperature, divided
            by the sum. 1: the attention itself; lower: the dates that a class looks at most stand out.
        residual: of the transformers, one of `transformer.RESIDUALS`.
        reference: published behaviour: padded dates attended to, days through a float32 channel, a second
            softmax over the attention of the dates (which makes them all weigh the same). Published
            networks also have residual 'normed'.

    Source: shared/spec/exact.md section 2; pitfalls 2.5, 2.7 to 2.9. Differences: docs/exact-method.md.
    """

    def __init__(
        self,
        *,
        n_bands: int,
        n_classes: int,
        window: int = 24,
        patch: int = 2,
        dim: int = 128,
        temporal_depth: int = 8,
        spatial_depth: int = 4,
        heads: int = 4,
        head_dim: int = 64,
        mlp_ratio: int = 4,
        n_prototypes: int = 2,
        prototype_mode: str = "momentum",
        date_temperature: float = 1.0,
        residual: str = "input",
        reference: bool = False,
    ) -> None:
        super().__init__()
        if min(n_bands, n_classes, window) < 1:
            raise ValueError("a classifier needs at least one band, one class and one pixel")
        side = along(window, patch)
        if not date_temperature > 0:
            raise ValueError(f"the temperature of the dates must be above 0, not {date_temperature}")
        self.n_bands, self.n_classes, self.window, self.patch = n_bands, n_classes, window, patch
        self.date_temperature, self.reference = date_temperature, reference
        self.temporal = ExactTemporalStage(
            n_bands,
            n_classes,
            patch=patch,
            dim=dim,
            depth=temporal_depth,
            heads=heads,
            head_dim=head_dim,
            hidden=mlp_ratio * dim,
            n_days=PUBLISHED_DAYS if reference else DAYS_OF_YEAR,
            residual=residual,
            reference=reference,
        )
        if not reference:
            start_with_waves(self.temporal.day_embedding.weight)
        self.space_token = nn.Parameter(torch.randn(dim))
        self.patch_positions = PatchPositions(side, dim)
        self.spatial = Transformer(dim, spatial_depth, heads, head_dim, mlp_ratio * dim, residual)
        self.head = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 1))
        # Shared by classes and by the two stages.
        self.patch_head = nn.Conv2d(dim, 1, 3, padding=1)
        self.clues = CluePrototypes(n_classes, n_prototypes, dim, prototype_mode)

    def forward(
        self,
        images: Tensor,
        positions: Tensor,
        date_mask: Tensor,
        inside: Tensor | None = None,
        *,
        dates: bool = True,
    ) -> ExactOutput:
        """Judge windows.

        Args:
            images: (B, T, C, H, W) float32 normalised, 0 where masked.
            positions: (B, T) days since 1 January; may be negative or above 365.
            date_mask: (B, T) bool, True where the date is used.
            inside: (B, h, w) bool, patches that belong to the polygon: what lies outside has no influence on
                any number. None: all.
            dates: False: without `date_features` and what belongs to them, which only affinity
                propagation needs.

        Raises:
            ValueError: shapes don't fit the network or each other.
        """
        h, w = self._check(images, positions, date_mask, inside)
        batch, n_patches = images.shape[0], h * w
        seen = None if inside is None or bool(inside.all()) else inside
        tokens = self.temporal.encode(images, positions, date_mask, seen, dates=dates)
        classes = tokens.classes.transpose(1, 2)  # (B, K, P, d)
        features = classes.transpose(2, 3).reshape(batch, self.n_classes, -1, h, w)
        temporal_map = self._map(features, seen)
        x = classes.flatten(0, 1) + self.patch_positions(h, w)
        x = torch.cat([self.space_token.to(x.dtype).expand(x.shape[0], 1, -1), x], 1)
        x = self.spatial(x, self._space_mask(seen))
        logits = self.head(x[:, 0]).float().view(batch, self.n_classes)
        of_space = x[:, 1:].transpose(1, 2).reshape(batch, self.n_classes, -1, h, w)
        spatial_map = self._map(of_space, seen)
        weights = self._date_weights(tokens.attention)
        date_features = None
        if weights is not None and tokens.dates is not None:
            mixed = torch.einsum("bkt,bptd->bkdp", weights.to(tokens.dates.dtype), tokens.dates)
            date_features = mixed.reshape(batch, self.n_classes, -1, h, w)
        count = n_patches if seen is None else seen.sum((1, 2)).clamp_min(1)[:, None]
        return ExactOutput(
            logits=logits,
            temporal_logits=temporal_map.sum((2, 3)) / count,
            spatial_logits=spatial_map.sum((2, 3)) / count,
            temporal_map=temporal_map,
            spatial_map=spatial_map,
            class_features=features,
            date_features=date_features,
            date_attention=tokens.attention,
            date_weights=weights,
        )

    def _map(self, features: Tensor, inside: Tensor | None) -> Tensor:
        """Score of every patch: (B, K, d, h, w) -> (B, K, h, w) float32, 0 outside."""
        if inside is not None:
            # As zero padding at the edge of a window: what lies outside is not seen.
            features = features * inside[:, None, None].to(features.dtype)
        flat: Tensor = self.patch_head(features.flatten(0, 1))
        result = flat.float().view(*features.shape[:2], *features.shape[3:])
        return result if inside is None else result * inside[:, None]

    def _space_mask(self, inside: Tensor | None) -> Tensor | None:
        """What may be attended to in space, (B * K, 1, 1, 1 + P); None: everything."""
        if inside is None:
            return None
        seen = F.pad(inside.flatten(1), (1, 0), value=True)
        return seen.repeat_interleave(self.n_classes, 0)[:, None, None]

    def _date_weights(self, attention: Tensor | None) -> Tensor | None:
        """Attention of classes to dates (B, K, T) -> weights that sum to 1; 0 where no date is used."""
        if attention is None:
            return None
        if self.reference:
            return attention.softmax(-1)
        # Divided by the largest first: small numbers to a high power would vanish.
        largest = attention.amax(-1, keepdim=True).clamp_min(torch.finfo(attention.dtype).tiny)
        weights = (attention / largest) ** (1 / self.date_temperature)
        return weights / weights.sum(-1, keepdim=True).clamp_min(1.0)

    def _check(
        self, images: Tensor, positions: Tensor, date_mask: Tensor, inside: Tensor | None
    ) -> tuple[int, int]:
        """Rows and columns of patches; ValueError where the input isn't what the network was made for."""
        if images.ndim != 5 or images.shape[2] != self.n_bands:
            raise ValueError(f"images must be (B, T, {self.n_bands}, H, W), not {tuple(images.shape)}")
        batch, dates, _, height, width = images.shape
        if positions.shape != (batch, dates) or date_mask.shape != (batch, dates):
            raise ValueError(
                f"positions {tuple(positions.shape)} and date_mask {tuple(date_mask.shape)} must be "
                f"({batch}, {dates}) like the images"
            )
        if height % self.patch or width % self.patch:
            raise ValueError(
                f"height and width must be multiples of {self.patch}, not {height} x {width} pixels"
            )
        h, w = height // self.patch, width // self.patch
        if inside is not None and inside.shape != (batch, h, w):
            raise ValueError(f"inside must be ({batch}, {h}, {w}), not {tuple(inside.shape)}")
        if inside is not None and not bool(inside.any()):
            raise ValueError("no patch of these windows lies inside of its polygon")
        return h, w


@torch.no_grad()
def start_with_waves(table: Tensor) -> None:
    """Let a table of days (dim, days) start with sines and cosines, so that near days are alike at once.

    A few hundred windows don't suffice to learn each day on its own.
    """
    if table.is_meta:  # `blank`: nothing to start with
        return
    dim, days = table.shape
    n = (dim + 1) // 2
    lengths = torch.exp(torch.linspace(math.log(WAVES[0]), math.log(WAVES[1]), n))
    angle = 2 * math.pi / lengths[:, None] * torch.arange(days)
    table.copy_(HEIGHT * torch.cat([angle.sin(), angle.cos()])[:dim])
