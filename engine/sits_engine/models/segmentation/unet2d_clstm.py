"""UNet2D-CLSTM: a two-dimensional U-Net on each date, then a convolutional LSTM over the dates."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sits_engine.models.segmentation.blocks import conv2d, grouped_conv2d
from sits_engine.models.segmentation.conv_lstm import ConvLSTM
from sits_engine.models.segmentation.segmenter import SegmentationNetwork, lengthened, used_dates, with_day
from sits_engine.models.segmentation.upsampling import enlarging

#: Momentum of the running statistics, and what it amounts to where they are moved twice by the same batch.
MOMENTUM = 0.1
TWICE = 1 - (1 - MOMENTUM) ** 2


class UNet2D(nn.Module):
    """The U-Net of one date: (N, C, H, W) -> (N, 8 f, H, W); H and W multiples of 4.

    Args:
        n_in: channels of the input.
        features: f; the levels have 4 f, 8 f and 16 f channels (published: 16).
    """

    def __init__(self, n_in: int, features: int) -> None:
        super().__init__()
        top, middle, bottom = 4 * features, 8 * features, 16 * features
        self.enc3 = nn.Sequential(*grouped_conv2d(n_in, top), *grouped_conv2d(top, top))
        self.enc4 = nn.Sequential(*grouped_conv2d(top, middle), *grouped_conv2d(middle, middle))
        self.center = nn.Sequential(*grouped_conv2d(middle, bottom))
        self.center_decode = nn.Sequential(
            *grouped_conv2d(bottom, bottom), nn.ConvTranspose2d(bottom, middle, 2, stride=2)
        )
        self.dec4 = nn.Sequential(
            *conv2d(2 * middle, middle), *conv2d(middle, middle), nn.ConvTranspose2d(middle, top, 2, stride=2)
        )
        self.final = nn.Sequential(
            *conv2d(2 * top, top), *conv2d(top, 2 * features), nn.Conv2d(2 * features, middle, 3, padding=1)
        )
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        """Apply."""
        # The same numbers with the channel running fastest in memory: 15 % faster.
        top = self.enc3(x.contiguous(memory_format=torch.channels_last))
        middle = self.enc4(self.pool(top))
        bottom = self.center_decode(self.center(self.pool(middle)))
        up = self.dec4(torch.cat([bottom, middle], 1))
        result: Tensor = self.final(torch.cat([up, top], 1))
        return result


class UNet2DCLSTM(SegmentationNetwork):
    """All dates go through the U-Net in one batch; padded dates are left out of it, and of the LSTM.

    Args:
        n_bands, n_classes, n_dates, window, scale: as `SegmentationNetwork`.
        features: f of the U-Net (published 16; 4 for the small width); E = 8 f.
        reference: published behaviour: padded dates take part, and the running statistics of the LSTM are
            moved twice by each batch, because it is run twice (pitfalls 3.13).

    Source: shared/spec/cscl.md section 5.3.
    """

    def __init__(
        self,
        *,
        n_bands: int,
        n_classes: int,
        n_dates: int,
        window: int = 24,
        scale: int = 1,
        features: int = 16,
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
        if features < 1:
            raise ValueError("features must be at least 1")
        wide = 8 * features
        self.embedding_channels = wide
        self.unet = UNet2D(n_bands + 1, features)
        self.lstm = ConvLSTM(wide, wide, n_dates, TWICE if reference else MOMENTUM)
        self.head = nn.Conv2d(wide, n_classes, 3, padding=1)
        self.apply(_start)
        self.enlarge = enlarging(wide, scale, reference=reference)

    def embed(self, images: Tensor, positions: Tensor, date_mask: Tensor) -> Tensor:
        """As `SegmentationNetwork.embed`."""
        self.check(images, positions, date_mask)
        return self.encode(with_day(images, positions, date_mask), date_mask)

    def encode(self, stack: Tensor, date_mask: Tensor) -> Tensor:
        """Bands and day (B, T, C + 1, H, W) and date mask (B, T) -> embedding."""
        if self.reference:
            date_mask = torch.ones_like(date_mask)
        if torch.compiler.is_exporting():
            return self._exported(lengthened(stack, self.n_dates), lengthened(date_mask, self.n_dates))
        x, used = used_dates(stack, date_mask)
        result: Tensor = self.enlarge(self.lstm.mean(self.unet(x), used))
        return result

    def _exported(self, stack: Tensor, date_mask: Tensor) -> Tensor:
        """As `encode`, of `n_dates` dates, without anything that depends on which are used."""
        every = self.unet(stack.flatten(0, 1)).unflatten(0, stack.shape[:2])
        result: Tensor = self.enlarge(self.lstm.mean_of_all(every, date_mask.to(torch.bool)))
        return result

    def classify(self, embedding: Tensor) -> Tensor:
        """As `SegmentationNetwork.classify`."""
        logits: Tensor = self.head(embedding)
        return logits


def _start(module: nn.Module) -> None:
    """Kaiming normal weights and no bias, as published."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.kaiming_normal_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
