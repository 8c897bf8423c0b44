"""First half of TSViT: patches of all dates and one token for each class, through a transformer over time."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sits_engine.models.segmentation.patches import cut
from sits_engine.models.segmentation.segmenter import DAYS
from sits_engine.models.segmentation.transformer import Transformer

#: Days outside the table are brought into the year by multiples of this.
YEAR = 365
#: Standard deviation of the table of days at the start, half that of tokens and positions.
DAY_SPREAD = 0.5


def day_rows(positions: Tensor, n_days: int) -> Tensor:
    """The row of the day table of each date.

    Args:
        positions: (...) days since 1 January (0 is that day).
        n_days: rows of the table.

    Returns:
        int64, in 0..n_days - 1. Days outside wrap by whole years of 365 days: -1 is 31 December.
    """
    day = positions.to(torch.int64)
    return torch.where((day >= 0) & (day < n_days), day, day.remainder(YEAR))


def published_day_rows(positions: Tensor, date_mask: Tensor, n_days: int) -> Tensor:
    """As the published code finds it: from the float32 channel of days, which is 0 for padding."""
    channel = positions.to(torch.float32) / DAYS * date_mask.to(torch.float32)
    return day_rows(torch.floor(channel * DAYS), n_days)


class TemporalStage(nn.Module):
    """Window -> a token for each class and patch.

    Args:
        n_bands, n_classes: C and K.
        patch: rows and columns of a patch.
        dim, depth, heads, head_dim, hidden: of the transformer.
        n_days: rows of the table of days (published: 366; the scene classifier's has 365).
        residual: of the transformer, one of `transformer.RESIDUALS`.
        reference: padded dates are attended to, and days go through a float32 channel.
        first_day: row of 1 January; 1 for published weights, which count days from 1 (row 0 is padding).

    Source: shared/spec/cscl.md section 9, exact.md section 6.
    """

    def __init__(
        self,
        n_bands: int,
        n_classes: int,
        *,
        patch: int,
        dim: int,
        depth: int,
        heads: int,
        head_dim: int,
        hidden: int,
        n_days: int = 366,
        residual: str = "input",
        reference: bool = False,
        first_day: int = 0,
    ) -> None:
        super().__init__()
        if patch < 1:
            raise ValueError("a patch must have at least one pixel")
        self.patch, self.reference, self.first_day = patch, reference, first_day
        self.patch_embedding = nn.Linear(patch * patch * n_bands, dim)
        # A linear layer on a one-hot of the day; looked up instead of multiplied.
        self.day_embedding = nn.Linear(n_days, dim)
        if not reference:
            # The usual start of a layer with 366 inputs is 0.03, which drowns beside tokens of 1: on made-up
            # noisy fields of five crops the loss then stood still for 140 steps, with 0.5 for 40.
            nn.init.normal_(self.day_embedding.weight, std=DAY_SPREAD)
        self.class_tokens = nn.Parameter(torch.randn(n_classes, dim))
        self.transformer = Transformer(dim, depth, heads, head_dim, hidden, residual)

    def forward(self, images: Tensor, positions: Tensor, date_mask: Tensor) -> Tensor:
        """Encode.

        Args:
            images: (B, T, C, H, W).
            positions: (B, T).
            date_mask: (B, T) bool; padding gets no attention (published: it does).

        Returns:
            (B * K, h * w, dim): for each image and class its tokens, patch by patch.
        """
        images, positions, date_mask = self._seen(images, positions, date_mask)
        batch, dates, _, height, width = images.shape
        n_patches = (height // self.patch) * (width // self.patch)
        n_classes, dim = self.class_tokens.shape
        x: Tensor = self.patch_embedding(cut(images, self.patch)).view(batch, n_patches, dates, dim)
        x = x + self._days(positions, date_mask).unsqueeze(1)
        tokens = self.class_tokens.to(x.dtype).expand(batch, n_patches, n_classes, dim)
        x = torch.cat([tokens, x], 2).flatten(0, 1)
        x = self.transformer(x, self._mask(date_mask, n_patches), rows=n_classes)
        return x.view(batch, n_patches, n_classes, dim).transpose(1, 2).flatten(0, 1)

    def _seen(self, images: Tensor, positions: Tensor, date_mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Without the dates that no window uses: nothing attends to them (published: it does)."""
        if self.reference or torch.compiler.is_exporting():
            return images, positions, date_mask
        used = date_mask.to(torch.bool).any(0)
        if bool(used.all()):
            return images, positions, date_mask
        return images[:, used], positions[:, used], date_mask[:, used]

    def _days(self, positions: Tensor, date_mask: Tensor) -> Tensor:
        """Embedding of every date (B, T, dim)."""
        n_days = self.day_embedding.in_features
        if self.first_day:
            positions = (day_rows(positions, n_days) + self.first_day).clamp(max=n_days - 1)
        if self.reference:
            rows = published_day_rows(positions, date_mask, n_days)
        else:
            rows = day_rows(positions, n_days)
        return F.embedding(rows, self.day_embedding.weight.T) + self.day_embedding.bias

    def _mask(self, date_mask: Tensor, n_patches: int) -> Tensor | None:
        """What the tokens of each patch may attend to, (B * n_patches, 1, 1, K + T); None: everything."""
        if self.reference or (not torch.compiler.is_exporting() and bool(date_mask.all())):
            return None
        seen = F.pad(date_mask.to(torch.bool), (len(self.class_tokens), 0), value=True)
        return seen.repeat_interleave(n_patches, 0)[:, None, None]


class PatchPositions(nn.Module):
    """A learned vector for the place of each patch in the window.

    Args:
        side: patches along a side of the training window.
        dim: width of a token.
    """

    def __init__(self, side: int, dim: int) -> None:
        super().__init__()
        self.side = side
        self.table = nn.Parameter(torch.randn(side * side, dim))

    def forward(self, h: int, w: int) -> Tensor:
        """Vectors of h x w patches, (h * w, dim); another size than the training window's is interpolated."""
        if (h, w) == (self.side, self.side):
            return self.table
        image = self.table.T.reshape(1, -1, self.side, self.side)
        return F.interpolate(image, (h, w), mode="bilinear", align_corners=False).flatten(2)[0].T
