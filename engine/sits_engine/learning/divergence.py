"""What ends a training whose loss is no number any more."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from sits_engine.errors import InputError


def check_loss(loss: ArrayLike, epoch: int, what: str = "Training") -> None:
    """Look at the mean losses of an epoch.

    Args:
        loss: one or several.
        epoch: from 1.
        what: diverges, for people.

    Raises:
        InputError: one is no finite number.
    """
    if not np.isfinite(loss).all():
        raise InputError(
            f"{what} diverged in epoch {epoch}: the loss is no number any more.",
            "Lower LEARNING_RATE, and check the images for values that can't be.",
        )
