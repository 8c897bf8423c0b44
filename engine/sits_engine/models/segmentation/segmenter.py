"""What every segmentation network has in common: its interface, its checks, and the day as a channel."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

#: Days are divided by this before they enter a network, as published: floor(x * 365.0001) gives the day back.
DAYS = 365.0001
#: Up-sampling that a network can be made with: labels on a grid this many times finer than the images.
SCALES = (1, 2, 4)


@runtime_checkable
class Segmenter(Protocol):
    """A network that gives every pixel of a window logits; see `SegmentationNetwork` for the arguments."""

    n_bands: int
    n_classes: int
    n_dates: int
    window: int
    scale: int
    divisor: int
    reference: bool
    embedding_channels: int

    def embed(self, images: Tensor, positions: Tensor, date_mask: Tensor) -> Tensor:
        """What the class head sees, (B, E, H * scale, W * scale)."""

    def classify(self, embedding: Tensor) -> Tensor:
        """An embedding -> logits (B, K, H * scale, W * scale)."""

    def forward(self, images: Tensor, positions: Tensor, date_mask: Tensor) -> Tensor:
        """Both."""


class SegmentationNetwork(nn.Module):
    """Base of the networks: `forward` is `classify(embed(...))`.

    Args:
        n_bands: bands C of the images, without the day, which the networks add themselves.
        n_classes: classes K.
        n_dates: most dates of a window (the U-Nets with a time axis are tied to it).
        window: rows and columns of the windows it is trained with; others are taken, too.
        scale: 1, 2 or 4: the output has that many rows and columns for one of the input.
        reference: keep what is known to be wrong in the published code (pitfalls section 3).

    Attributes:
        divisor: height and width of a window must be multiples of it.
        embedding_channels: E.

    Raises:
        ValueError: a number is out of range.
    """

    divisor: int = 4
    embedding_channels: int

    def __init__(
        self, *, n_bands: int, n_classes: int, n_dates: int, window: int, scale: int, reference: bool
    ) -> None:
        super().__init__()
        if min(n_bands, n_classes, n_dates, window) < 1:
            raise ValueError("a network needs at least one band, one class, one date and one pixel")
        if scale not in SCALES:
            raise ValueError(f"scale {scale} is none of {', '.join(map(str, SCALES))}")
        self.n_bands, self.n_classes, self.n_dates = n_bands, n_classes, n_dates
        self.window, self.scale, self.reference = window, scale, reference

    @abstractmethod
    def embed(self, images: Tensor, positions: Tensor, date_mask: Tensor) -> Tensor:
        """What the class head, and in pre-training the similarity head, sees.

        Args:
            images: (B, T, C, H, W) float32 normalised, 0 where masked; T at most `n_dates`.
            positions: (B, T) days since 1 January; may be negative or above 365.
            date_mask: (B, T) bool, True where the date is used.

        Returns:
            (B, E, H * scale, W * scale).
        """

    @abstractmethod
    def classify(self, embedding: Tensor) -> Tensor:
        """(B, E, H * scale, W * scale) -> logits (B, K, H * scale, W * scale)."""

    def forward(self, images: Tensor, positions: Tensor, date_mask: Tensor) -> Tensor:
        """Label windows; arguments as `embed`, logits (B, K, H * scale, W * scale)."""
        return self.classify(self.embed(images, positions, date_mask))

    def check(self, images: Tensor, positions: Tensor, date_mask: Tensor) -> None:
        """Raise ValueError where the input isn't what the network was made for."""
        if images.ndim != 5 or images.shape[2] != self.n_bands:
            raise ValueError(f"images must be (B, T, {self.n_bands}, H, W), not {tuple(images.shape)}")
        batch, dates, _, height, width = images.shape
        if positions.shape != (batch, dates) or date_mask.shape != (batch, dates):
            raise ValueError(
                f"positions {tuple(positions.shape)} and date_mask {tuple(date_mask.shape)} must be "
                f"({batch}, {dates}) like the images"
            )
        if dates > self.n_dates:
            raise ValueError(f"the network takes at most {self.n_dates} dates, not {dates}")
        if height % self.divisor or width % self.divisor:
            raise ValueError(
                f"height and width must be multiples of {self.divisor}, not {height} x {width} pixels"
            )


def with_day(images: Tensor, positions: Tensor, date_mask: Tensor) -> Tensor:
    """Add the day as the last channel, as the published networks get it.

    Args:
        images: (B, T, C, H, W).
        positions: (B, T) days since 1 January.
        date_mask: (B, T) bool.

    Returns:
        (B, T, C + 1, H, W); dates that aren't used are zero in every channel (published zero padding).
    """
    day = (positions.to(images.dtype) / DAYS)[:, :, None, None, None]
    stack = torch.cat([images, day.expand(*images.shape[:2], 1, *images.shape[3:])], 2)
    return stack * date_mask[:, :, None, None, None].to(stack.dtype)


def lengthened(x: Tensor, n_dates: int) -> Tensor:
    """(B, T, ...) with T at most `n_dates` -> (B, n_dates, ...), zeros (False) at the end."""
    missing = n_dates - x.shape[1]
    if torch.compiler.is_exporting():
        # The exported network takes any T: nothing may depend on how many are missing.
        return torch.cat([x, x.new_zeros(x.shape[0], n_dates, *x.shape[2:])], 1)[:, :n_dates]
    return torch.cat([x, x.new_zeros(x.shape[0], missing, *x.shape[2:])], 1) if missing else x


def used_dates(stack: Tensor, date_mask: Tensor) -> tuple[Tensor, Tensor]:
    """All images that are used, in one batch, date by date.

    Args:
        stack: (B, T, C, H, W).
        date_mask: (B, T) bool.

    Returns:
        images (N, C, H, W) with N the number of used dates of all windows, and used (T, B) bool.
    """
    used = date_mask.to(torch.bool).T
    by_date = stack.transpose(0, 1)
    return (by_date.flatten(0, 1) if bool(used.all()) else by_date[used]), used
