"""Conversion of published state dicts, beyond what the golden tests of each network show."""

import pytest
import torch

from sits_engine.errors import ModelError
from sits_engine.models.segmentation.published import from_published, stacked_statistics


def test_unknown_networks_and_configs_that_lack_an_entry_are_refused():
    with pytest.raises(ModelError, match="'utae' can't be converted"):
        from_published("utae", {}, {})
    with pytest.raises(ModelError, match="num_channels"):
        from_published("tsvit", {}, {"num_classes": 3})


def test_weights_saved_from_several_cards_lose_the_prefix():
    state = {"module.final.weight": torch.zeros(5, 4, 3, 3, 3), "module.fn.bias": torch.zeros(1)}
    config = {"num_channels": 4, "num_classes": 5, "max_seq_len": 8, "img_res": 48}
    hyper, own = from_published("unet3d", state, config)
    assert set(own) == {"head.conv.weight", "head.dates.bias"}
    assert hyper == {
        "n_bands": 3,
        "n_classes": 5,
        "n_dates": 8,
        "window": 48,
        "features": 2,
        "scale": 1,
        "reference": True,
    }


def test_statistics_of_more_than_nine_dates_keep_their_order():
    state = {
        f"n.running_mean_{date}": torch.full((2,), float(date)) for date in (10, 2, *range(2), *range(3, 10))
    }
    stacked = stacked_statistics({**state, "n.weight": torch.ones(2)})
    assert set(stacked) == {"n.running_mean", "n.weight"}
    assert stacked["n.running_mean"][:, 0].tolist() == list(range(11))
