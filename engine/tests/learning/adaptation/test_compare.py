"""Methods over seeds on a pair of regions: rows, bounds, and a test side that nobody sees."""

import json
from dataclasses import replace

import numpy as np
import pytest
from support.phenology import CLASSES, CPU, region

from sits_engine.context import JobContext
from sits_engine.errors import Cancelled, InputError
from sits_engine.learning.adaptation import compare as comparing
from sits_engine.learning.adaptation.compare import compare
from sits_engine.learning.adaptation.options import METHODS, AdaptOptions
from sits_engine.learning.run import RunOptions

TRAIN = RunOptions(
    epochs=2, steps_per_epoch=6, batch_size=32, width="small", shift=0, learning_rate=5e-3, split="parcels"
)
ADAPT = AdaptOptions(
    epochs=1, steps_per_epoch=2, batch_size=16, max_shift=20, threshold=0.5, shift_augmentation=0
)


def named(sets, letter):
    return replace(sets, ids=np.array([f"{letter}{i}" for i in range(len(sets))]))


SOURCE = named(region(100, seed=1, dates=9), "s")
TARGET = named(region(90, seed=2, earlier=12, dates=8), "t")


def run(methods=("timematch", "mmd"), seeds=(1,), *, source=SOURCE, target=TARGET, train=TRAIN, **named):
    return compare(
        source,
        target,
        methods,
        seeds,
        train=train,
        options=ADAPT,
        device=CPU,
        ctx=named.pop("ctx", JobContext()),
        **named,
    )


def sides_of(n, seed):
    return np.random.default_rng(seed).permutation(np.arange(n) % 5 // 2)  # 40 %, 40 %, 20 %


class Spy:
    """What each adaptation and each training was given."""

    def __init__(self, monkeypatch):
        self.adapted, self.trained, self.seeds = [], [], []
        adapt, train = comparing.adapt, comparing.train_network

        def see_adapt(module, card, source, target, options, *rest, **more):
            self.adapted.append((source, target, options))
            return adapt(module, card, source, target, options, *rest, **more)

        def see_train(known, validation, *rest):
            self.trained.append((known, validation))
            self.seeds.append(rest[0].seed)
            return train(known, validation, *rest)

        monkeypatch.setattr(comparing, "adapt", see_adapt)
        monkeypatch.setattr(comparing, "train_network", see_train)


@pytest.mark.parametrize("given", [True, False])
def test_the_test_side_and_labels_of_the_target_are_never_seen(given, monkeypatch):
    spy = Spy(monkeypatch)
    sides = (sides_of(100, 1), sides_of(90, 2)) if given else None
    data = run(sides=sides, seeds=(3, 4))
    assert len(spy.adapted) == 4
    assert spy.seeds == [3, 3, 4, 4]
    for i, seed in enumerate((3, 4)):
        source_training, target_training = spy.trained[2 * i : 2 * i + 2]
        seen = {name for part in target_training for name in part.ids}
        of_seed = [one for one in spy.adapted if one[2].seed == seed]
        assert [one[2].method for one in of_seed] == ["timematch", "mmd"]
        for source, target, _ in of_seed:
            assert (target.labels == -1).all()
            assert set(target.ids) == seen  # the same that the upper bound may use, its labels not
            assert set(source.ids) == set(source_training[0].ids)
            assert all(name.startswith("s") for name in source.ids)
        if given:
            held = set(TARGET.ids[sides[1] == 2])
            assert not held & seen
            assert seen | held == set(TARGET.ids)
    if given:
        assert data.support == (2 * np.bincount(TARGET.labels[sides[1] == 2])).tolist()
        assert data.counts == {
            "source_train": 40,
            "source_validation": 40,
            "target_train": 72,
            "target_test": 18,
        }
        assert data.notes == []
    else:
        assert "a split of its own" in data.notes[0]
        # two seeds, two splits
        assert set(spy.adapted[0][1].ids) != set(spy.adapted[2][1].ids)


def test_rows_of_all_methods_between_the_bounds():
    methods = tuple(METHODS)
    data = run(methods, seeds=(1,))
    assert data.methods() == ["source", *methods, "target"]
    assert data.classes == list(CLASSES)
    for row in data.rows:
        assert 0 <= row.macro_f1 <= 1
        assert 0 <= row.accuracy <= 1
        assert len(row.per_class) == 4
        there = [f1 for f1 in row.per_class if f1 is not None]
        assert [f1 is None for f1 in row.per_class] == [n == 0 for n in data.support]
        assert all(0 <= f1 <= 1 for f1 in there)
        assert (row.shift is None) == (row.method not in ("timematch", "shift"))
        if row.method in ("source", "target"):
            assert np.isnan(row.seconds)
        else:
            assert row.seconds > 0
    json.dumps(data.as_json())


def test_the_same_seed_gives_the_same_rows_in_the_same_order():
    def plain(data):
        return [replace(row, seconds=0.0) for row in data.rows]

    both, first, second = run(seeds=(1, 2)), run(seeds=(1,)), run(seeds=(2,))
    assert [(row.method, row.seed) for row in both.rows] == [
        (method, seed) for method in ("source", "timematch", "mmd", "target") for seed in (1, 2)
    ]
    # a seed does not depend on the others that are run
    assert plain(both)[::2] == plain(first)
    assert plain(both)[1::2] == plain(second)


def test_a_model_of_the_target_is_the_better_one_where_the_source_is_far_away():
    target = named(region(200, seed=2, earlier=45, noise=0.01), "t")
    source = named(region(200, seed=1, noise=0.01), "s")
    data = run(("shift",), source=source, target=target, train=replace(TRAIN, epochs=6, steps_per_epoch=20))
    scores = {row.method: row.macro_f1 for row in data.rows}
    assert scores["target"] > scores["source"] + 0.2


def test_progress_covers_its_part_and_can_cancel():
    sent = []
    ctx = JobContext(lambda kind, fields: sent.append(fields["percent"]) if kind == "progress" else None)
    run(("mmd",), ctx=ctx, start=0.5, end=0.8)
    assert sent[0] >= 50
    assert sent[-1] <= 80
    assert sent == sorted(sent)
    ctx = JobContext()
    ctx.cancel()
    with pytest.raises(Cancelled):
        run(ctx=ctx)


def test_pairs_that_can_not_be_compared():
    with pytest.raises(InputError, match="differ in classes or bands"):
        run(target=replace(TARGET, classes=CLASSES[::-1]))
    with pytest.raises(InputError, match="differ in classes or bands"):
        run(target=replace(TARGET, bands=("nir", "red")))
    nothing = np.where(sides_of(90, 2) == 2, 0, sides_of(90, 2))
    with pytest.raises(InputError, match="target test"):
        run(sides=(sides_of(100, 1), nothing))
