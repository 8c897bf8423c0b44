"""The student: it comes to answer as its teacher does, and each sample is what it should be."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from networks import card, network, pixel_sets

from sits_engine import device
from sits_engine.context import JobContext
from sits_engine.errors import Cancelled
from sits_engine.learning.distill import DistillOptions, _Draw, _Teacher, distill, divergence
from sits_engine.learning.fast_model import make_fast, single_pixels
from sits_engine.models.inference import Predictor

CPU = device.select("cpu")
SHORT = DistillOptions(steps=150, batch_size=64, seed=3)


@pytest.fixture(scope="module")
def sets():
    return pixel_sets([5, 1, 9, 4, 7, 2, 8, 6], clear=0.8, regions=2)


def distilled(sets, options=SHORT, module=None, description=None, ctx=None):
    module, description = module or network(), description or card()
    return distill(module, description, sets, sets.labels, options, CPU, ctx or JobContext())


def agreement(student, module, description, sets):
    as_student = description.model_copy(update={"hyperparameters": {}})
    a = Predictor(module, description, CPU).predict_sets(sets).argmax(1)
    b = Predictor(student, as_student, CPU).predict_sets(sets).argmax(1)
    return (a == b).mean()


def test_the_student_answers_as_the_teacher_and_the_same_seed_gives_the_same_student(sets):
    pixels = single_pixels(sets)
    first, again = distilled(sets), distilled(sets)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    untrained = distilled(sets, replace(SHORT, steps=1))
    found = agreement(first, network(), card(), pixels)
    assert found > 0.7  # the values are pure noise
    assert found > agreement(untrained, network(), card(), pixels) + 0.2


def test_nothing_of_a_student_is_dropped_in_training(sets):
    student = distilled(sets, replace(SHORT, steps=1))
    dropped = [part.p for part in student.modules() if isinstance(part, torch.nn.Dropout)]
    assert dropped
    assert not any(dropped)


def test_the_teacher_that_labels_is_the_trained_network(sets):
    module = network()
    draw = _Draw(sets, sets.labels, card(), replace(SHORT, mixed=0.7, shift=20), True)
    values, valid, positions = draw()
    assert values.shape == (64, positions.shape[1], 3)
    seen = valid.any(1)
    with torch.no_grad():
        plain = module(values.unsqueeze(3), valid.unsqueeze(2), positions, valid)
    torch.testing.assert_close(
        _Teacher(module)(values, valid, positions)[seen], plain[seen], rtol=1e-4, atol=1e-4
    )


def test_mixtures_lie_between_two_pixels_of_the_same_dates(sets):
    description = card()
    alone = _Draw(sets, sets.labels, description, replace(SHORT, mixed=0.0), True)
    mean = torch.tensor([b.mean for b in description.bands])
    std = torch.tensor([b.std for b in description.bands])
    known = torch.from_numpy(sets.values[sets.valid])

    def own(values, valid):
        """Whether each row is one of the sets' own."""
        apart = ((values * std + mean)[valid][:, None] - known).abs().amax(2)
        return apart.amin(1) < 1e-5

    values, valid, _ = alone()
    assert own(values, valid).all()
    mixed, valid, _ = _Draw(sets, sets.labels, description, replace(SHORT, mixed=1.0), True)()
    assert own(mixed, valid).float().mean() < 0.5
    low, high = (torch.from_numpy(np.array(f(sets.values[sets.valid], axis=0))) for f in (np.min, np.max))
    back = (mixed * std + mean)[valid]
    assert ((back >= low - 1e-3) & (back <= high + 1e-3)).all()


def test_clouds_count_where_the_model_was_trained_with_them(sets):
    _, valid, _ = _Draw(sets, sets.labels, card(mask_dates=False), SHORT, False)()
    assert valid.float().mean() > 0.9  # only the padding of the shorter region is missing
    _, valid, _ = _Draw(sets, sets.labels, card(), SHORT, True)()
    assert valid.float().mean() < 0.9


def test_divergence_is_nothing_for_equal_answers_and_keeps_its_size_with_the_temperature():
    target = torch.tensor([[2.0, 0.0, -1.0], [0.0, 3.0, 0.0]])
    seen = torch.tensor([True, True])
    assert divergence(target + 5, target, seen, 2.0).item() == pytest.approx(0, abs=1e-6)
    logits = target + torch.tensor([[0.3, -0.2, 0.0], [0.1, 0.0, -0.4]])
    values = [divergence(logits, target, seen, t).item() for t in (4.0, 8.0)]
    assert values[0] > 0
    assert values[1] == pytest.approx(values[0], rel=0.5)
    odd = torch.cat([logits, torch.full((1, 3), 50.0)]), torch.cat([target, torch.eye(3)[:1] * 90])
    mostly = torch.tensor([True, True, False])
    assert divergence(*odd, mostly, 4.0).item() == pytest.approx(values[0])
    assert divergence(*odd, ~mostly & False, 4.0).item() == 0


def test_cancelling_ends_it(sets):
    ctx = JobContext()
    ctx.cancel()
    with pytest.raises(Cancelled):
        distilled(sets, ctx=ctx)


def test_a_fast_model_is_calibrated_and_compared_on_single_pixels(sets):
    warned = make_fast(network(), card(), (sets, sets, sets), replace(SHORT, steps=2), CPU, JobContext())
    scores = warned.card.scores
    assert scores["pixels"] == len(single_pixels(sets))
    assert {"agreement", "macro_f1", "teacher_macro_f1", "accuracy", "teacher_accuracy"} <= set(scores)
    assert warned.warning is not None
    assert "points below" in warned.warning
    unlabelled = replace(sets, labels=np.full(len(sets), -1))
    made = make_fast(network(), card(), (unlabelled,) * 3, SHORT, CPU, JobContext())
    assert set(made.card.scores) == {"agreement", "pixels"}
    assert made.warning is None
    assert made.card.temperature != 1.0
    assert not made.module.training


def test_single_pixels_keep_what_belongs_to_their_set(sets):
    single = single_pixels(sets, seed=1, most=3)
    assert (single.n_pixels == 1).all()
    assert single.valid.any(1).all()
    counts = {name: int((single.ids == name).sum()) for name in sets.ids}
    assert max(counts.values()) == 3
    for i, name in enumerate(single.ids):
        own = int(np.flatnonzero(sets.ids == name)[0])
        assert single.labels[i] == sets.labels[own]
        assert (single.positions[i] == sets.positions[own]).all()
        inside = sets.values[sets.offsets[own] : sets.offsets[own + 1]]
        assert (inside == single.values[i]).all((1, 2)).any()
