"""TSViT for whole scenes: one answer for a window, not one for each pixel."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sits_engine.models.segmentation.patches import along
from sits_engine.models.segmentation.temporal_stage import PatchPositions, TemporalStage
from sits_engine.models.segmentation.transformer import Transformer


class TSViTClassifier(nn.Module):
    """Scores of the classes in a window; kept for parity with the published scene classifier.

    As `tsvit.TSViT` up to the spatial stage, where each class gets a token of its own beside its
    patches and is judged by it.

    Args:
        n_bands, n_classes, window, patch, dim, temporal_depth, spatial_depth, heads, head_dim, mlp_ratio,
            reference: as `tsvit.TSViT`.

    Source: shared/spec/cscl.md section 9; shared/golden/tsvit_cls_deepsat.pt.
    """

    def __init__(
        self,
        *,
        n_bands: int,
        n_classes: int,
        window: int = 24,
        patch: int = 2,
        dim: int = 128,
        temporal_depth: int = 4,
        spatial_depth: int = 4,
        heads: int = 4,
        head_dim: int = 32,
        mlp_ratio: int = 4,
        reference: bool = False,
    ) -> None:
        super().__init__()
        side = along(window, patch)
        self.n_classes, self.patch = n_classes, patch
        self.temporal = TemporalStage(
            n_bands,
            n_classes,
            patch=patch,
            dim=dim,
            depth=temporal_depth,
            heads=heads,
            head_dim=head_dim,
            hidden=mlp_ratio * dim,
            n_days=365,
            reference=reference,
        )
        self.patch_positions = PatchPositions(side, dim)
        self.space_token = nn.Parameter(torch.randn(dim))
        self.spatial = Transformer(dim, spatial_depth, heads, head_dim, mlp_ratio * dim)
        self.head = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 1))

    def forward(self, images: Tensor, positions: Tensor, date_mask: Tensor) -> Tensor:
        """Judge windows.

        Args:
            images: (B, T, C, H, W) float32 normalised; H and W multiples of the patch.
            positions: (B, T) days since 1 January.
            date_mask: (B, T) bool, True where the date is used.

        Returns:
            logits (B, K).
        """
        height, width = images.shape[-2:]
        x = self.temporal(images, positions, date_mask)
        x = x + self.patch_positions(height // self.patch, width // self.patch)
        token = self.space_token.to(x.dtype).expand(x.shape[0], 1, -1)
        x = self.spatial(torch.cat([token, x], 1), rows=1)
        logits: Tensor = self.head(x[:, 0])
        return logits.view(-1, self.n_classes)
