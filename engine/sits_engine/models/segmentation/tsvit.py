"""TSViT: a vision transformer over time, then over space, with one token for each class."""

from __future__ import annotations

from torch import Tensor, nn

from sits_engine.models.segmentation.patches import along, join, join_as_published
from sits_engine.models.segmentation.segmenter import SegmentationNetwork
from sits_engine.models.segmentation.temporal_stage import PatchPositions, TemporalStage
from sits_engine.models.segmentation.transformer import Transformer
from sits_engine.models.segmentation.upsampling import enlarging

#: Channels of a class in the embedding of a network for super-resolution (published: 1, its score).
SUPER_RESOLUTION_FEATURES = 16


class TSViT(SegmentationNetwork):
    """Labels windows; any number of dates up to `n_dates`, padding is left out of the attention.

    The embedding has `features` channels for each class. Published is one, the class score itself, so that
    `classify` has nothing to do. For super-resolution a class has more, the blocks that enlarge it
    are shared by all classes, and `classify` sums its channels up with learned weights.

    Args:
        n_bands, n_classes, n_dates, scale: as `SegmentationNetwork`.
        window: rows and columns of the training window, a multiple of `patch`; for other sizes the
            table of patch positions is interpolated.
        patch: rows and columns of a patch.
        dim: width of a token.
        temporal_depth, spatial_depth: layers.
        heads, head_dim: attention.
        mlp_ratio: width of the middle of the mlp over `dim`.
        features: see above; None: 1, or 16 with `scale` above 1.
        residual: of the transformers, one of `transformer.RESIDUALS`; 'both' is the published segmentation
            network of Exact.
        first_day: number of 1 January in the table of days (published: 1).
        reference: published behaviour: values of a patch scattered over its row of patches (pitfalls 3.1),
            padded dates attended to.

    Source: shared/spec/cscl.md section 9, exact.md section 6.
    """

    def __init__(
        self,
        *,
        n_bands: int,
        n_classes: int,
        n_dates: int,
        window: int = 24,
        scale: int = 1,
        patch: int = 2,
        dim: int = 128,
        temporal_depth: int = 4,
        spatial_depth: int = 4,
        heads: int = 4,
        head_dim: int = 32,
        mlp_ratio: int = 4,
        features: int | None = None,
        residual: str = "input",
        first_day: int = 0,
        reference: bool = False,
    ) -> None:
        super().__init__(
            n_bands=n_bands,
            n_classes=n_classes,
            n_dates=n_dates,
            window=window,
            scale=scale,
            reference=reference,
        )
        side = along(window, patch)
        if features is None:
            features = 1 if scale == 1 else SUPER_RESOLUTION_FEATURES
        self.patch, self.divisor, self.features = patch, patch, features
        self.embedding_channels = n_classes * features
        self.temporal = TemporalStage(
            n_bands,
            n_classes,
            patch=patch,
            dim=dim,
            depth=temporal_depth,
            heads=heads,
            head_dim=head_dim,
            hidden=mlp_ratio * dim,
            residual=residual,
            reference=reference,
            first_day=first_day,
        )
        self.patch_positions = PatchPositions(side, dim)
        self.spatial = Transformer(dim, spatial_depth, heads, head_dim, mlp_ratio * dim, residual)
        self.pixels = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, features * patch * patch))
        self.enlarge = enlarging(features, scale, reference=reference)
        self.score = nn.Conv2d(features, 1, 1) if features > 1 else nn.Identity()

    def embed(self, images: Tensor, positions: Tensor, date_mask: Tensor) -> Tensor:
        """As `SegmentationNetwork.embed`; channels of a class lie together."""
        self.check(images, positions, date_mask)
        batch, (height, width) = images.shape[0], images.shape[-2:]
        # Classes stand beside the images in the batch: (B * K, patches, dim).
        x = self.temporal(images, positions, date_mask)
        x = x + self.patch_positions(height // self.patch, width // self.patch)
        values = self.pixels(self.spatial(x))
        values = values.view(*values.shape[:2], self.features, -1).transpose(1, 2)
        put_together = join_as_published if self.reference else join
        maps: Tensor = self.enlarge(put_together(values, (height, width)))
        return maps.reshape(batch, self.embedding_channels, *maps.shape[-2:])

    def classify(self, embedding: Tensor) -> Tensor:
        """As `SegmentationNetwork.classify`."""
        size = embedding.shape[-2:]
        scores: Tensor = self.score(embedding.reshape(-1, self.features, *size))
        return scores.view(-1, self.n_classes, *size)
