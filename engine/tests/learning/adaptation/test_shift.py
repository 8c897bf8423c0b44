"""The shift table is that of direct predictions, and its sign is the right one."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from networks import card, network, pixel_sets
from support.phenology import CPU, region, source_model

from sits_engine.errors import Cancelled, InputError, ModelError
from sits_engine.learning.adaptation import shift
from sits_engine.learning.adaptation.shift import ShiftTable, curves_of, estimate_shift, search_range
from sits_engine.models.inference import Predictor

SHIFTS = np.array([-60, -7, 0, 1, 33])


def seen_sets(sizes, **options):
    """Random sets whose pixels are all seen at least once: others are missing for `Predictor`."""
    sets = pixel_sets(sizes, **options)
    sets.values[:, 2] = np.random.default_rng(3).random(sets.values[:, 2].shape)
    sets.valid[:, 2] = True
    return sets


def direct(module, description, sets, days):
    """Predictions with the shift added to the positions, by the class that maps."""
    predictor = Predictor(module, description, CPU)
    return np.stack(
        [predictor.predict_sets(replace(sets, positions=sets.positions + np.int32(d))) for d in days], 1
    )


@pytest.mark.parametrize(
    ("width", "changes", "mask_dates"),
    [
        ("small", {}, True),
        ("standard", {}, True),
        ("small", {"shift": -25}, True),
        ("small", {}, False),
        ("small", {"reference": True}, False),
        ("small", {"mlp2": [16, 48], "mlp3": [40, 24]}, True),
    ],
)
@pytest.mark.parametrize("regions", [1, 3])
def test_equal_to_predictions_with_moved_dates(width, changes, mask_dates, regions):
    module = network(width=width, **changes)
    description = card(width=width, mask_dates=mask_dates, **changes)
    sets = seen_sets([1, 9, 4, 1, 30, 2, 17, 5, 1, 64, 3, 8], regions=regions, clear=0.5)
    table = ShiftTable(sets, description.bands, CPU, mask_dates=mask_dates)
    found = table.probabilities(module, SHIFTS).numpy()
    assert found.shape == (12, 5, 4)
    np.testing.assert_allclose(found, direct(module, description, sets, SHIFTS), atol=2e-5)
    # the shifts do change the answers, or the comparison would say nothing
    assert np.abs(found - found[:, 2:3]).max() > 0.01


@pytest.mark.parametrize("mask_dates", [True, False])
def test_targets_of_single_pixels(mask_dates):
    module, description = network(), card(mask_dates=mask_dates)
    sets = seen_sets([1] * 30, regions=2, clear=0.4)
    found = ShiftTable(sets, description.bands, CPU, mask_dates=mask_dates).probabilities(module, SHIFTS)
    np.testing.assert_allclose(found.numpy(), direct(module, description, sets, SHIFTS), atol=2e-5)


def test_each_set_with_a_calendar_of_its_own():
    _, module, description = source_model()
    sets = region(40, clear=0.6, seed=8)
    table = ShiftTable(sets, description.bands, CPU)
    found = table.probabilities(module, SHIFTS).numpy()
    np.testing.assert_allclose(found, direct(module, description, sets, SHIFTS), atol=2e-5)


def test_batches_do_not_show(monkeypatch):
    sets = pixel_sets([1, 9, 4, 1, 30, 2, 17, 5, 1, 6, 3, 8], regions=2)
    module, description = network(), card()
    whole = ShiftTable(sets, description.bands, CPU).probabilities(module, SHIFTS)
    for name, value in {"SETS_CPU": 2, "PAIRS_CPU": 5, "ROUND": 1}.items():
        monkeypatch.setattr(shift, name, value)  # two sets a batch, one at a time
    pieces = []
    parts = ShiftTable(sets, description.bands, CPU).probabilities(module, SHIFTS, pieces.append)
    torch.testing.assert_close(parts, whole, atol=1e-6, rtol=0)
    assert len(pieces) == 1 + math.ceil(6 / torch.get_num_threads())
    assert pieces == sorted(pieces)
    assert pieces[0] == 0
    assert pieces[-1] == 1


def test_large_sets_are_drawn_from_and_large_targets_too():
    sets = pixel_sets([200, 1, 80, 3] * 4)
    module, description = network(), card()
    draws = [
        ShiftTable(sets, description.bands, CPU, seed=seed, most=12).probabilities(module, SHIFTS)
        for seed in (1, 1, 2)
    ]
    assert draws[0].shape == (12, 5, 4)
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    index = ShiftTable(sets, description.bands, CPU, most=12).index
    assert len(np.unique(index)) == 12


def test_a_set_without_any_clear_date_says_the_same_at_each_shift():
    sets = pixel_sets([3] * 12)
    sets.valid[sets.offsets[5] : sets.offsets[6]] = False
    module, description = network(), card()
    found = ShiftTable(sets, description.bands, CPU).probabilities(module, SHIFTS)
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found[5], found[5, :1].expand(5, -1))


def test_ranges():
    assert search_range(3).tolist() == [-3, -2, -1, 0, 1, 2, 3]
    assert search_range(3, 1).tolist() == [0, 1, 2, 3]
    assert search_range(3, -1).tolist() == [-3, -2, -1, 0]


@pytest.mark.parametrize("earlier", [20, -20])
def test_an_earlier_target_needs_days_added(earlier):
    """Spec timematch.md section 10, test 5: the same crops, 20 days earlier, is +20."""
    source, module, description = source_model()
    target = replace(source, positions=(source.positions - earlier).astype(np.int32))
    curves = estimate_shift(module, description, target, CPU, max_shift=30, resamples=20)
    assert curves.best.keys() == {"IS", "AM", "ENT"}
    for estimator, days in curves.best.items():
        assert abs(days - earlier) <= 1, estimator
    assert curves.shift == curves.best["IS"]
    low, high = curves.interval
    assert low - 1 <= earlier <= high + 1
    assert high - low <= 6
    assert curves.n_sets == len(target)
    assert not curves.at_edge


def test_other_parcels_of_an_earlier_region():
    _, module, description = source_model()
    curves = estimate_shift(module, description, region(600, earlier=20, seed=5), CPU, max_shift=40)
    assert abs(curves.shift - 20) <= 4
    none = estimate_shift(module, description, region(600, seed=5), CPU, max_shift=40)
    assert abs(none.shift) <= 4


def test_the_same_seed_gives_the_same_curves_and_labels_have_no_part():
    source, module, description = source_model()
    other = replace(source, labels=np.full(len(source), -1, np.int64))
    a, b = (
        estimate_shift(module, description, sets, CPU, max_shift=9, resamples=7) for sets in (source, other)
    )
    assert a.as_json() == b.as_json()
    assert all(len(days) == 7 for days in a.resampled.values())


def test_resamples_spread_around_the_estimate_as_the_sets_do():
    """Two groups of sets that are sure at different shifts: the resamples waver between them."""
    torch.manual_seed(0)
    p = torch.full((40, 3, 2), 0.5)
    for i in range(40):
        at, k = (0, i % 2) if i < 20 else (2, i % 2)
        p[i, at] = torch.tensor([0.02, 0.98]) if k else torch.tensor([0.98, 0.02])
    shifts = np.array([-1, 0, 1])
    curves = curves_of(p, shifts, estimator="ENT", resamples=60, seed=1)
    assert set(curves.resampled["ENT"].tolist()) == {-1, 1}
    sure = curves_of(p[:20], shifts, estimator="ENT", resamples=60, seed=1)
    assert set(sure.resampled["ENT"].tolist()) == {-1}
    assert sure.interval == (-1, -1)
    assert sure.at_edge


def test_without_resamples_the_interval_is_the_estimate():
    p = torch.softmax(torch.randn(30, 3, 4, generator=torch.Generator().manual_seed(1)), -1)
    curves = curves_of(p, np.array([-1, 0, 1]), estimator="AM", resamples=0, seed=1)
    assert curves.interval == (curves.shift, curves.shift)
    assert all(len(days) == 0 for days in curves.resampled.values())


def test_too_few_sets_another_network_and_cancel():
    module, description = network(), card()
    with pytest.raises(InputError, match="holds 9 samples; a shift can't be estimated from fewer than 10"):
        estimate_shift(module, description, pixel_sets([2] * 9), CPU)
    with pytest.raises(ModelError, match="without geometric features"):
        estimate_shift(network(extra=4), description, pixel_sets([2] * 10), CPU)
    with pytest.raises(ModelError, match="PSE"):
        estimate_shift(torch.nn.Linear(2, 2), description, pixel_sets([2] * 10), CPU)

    def stop(fraction):
        raise Cancelled("stop")

    with pytest.raises(Cancelled):
        estimate_shift(module, description, pixel_sets([2] * 10), CPU, progress=stop)
