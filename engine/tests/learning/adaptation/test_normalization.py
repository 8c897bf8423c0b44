"""How far a target lies from what the source model's norms have seen."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from networks import card, network, pixel_sets
from support.phenology import CPU

from sits_engine.learning.adaptation import normalization
from sits_engine.learning.transforms import Collator, Sampling

VIEW = Sampling(pixels=4, dates=None, small_share=0.0)


def collator(sets):
    return Collator(sets, card().bands, VIEW)


def sets(**options):
    return pixel_sets([3, 1, 5, 4] * 8, **{"seed": 1, **options})


def test_the_same_samples_are_at_no_distance():
    side = collator(sets())
    assert normalization.distance(network(), side, side, CPU, 1) == 0


def test_brighter_fields_are_farther_the_brighter():
    plain = sets()
    found = [
        normalization.distance(
            network(), collator(plain), collator(replace(plain, values=plain.values + by)), CPU, 1
        )
        for by in (0.0, 1.0, 3.0)
    ]
    assert found[0] == 0 < found[1] < found[2]


def test_days_that_a_network_adds_count():
    """The same fields on another calendar are no farther once the network adds the days."""
    plain = sets()
    later = replace(plain, positions=plain.positions + np.int32(40))
    module = network()
    apart = normalization.distance(module, collator(plain), collator(later), CPU, 1)
    moved = copy.deepcopy(module)
    moved.temporal_encoder.shift = -40
    back = replace(plain, positions=plain.positions + np.int32(40))
    together = normalization.distance(moved, collator(back), collator(later), CPU, 1)
    assert together == 0 < apart


def test_the_network_is_left_alone():
    module = network().eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    side = collator(sets())
    normalization.distance(module, side, collator(sets(seed=2)), CPU, 1)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert not module.training
    assert all(norm.momentum == 0.1 for norm in module.modules() if isinstance(norm, torch.nn.BatchNorm1d))


def test_only_networks_with_pixels_can_keep_norms():
    with pytest.raises(TypeError):
        normalization.keep(torch.nn.Linear(2, 2))
