"""A loss that is no number ends a training, with a way out."""

import pytest

from sits_engine.errors import InputError
from sits_engine.learning.divergence import check_loss


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), [0.5, float("-inf")]])
def test_a_loss_that_is_no_number_ends_it(loss) -> None:
    with pytest.raises(InputError, match="Pre-training diverged in epoch 3") as caught:
        check_loss(loss, 3, "Pre-training")
    assert "LEARNING_RATE" in caught.value.advice


@pytest.mark.parametrize("loss", [0.0, -1e30, [0.5, 2.0]])
def test_other_losses_are_fine(loss) -> None:
    check_loss(loss, 1)
