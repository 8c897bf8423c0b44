"""PSE+LTAE: the crop classifier of TimeMatch, with published parameter names."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from sits_engine.models.layers import blocks
from sits_engine.models.ltae import LTAE
from sits_engine.models.pixel_set import PixelSetEncoder


class PSELTAE(nn.Module):
    """Pixel-set encoder, temporal attention, decoder.

    This is the plain form, written to be read. Training runs `training_form.TrainingForm` and
    prediction `inference.Predictor`, which compute the same from the same parameters, faster.

    Args:
        n_bands: input channels C.
        n_classes: classes K.
        mlp1, mlp2: pixel-set encoder before and after pooling.
        n_head, d_k, d_model: attention; mlp3: layers after it.
        mlp4: hidden layers of the decoder.
        extra: number of per-set features (published option: 4 of geometry).
        attention_dropout, dropout: on the attention weights, and on the features.
        reference: published behaviour: all dates attended to, padded pixels and masked dates in the
            batch-norm statistics.
        shift: days added to every position (the method 'shift' of adaptation builds them in).

    Source: shared/spec/timematch.md section 3; parameter names as published, so that published
    state dicts load.
    """

    def __init__(
        self,
        *,
        n_bands: int,
        n_classes: int,
        mlp1: Sequence[int] = (32, 64),
        mlp2: Sequence[int] = (128,),
        n_head: int = 16,
        d_k: int = 8,
        d_model: int = 256,
        mlp3: Sequence[int] = (128,),
        mlp4: Sequence[int] = (64, 32),
        extra: int = 0,
        attention_dropout: float = 0.1,
        dropout: float = 0.2,
        reference: bool = False,
        shift: int = 0,
    ) -> None:
        super().__init__()
        self.n_bands, self.n_classes, self.reference = n_bands, n_classes, reference
        self.spatial_encoder = PixelSetEncoder(n_bands, mlp1, mlp2, extra=extra, reference=reference)
        self.temporal_encoder = LTAE(
            mlp2[-1],
            n_head=n_head,
            d_k=d_k,
            d_model=d_model,
            mlp=mlp3,
            attention_dropout=attention_dropout,
            dropout=dropout,
            reference=reference,
            shift=shift,
        )
        self.decoder = blocks([mlp3[-1], *mlp4])
        self.decoder.append(nn.Linear(mlp4[-1], n_classes))

    def features(
        self,
        pixels: Tensor,
        pixel_mask: Tensor,
        positions: Tensor,
        date_mask: Tensor | None = None,
        extra: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """What the decoder sees: features (B, mlp3[-1]) and attention (B, H, T). Arguments as `forward`."""
        if date_mask is None and not self.reference:
            date_mask = pixel_mask.any(-1)
        x = self.spatial_encoder(pixels, pixel_mask, date_mask, extra)
        features, attention = self.temporal_encoder(x, positions, date_mask)
        return features, attention

    def classify(self, features: Tensor) -> Tensor:
        """Features (B, mlp3[-1]) -> logits (B, K)."""
        for block in self.decoder:
            features = block(features)
        return features

    def forward(
        self,
        pixels: Tensor,
        pixel_mask: Tensor,
        positions: Tensor,
        date_mask: Tensor | None = None,
        extra: Tensor | None = None,
    ) -> Tensor:
        """Classify sets.

        Args:
            pixels: (B, T, C, S) float32 normalised; anything finite where masked.
            pixel_mask: (B, T, S), 1 where the pixel is real and clear at that date.
            positions: (B, T) days since 1 January.
            date_mask: (B, T) bool, True where the date is used; None: where any pixel counts.
            extra: (B, E), only with `extra` > 0.

        Returns:
            logits (B, K).
        """
        features, _ = self.features(pixels, pixel_mask, positions, date_mask, extra)
        return self.classify(features)
