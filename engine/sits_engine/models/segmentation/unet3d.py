"""U-Nets with three-dimensional convolutions over date, row and column: UNet3D and UNet3Df."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sits_engine.models.segmentation.blocks import conv3d, double_conv3d, double_size3d
from sits_engine.models.segmentation.packed_convolution import Joined
from sits_engine.models.segmentation.segmenter import SegmentationNetwork, lengthened, with_day
from sits_engine.models.segmentation.upsampling import enlarging

#: The U is two levels deep, so dates are padded to a multiple of this.
TIME_DIVISOR = 4


class Trunk3D(nn.Module):
    """The U: (B, C, T, H, W) -> (B, n_out, T, H, W); T, H and W multiples of 4.

    Args:
        n_in: channels of the input.
        features: f; the levels have 4 f, 8 f and 16 f channels (published: 16).
        widths: channels of the last two layers; the second is n_out.
    """

    def __init__(self, n_in: int, features: int, widths: tuple[int, int]) -> None:
        super().__init__()
        top, middle, bottom = 4 * features, 8 * features, 16 * features
        self.en3 = double_conv3d(n_in, top, top)
        self.en4 = double_conv3d(top, middle, middle)
        self.center_in = nn.Sequential(*conv3d(middle, bottom))
        self.center_out = nn.Sequential(*conv3d(bottom, bottom), double_size3d(bottom, middle))
        self.dc4 = Joined(*double_conv3d(2 * middle, middle, middle))
        self.trans3 = nn.Sequential(
            double_size3d(middle, top), nn.BatchNorm3d(top), nn.LeakyReLU(inplace=True)
        )
        self.dc3 = Joined(*double_conv3d(2 * top, *widths))
        self.pool = nn.MaxPool3d(2)

    def forward(self, x: Tensor) -> Tensor:
        """Apply."""
        # The same numbers with the channel running fastest in memory: 5 to 15 % faster.
        top = self.en3(x.contiguous(memory_format=torch.channels_last_3d))
        middle = self.en4(self.pool(top))
        bottom = self.center_out(self.center_in(self.pool(middle)))
        middle = self.dc4(bottom, middle)
        result: Tensor = self.dc3(self.trans3(middle), top)
        return result


class PooledConv(nn.Module):
    """A 3 x 3 x 3 convolution, then a learned weighted sum over the dates: exact, for 1/T of the work.

    Both steps are linear, so the sum goes first: `pool` adds up the dates once for each of the three layers
    of the kernel, `convolve` is then a convolution in two dimensions with three times the channels.

    Args:
        n_in, n_out: channels.
        n_dates: T.

    Source: shared/spec/cscl.md section 5.1, "final Conv3d ... Linear(T, 1)"; parameters have its shapes.
    """

    def __init__(self, n_in: int, n_out: int, n_dates: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(n_in, n_out, 3, padding=1)
        self.dates = nn.Linear(n_dates, 1)

    def pool(self, x: Tensor) -> Tensor:
        """(B, n_in, T, H, W) -> (B, 3 * n_in, H, W)."""
        weight = F.pad(self.dates.weight[0], (1, 1))
        n = x.shape[2]
        # The kernel's layer k sees date t + k - 1 for the result of date t; zeros lie outside the series.
        rows = torch.stack([weight[2 - k : 2 - k + n] for k in range(3)])
        # The channel runs fastest in memory and stays there: nothing is moved but the sums.
        channels_last = x.movedim(1, -1)
        shape = x.shape[0], 3, *channels_last.shape[2:]
        pooled = torch.matmul(rows, channels_last.flatten(2)).reshape(shape)
        return pooled.permute(0, 4, 1, 2, 3).flatten(1, 2)

    def convolve(self, pooled: Tensor) -> Tensor:
        """(B, 3 * n_in, H, W) -> (B, n_out, H, W)."""
        bias = cast(Tensor, self.conv.bias) * self.dates.weight.sum() + self.dates.bias
        return F.conv2d(pooled, self.conv.weight.flatten(1, 2), bias, padding=1)


class _UNet3DBase(SegmentationNetwork):
    """What UNet3D and UNet3Df share: arguments, the trunk, padding of the dates.

    Args:
        widths: of the trunk's last two layers, in units of `features`.
        features: f of the trunk (published 16; 4 for the small width).
        others: as `SegmentationNetwork`. The learned weights of the dates tie the network to `n_dates`;
            fewer are padded with zeros at the end.
    """

    def __init__(self, widths: tuple[int, int], features: int, **others: Any) -> None:
        super().__init__(**others)
        if features < 1:
            raise ValueError("features must be at least 1")
        self.n_steps = -(-self.n_dates // TIME_DIVISOR) * TIME_DIVISOR
        self.trunk = Trunk3D(self.n_bands + 1, features, (widths[0] * features, widths[1] * features))

    def encode(self, stack: Tensor) -> Tensor:
        """Bands and day (B, T, C + 1, H, W) -> embedding (B, E, H * scale, W * scale)."""
        return self.from_trunk(self.trunk(lengthened(stack, self.n_steps).transpose(1, 2)))

    @abstractmethod
    def from_trunk(self, x: Tensor) -> Tensor:
        """Features of all dates (B, n, T, H, W) -> embedding."""

    def embed(self, images: Tensor, positions: Tensor, date_mask: Tensor) -> Tensor:
        """As `SegmentationNetwork.embed`."""
        self.check(images, positions, date_mask)
        return self.encode(with_day(images, positions, date_mask))


class UNet3D(_UNet3DBase):
    """The narrow original: the weighted sum over dates is taken of the class scores.

    The embedding is what is summed up: three maps of the last features, one for each layer of the last
    kernel (see `PooledConv`), E = 6 f.

    Args:
        n_bands, n_classes, n_dates, window, scale, features, reference: see the base.

    Source: shared/spec/cscl.md section 5.1.
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
            (4, 2),
            features,
            n_bands=n_bands,
            n_classes=n_classes,
            n_dates=n_dates,
            window=window,
            scale=scale,
            reference=reference,
        )
        self.embedding_channels = 6 * features
        self.head = PooledConv(2 * features, n_classes, self.n_steps)
        self.enlarge = enlarging(self.embedding_channels, scale, reference=reference)

    def from_trunk(self, x: Tensor) -> Tensor:
        """As the base."""
        result: Tensor = self.enlarge(self.head.pool(x))
        return result

    def classify(self, embedding: Tensor) -> Tensor:
        """As `SegmentationNetwork.classify`."""
        return self.head.convolve(embedding)


class UNet3Df(_UNet3DBase):
    """Wide features to the end; their weighted sum over dates is the embedding, E = 8 f.

    Args:
        n_bands, n_classes, n_dates, window, scale, features, reference: see the base.

    Source: shared/spec/cscl.md sections 5.2 and 6.
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
            (8, 8),
            features,
            n_bands=n_bands,
            n_classes=n_classes,
            n_dates=n_dates,
            window=window,
            scale=scale,
            reference=reference,
        )
        wide = 8 * features
        self.embedding_channels = wide
        self.final = PooledConv(wide, wide, self.n_steps)
        self.enlarge = enlarging(wide, scale, reference=reference)
        self.head = nn.Conv2d(wide, n_classes, 1)

    def from_trunk(self, x: Tensor) -> Tensor:
        """As the base."""
        result: Tensor = self.enlarge(self.final.convolve(self.final.pool(x)))
        return result

    def classify(self, embedding: Tensor) -> Tensor:
        """As `SegmentationNetwork.classify`."""
        logits: Tensor = self.head(embedding)
        return logits
