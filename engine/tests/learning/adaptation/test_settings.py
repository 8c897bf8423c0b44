"""What is filled in where the user left it open, and what follows from the length of a run."""

import json
from dataclasses import replace

import numpy as np
import pytest
from networks import pixel_sets

from sits_engine.learning.adaptation.options import METHODS, AdaptOptions
from sits_engine.learning.adaptation.settings import (
    FAR_PACE,
    MOST_STEPS_CPU,
    PUBLISHED_EPOCHS,
    PUBLISHED_STEPS,
    gap_of_dates,
    settle,
)


def sets(n=40, pixels=3):
    return pixel_sets([pixels] * n)


def test_what_the_user_says_holds():
    options = AdaptOptions(
        epochs=3,
        steps_per_epoch=7,
        batch_size=9,
        learning_rate=0.5,
        threshold=0.0,
        trade_off=0.0,
        shift_augmentation=11,
        pixels_per_set=2,
        dates_per_sample=5,
    )
    for method in METHODS:
        found = settle(replace(options, method=method), sets(), sets())
        assert (found.epochs, found.steps_per_epoch, found.batch_size) == (3, 7, 9)
        assert (found.learning_rate, found.threshold, found.trade_off) == (0.5, 0.0, 0.0)
        assert (found.shift_augmentation, found.pixels_per_set, found.dates_per_sample) == (11, 2, 5)


@pytest.mark.parametrize("method", METHODS)
def test_what_is_left_open_can_be_used(method):
    found = settle(AdaptOptions(method=method), sets(), sets(900))
    assert 1 <= found.epochs <= PUBLISHED_EPOCHS
    assert 1 <= found.steps_per_epoch <= PUBLISHED_STEPS
    assert found.learning_rate > 0
    assert 0 <= found.threshold < 1
    assert found.trade_off > 0
    assert found.shift_augmentation >= 0
    assert json.loads(json.dumps(found.as_json())) == found.as_json()


@pytest.mark.parametrize("method", ["timematch", "fixmatch", "mmd", "alda"])
def test_a_larger_target_is_never_trained_on_for_a_shorter_time(method):
    steps = [
        s.epochs * s.steps_per_epoch
        for s in (settle(AdaptOptions(method=method), sets(), sets(n)) for n in (20, 2000, 20_000))
    ]
    assert steps == sorted(steps)
    assert steps[0] < steps[-1]


def test_a_processor_gets_shorter_runs_unless_more_is_wanted():
    large = sets(20_000, pixels=1)
    assert settle(AdaptOptions(), sets(), large).steps_per_epoch == 500
    assert settle(AdaptOptions(), sets(), large, cpu=True).steps_per_epoch == MOST_STEPS_CPU
    assert settle(AdaptOptions(steps_per_epoch=500), sets(), large, cpu=True).steps_per_epoch == 500


def test_pixels_drawn_are_no_more_than_the_largest_set_has():
    assert settle(AdaptOptions(), sets(pixels=3), sets(pixels=1)).pixels_per_set == 3
    assert settle(AdaptOptions(), sets(pixels=1), sets(pixels=1)).pixels_per_set == 1
    assert settle(AdaptOptions(), sets(n=2, pixels=90), sets(pixels=1)).pixels_per_set == 64


def test_a_run_of_the_published_length_has_the_published_values():
    found = settle(AdaptOptions(epochs=20, steps_per_epoch=500), sets(), sets(), near=True)
    assert (found.learning_rate, found.stay) == pytest.approx((1e-4, 0.9999))
    assert (
        settle(AdaptOptions(method="mmd", epochs=20, steps_per_epoch=500), sets(), sets()).learning_rate == 1
    )


def test_shorter_runs_move_faster_and_the_teacher_walks_as_far():
    for epochs, steps in ((20, 50), (2, 5), (7, 31)):
        found = settle(AdaptOptions(epochs=epochs, steps_per_epoch=steps), sets(), sets(), near=True)
        assert found.horizon * epochs * steps == pytest.approx(10_000)
        assert found.stay ** (epochs * steps) == pytest.approx(0.9999**10_000, rel=1e-6)
        assert found.learning_rate == pytest.approx(1e-4 * found.horizon**0.5)
    for end in (0.0, 1.0):
        assert settle(AdaptOptions(ema=end, epochs=2, steps_per_epoch=5), sets(), sets()).stay == end


def test_random_shifts_fill_the_gap_between_two_dates_of_the_source():
    def every(days):
        base = sets()
        dates = np.arange(base.positions.shape[1]) * days
        return replace(base, positions=np.broadcast_to(dates, base.positions.shape).astype(np.int32))

    assert [gap_of_dates(every(days)) for days in (0, 5, 16, 30)] == [0, 5, 16, 16]
    assert settle(AdaptOptions(), every(5), every(30)).shift_augmentation == 5
    assert settle(AdaptOptions(shift_augmentation=0), every(5), every(30)).shift_augmentation == 0


def test_sets_are_only_counted():
    a = settle(AdaptOptions(), sets(), sets())
    blind = replace(sets(), labels=np.full(40, -1), values=np.zeros_like(sets().values))
    assert settle(AdaptOptions(), sets(), blind) == a


def test_whose_statistics_and_how_fast_a_teacher():
    """Near: those of the source and a slow teacher. Far: each region's own and a faster one."""
    near, far = (settle(AdaptOptions(), sets(), sets(), near=one) for one in (True, False))
    assert (near.norm, far.norm) == ("kept", "separate")
    assert far.stay == pytest.approx(near.stay**FAR_PACE)
    assert (near.warm_up, far.warm_up) == (0, 5)
    assert settle(AdaptOptions(warm_up=30), sets(), sets()).warm_up == 20
    for one in (True, False):
        published = settle(AdaptOptions(start="published"), sets(), sets(), near=one)
        assert (published.norm, published.stay, published.warm_up) == ("separate", near.stay, 0)
        assert settle(AdaptOptions(norm="joint"), sets(), sets(), near=one).norm == "joint"
