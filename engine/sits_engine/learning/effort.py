"""How long to train, and how: from the effort asked for and the size of the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

from sits_engine.samples.pixel_sets import PixelSets

Effort = Literal["quick", "standard", "thorough"]
Width = Literal["standard", "small"]

#: (most epochs, fewest and most steps an epoch, pixels): thorough is the published length.
_LIMITS: dict[Effort, tuple[int, int, int, int]] = {
    "quick": (25, 10, 24, 32),
    "standard": (50, 20, 48, 64),
    "thorough": (100, 20, 100, 64),
}


#: Never all dates of a series are drawn, so that the network learns to do without any one of them.
#: (Bavaria, 14 dates, 276 parcels, two seeds: macro-F1 0.817 with 10 dates, 0.806 with all.)
_SHARE_OF_DATES = 0.7


class Wishes(Protocol):
    """The user's choices; None leaves one to `settle`."""

    @property
    def effort(self) -> Effort: ...  # noqa: D102
    @property
    def epochs(self) -> int | None: ...  # noqa: D102
    @property
    def steps_per_epoch(self) -> int | None: ...  # noqa: D102
    @property
    def batch_size(self) -> int: ...  # noqa: D102
    @property
    def dates_per_sample(self) -> int: ...  # noqa: D102
    @property
    def pixels_per_set(self) -> int | None: ...  # noqa: D102
    @property
    def weight_decay(self) -> float | None: ...  # noqa: D102
    @property
    def shift(self) -> int | None: ...  # noqa: D102
    @property
    def width(self) -> Width | None: ...  # noqa: D102


@dataclass(frozen=True)
class Settings:
    """What a training run uses.

    Attributes:
        epochs: at most; early stopping may end it sooner.
        steps_per_epoch: optimiser steps between two looks at the validation blocks.
        pixels_per_set: pixels drawn of a parcel in each step.
        dates_per_sample: dates drawn in each step.
        patience: epochs without a better validation macro-F1 before it stops.
        width: of the network.
        weight_decay: L2.
        shift: largest random shift of the dates, days.
        network: further hyperparameters of the network.
    """

    epochs: int
    steps_per_epoch: int
    pixels_per_set: int
    dates_per_sample: int
    patience: int
    width: Width
    weight_decay: float
    shift: int
    network: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Names as in the job, where it has them."""
        plain = asdict(self)
        plain["shift_augmentation"] = plain.pop("shift")
        return plain


def settle(wishes: Wishes, train: PixelSets) -> Settings:
    """Fill in what the user left open.

    An epoch sees each training sample about once, within the limits of the effort.
    """
    epochs, fewest, most, pixels = _LIMITS[wishes.effort]
    epochs = wishes.epochs or epochs
    steps = min(most, max(fewest, -(-len(train) // wishes.batch_size)))
    # the longest series decides: shorter ones are padded to its number of dates
    dates = train.positions.shape[1]
    largest = int(train.n_pixels.max(initial=1))
    return Settings(
        epochs=epochs,
        steps_per_epoch=wishes.steps_per_epoch or steps,
        # drawing more pixels than any parcel has is of no use
        pixels_per_set=max(1, min(wishes.pixels_per_set or pixels, largest)),
        dates_per_sample=min(wishes.dates_per_sample, max(3, round(_SHARE_OF_DATES * dates))),
        patience=max(8, epochs // 3),
        width=wishes.width or "standard",
        weight_decay=1e-4 if wishes.weight_decay is None else wishes.weight_decay,
        shift=wishes.shift or 0,
    )
