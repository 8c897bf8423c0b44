"""First half of Exact's classifier: TSViT's stage over time, which also tells what the classes look at."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sits_engine.models.segmentation.patches import cut
from sits_engine.models.segmentation.temporal_stage import TemporalStage, published_day_rows


@dataclass(frozen=True)
class TemporalTokens:
    """What the stage over time gives; patches outside of the polygon are zero.

    Attributes:
        classes: (B, P, K, dim).
        dates: (B, P, T, dim); None where not asked for.
        attention: (B, K, T) float32, what the class tokens give to each date: the mean over heads, layers and
            the patches inside, without gradient; a row sums to less than 1, since classes look at
            each other, too. None with `dates`.
    """

    classes: Tensor
    dates: Tensor | None
    attention: Tensor | None


class ClassAttention:
    """Sums up what class tokens give to dates, layer by layer; a `transformer.Watch`.

    Only these K rows are computed: PyTorch's fused attention, which does the work, keeps none.

    Args:
        n_classes: K, the first tokens.
        mask: (N, 1, 1, L) bool, what may be attended to; None: everything.
        window: (N,) int64, the window of each sequence.
        n_windows: B.
    """

    def __init__(self, n_classes: int, mask: Tensor | None, window: Tensor, n_windows: int) -> None:
        self._n_classes, self._mask, self._window, self._n_windows = n_classes, mask, window, n_windows
        self._layers: list[Tensor] = []

    @torch.no_grad()
    def __call__(self, query: Tensor, key: Tensor) -> None:
        """Query and key of a layer, (N, heads, L, head_dim)."""
        scores = query[:, :, : self._n_classes] @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
        scores = scores.float()
        if self._mask is not None:
            scores = scores.masked_fill(~self._mask, float("-inf"))
        given = scores.softmax(-1)[..., self._n_classes :].mean(1)
        total = given.new_zeros(self._n_windows, *given.shape[1:])
        self._layers.append(total.index_add_(0, self._window, given))

    def mean(self) -> Tensor:
        """(B, K, L - K): the mean over patches and layers; zeros for a window without patches."""
        patches = torch.bincount(self._window, minlength=self._n_windows).clamp_min(1)
        return torch.stack(self._layers).mean(0) / patches[:, None, None]


class ExactTemporalStage(TemporalStage):
    """As `TemporalStage`; with `reference` days go as in the published code, whose table has 365 rows.

    Source: shared/spec/exact.md sections 2.2 and 2.4; pitfalls 2.5, 2.7.
    """

    def encode(
        self,
        images: Tensor,
        positions: Tensor,
        date_mask: Tensor,
        inside: Tensor | None = None,
        *,
        dates: bool = True,
    ) -> TemporalTokens:
        """Encode.

        Args:
            images: (B, T, C, H, W).
            positions: (B, T).
            date_mask: (B, T) bool; padding gets no attention (published: it does).
            inside: (B, h, w) bool, patches that count; the others cost nothing. None: all.
            dates: False: class tokens alone, which is cheaper.
        """
        all_dates = images.shape[1]
        images, positions, date_mask, used = self._with_used(images, positions, date_mask)
        batch, n_dates, _, height, width = images.shape
        n_patches = (height // self.patch) * (width // self.patch)
        n_classes, dim = self.class_tokens.shape
        x: Tensor = self.patch_embedding(cut(images, self.patch)).view(batch, n_patches, n_dates, dim)
        x = x + self._days(positions, date_mask).unsqueeze(1)
        x = torch.cat([self.class_tokens.to(x.dtype).expand(batch, n_patches, n_classes, dim), x], 2)
        x, mask = x.flatten(0, 1), self._mask(date_mask, n_patches)
        window = torch.arange(batch, device=x.device).repeat_interleave(n_patches)
        kept = None if inside is None or bool(inside.all()) else inside.reshape(-1).nonzero()[:, 0]
        if kept is not None:
            x, window = x[kept], window[kept]
            mask = None if mask is None else mask[kept]
        watch = ClassAttention(n_classes, mask, window, batch) if dates else None
        x = self.transformer(x, mask, rows=None if dates else n_classes, watch=watch)
        if kept is not None:
            x = x.new_zeros(batch * n_patches, *x.shape[1:]).index_copy(0, kept, x)
        x = x.view(batch, n_patches, -1, dim)
        if watch is None:
            return TemporalTokens(x, None, None)
        classes, rest = x[:, :, :n_classes], x[:, :, n_classes:]
        attention = watch.mean()
        if used is not None:
            attention = attention.new_zeros(batch, n_classes, all_dates).index_copy(2, used, attention)
            rest = rest.new_zeros(batch, n_patches, all_dates, dim).index_copy(2, used, rest)
        return TemporalTokens(classes, rest, attention)

    def _with_used(
        self, images: Tensor, positions: Tensor, date_mask: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Without the dates that no window uses, and the places of the others; None: all are used."""
        used = date_mask.to(torch.bool).any(0)
        if self.reference or bool(used.all()):
            return images, positions, date_mask, None
        places = used.nonzero()[:, 0]
        return images[:, places], positions[:, places], date_mask[:, places], places

    def _days(self, positions: Tensor, date_mask: Tensor) -> Tensor:
        """As `TemporalStage`; the published table ends at row 364, where later days are put."""
        if not self.reference:
            return super()._days(positions, date_mask)
        last = self.day_embedding.in_features - 1
        rows = published_day_rows(positions, date_mask, last + 2).clamp_max(last)
        return F.embedding(rows, self.day_embedding.weight.T) + self.day_embedding.bias
