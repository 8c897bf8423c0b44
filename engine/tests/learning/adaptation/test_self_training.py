"""TimeMatch's steps: what teacher and student see, what counts, and what moves."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from networks import card, network, pixel_sets
from support.phenology import CPU

from sits_engine.context import JobContext
from sits_engine.errors import Cancelled
from sits_engine.learning.adaptation import self_training
from sits_engine.learning.adaptation.options import AdaptOptions
from sits_engine.learning.adaptation.self_training import Search, SelfTraining
from sits_engine.learning.adaptation.settings import settle
from sits_engine.learning.adaptation.shift import search_range

BATCH = 16
BANDS = card().bands
EVEN = torch.full((4,), 0.25)
#: Explicit where a default could be tuned.
PLAIN = AdaptOptions(
    epochs=2,
    steps_per_epoch=1,
    batch_size=BATCH,
    learning_rate=1e-3,
    threshold=0.5,
    trade_off=2.0,
    shift_augmentation=0,
    pixels_per_set=4,
    estimator="AM",
    balanced_source=True,
    norm="separate",
    warm_up=0,
)


def source_sets(**options):
    return pixel_sets([3, 1, 5, 4] * 8, seed=1, **options)


def target_sets(**options):
    return replace(pixel_sets([2, 4, 1, 6] * 8, seed=2, **{"dates": 9, **options}), labels=np.full(32, -1))


def fixed_search(days):
    """A search that can only find this shift."""
    return Search(days, -days, np.array([days]), EVEN)


class Recorder:
    """Calls a form of a network and keeps its inputs and outputs."""

    def __init__(self, form):
        self.form, self.inputs, self.outputs = form, [], []

    def __call__(self, *inputs):
        self.inputs.append([x.clone() for x in inputs])
        self.outputs.append(self.form(*inputs))
        return self.outputs[-1]


def make(options=PLAIN, search=None, *, threshold=None, stay=None, source=None, target=None, module=None):
    """A trainer that records what the student (`seen`) and the teacher (`asked`, `answers`) do."""
    source, target = source or source_sets(), target or target_sets()
    settings = settle(options, source, target)
    if threshold is not None:
        settings = replace(settings, threshold=threshold)
    if stay is not None:
        settings = replace(settings, stay=stay)
    module = module or network(attention_dropout=0.0, dropout=0.0)
    trainer = SelfTraining(
        copy.deepcopy(module), source, target, BANDS, options, settings, search, CPU, mask_dates=True
    )
    trainer.seen = trainer._form = Recorder(trainer._form)
    trainer._teacher_form = Recorder(trainer._teacher_form)
    trainer.asked, trainer.answers = trainer._teacher_form.inputs, trainer._teacher_form.outputs
    return trainer


def run(trainer, number=1):
    return trainer.epoch(number, JobContext(), lambda fraction: None)


def confidences(search=None):
    """Of the teacher on the first batch: falling."""
    trainer = make(search=search)
    run(trainer)
    return torch.softmax(trainer.answers[0], -1).max(1).values.sort(descending=True).values


def by_hand(logits, labels):
    """Focal loss, gamma 1, mean over the samples given."""
    p = torch.softmax(logits.double(), -1)[torch.arange(len(labels)), labels]
    return -((1 - p) * torch.log(p)).sum() / len(labels)


@pytest.mark.parametrize("kept", [0, 1, 2, 5])
def test_confident_samples_alone_count_and_their_number_divides(kept):
    """Spec timematch.md section 10, test 7."""
    threshold = float(confidences()[kept])  # strictly more confident are `kept` samples
    trainer = make(threshold=threshold)
    start = {name: p.detach().clone() for name, p in trainer.student.named_parameters()}
    tally = run(trainer)
    assert int(tally.kept[0]) == kept
    assert tally.seen == BATCH
    if kept < 2:  # batch norm can't normalise one sample
        assert len(trainer.seen.inputs) == 1
        assert float(tally.target_loss[0]) == 0
    else:
        assert [len(inputs[0]) for inputs in trainer.seen.inputs] == [BATCH, kept]
        p = torch.softmax(trainer.answers[0], -1)
        labels = p.argmax(1)[p.max(1).values > threshold]
        wanted = by_hand(trainer.seen.outputs[1].detach(), labels)
        assert float(tally.target_loss[0]) == pytest.approx(float(wanted), rel=1e-5)
    assert all(torch.isfinite(p).all() for p in trainer.student.parameters())
    assert any((p - start[name]).abs().max() > 1e-5 for name, p in trainer.student.named_parameters())


@pytest.mark.parametrize("trade_off", [2.0, 0.5])
def test_the_gradient_is_that_of_a_plain_step(trade_off):
    """Source at +s, confident target at its own dates, each in a forward call of its own, source first."""
    module = network(attention_dropout=0.0, dropout=0.0)
    threshold = float(confidences(fixed_search(7))[6])
    trainer = make(replace(PLAIN, trade_off=trade_off), fixed_search(7), threshold=threshold, module=module)
    labels = []
    draw = trainer._source_view
    trainer._source_view = lambda *given: labels.append(draw(*given)) or labels[-1]
    run(trainer)
    plain = copy.deepcopy(module).double().train()

    def logits(inputs):
        pixels, mask, positions, date_mask = inputs
        return plain(pixels.double(), mask, positions, date_mask)

    p = torch.softmax(trainer.answers[0], -1)
    keep = p.max(1).values > trainer.settings.threshold
    assert int(keep.sum()) == 6
    source, target = trainer.seen.inputs
    loss = by_hand(logits(source), labels[0].labels)
    loss = loss + trade_off * by_hand(logits(target), p.argmax(1)[keep])
    loss.backward()
    student = dict(trainer.student.named_parameters())
    for name, parameter in plain.named_parameters():
        error = (student[name].grad - parameter.grad).norm() / parameter.grad.norm().clamp(min=1e-2)
        assert error < 1e-3, name
    for name, value in plain.state_dict().items():
        if "running" in name:
            torch.testing.assert_close(
                trainer.student.state_dict()[name].double(), value, atol=1e-5, rtol=1e-4
            )


@pytest.mark.parametrize("days", [7, -7])
def test_who_sees_which_dates(days):
    """Teacher at target + d, student at source - d and at target + 0; source dates are multiples of 20."""
    target = target_sets()
    target = replace(target, positions=target.positions + np.arange(32, dtype=np.int32)[:, None])
    trainer = make(search=fixed_search(days), threshold=0.0, target=target)
    run(trainer)
    source, strong = trainer.seen.inputs
    weak = trainer.asked[0]
    assert ((source[2] + days) % 20 == 0).all()
    own = {tuple(row) for row in target.positions.tolist()}
    assert all(tuple(row) in own for row in strong[2].tolist())
    # both views are of the same sets, whose dates are all different
    assert torch.equal(weak[2] - days, strong[2])
    assert len(torch.unique(strong[2], dim=0)) == BATCH


def test_fixmatch_never_shifts(monkeypatch):
    def never(*given, **named):
        raise AssertionError("FixMatch looked for a shift")

    monkeypatch.setattr(self_training, "ShiftTable", never)
    trainer = make(replace(PLAIN, method="fixmatch"), None, threshold=0.0)
    for number in (1, 2):
        run(trainer, number)
    for inputs in (*trainer.seen.inputs, *trainer.asked):
        assert (inputs[2] % 20 == 0).all()


@pytest.mark.parametrize("norm", ["separate", "joint"])
def test_regions_are_normalised_apart_or_together(norm):
    trainer = make(replace(PLAIN, norm=norm), None, threshold=0.0)
    tally = run(trainer)
    sizes = [tuple(inputs[2].shape) for inputs in trainer.seen.inputs]
    first = trainer.student.decoder[0].norm
    if norm == "separate":
        assert sizes == [(BATCH, 6), (BATCH, 9)]
        assert int(first.num_batches_tracked) == 2
    else:
        assert sizes == [(2 * BATCH, 9)]  # the shorter series padded with dates that don't count
        assert not trainer.seen.inputs[0][3][:BATCH, 6:].any()
        assert int(first.num_batches_tracked) == 1
        wanted = by_hand(trainer.seen.outputs[0].detach()[BATCH:], trainer.answers[0].argmax(1))
        assert float(tally.target_loss[0]) == pytest.approx(float(wanted), rel=1e-5)


def test_the_published_network_never_attends_to_padding():
    """It looks at every date that it is given, so both regions give as many where they share a call."""
    for norm, wanted in (("joint", [(2 * BATCH, 6)]), ("separate", [(BATCH, 6), (BATCH, 9)])):
        module = network(attention_dropout=0.0, dropout=0.0, reference=True)
        trainer = make(replace(PLAIN, norm=norm), None, threshold=0.0, module=module)
        run(trainer)
        assert [tuple(inputs[2].shape) for inputs in trainer.seen.inputs] == wanted
        assert trainer.asked[0][2].shape == (BATCH, 9)


def test_kept_norms_stay_as_the_source_model_left_them():
    """Those of single pixels go on with each region's own batches."""
    trainer = make(replace(PLAIN, norm="kept"), None, threshold=0.0)
    before = copy.deepcopy(trainer.student.state_dict())
    run(trainer)
    changed = {
        name.split(".norm")[0]
        for name, value in trainer.student.state_dict().items()
        if "running" in name and not torch.equal(value, before[name])
    }
    assert changed == {f"spatial_encoder.mlp1.{i}" for i in range(len(trainer.student.spatial_encoder.mlp1))}
    assert int(trainer.student.decoder[0].norm.num_batches_tracked) == 0
    assert int(trainer.student.spatial_encoder.mlp1[0].norm.num_batches_tracked) == 2


@pytest.mark.parametrize("days", [7, -7])
def test_a_shift_built_in_leaves_each_region_on_the_calendar_of_the_source(days):
    """The networks add the days: the source is moved back by them, the target is as it is for both."""
    search = Search.built_into(days, EVEN)
    trainer = make(search=search, threshold=0.0)
    run(trainer)
    source, strong = trainer.seen.inputs
    assert ((source[2] + days) % 20 == 0).all()
    assert torch.equal(trainer.asked[0][2], strong[2])
    assert (strong[2] % 20 == 0).all()
    assert trainer._table is None
    assert trainer.search.days == days
    assert trainer.search.source == -days


def test_a_warm_up_learns_from_the_source_alone():
    """As a run whose target has no weight; after it the target counts."""
    module = network(attention_dropout=0.0, dropout=0.0)
    found = []
    for changes in ({"warm_up": 1}, {"trade_off": 0.0}):
        trainer = make(replace(PLAIN, **changes), None, threshold=0.0, module=module)
        run(trainer, 1)
        first = {name: value.clone() for name, value in trainer.student.named_parameters()}
        run(trainer, 2)
        found.append((first, dict(trainer.student.named_parameters())))
    (warm, later), (alone, still) = found
    assert all(torch.equal(value, alone[name]) for name, value in warm.items())
    assert any(not torch.equal(value, still[name]) for name, value in later.items())


def test_one_call_without_confident_samples():
    trainer = make(replace(PLAIN, norm="joint"), None, threshold=1.0)
    tally = run(trainer)
    assert [len(inputs[0]) for inputs in trainer.seen.inputs] == [BATCH]
    assert float(tally.target_loss[0]) == 0


def test_the_teacher_follows_slowly_and_without_gradients():
    trainer = make(threshold=0.0, stay=0.75)
    before = copy.deepcopy(trainer.teacher.state_dict())
    run(trainer)
    after, student = trainer.teacher.state_dict(), trainer.student.state_dict()
    for name, old in before.items():
        if old.is_floating_point():
            torch.testing.assert_close(after[name], 0.75 * old + 0.25 * student[name], msg=name)
    running = [name for name in before if "running" in name]
    assert running
    assert all(not torch.equal(after[name], before[name]) for name in running)
    assert not trainer.teacher.training
    assert all(p.grad is None and not p.requires_grad for p in trainer.teacher.parameters())


def test_a_teacher_that_stays_answers_as_the_source_model():
    module = network(attention_dropout=0.0, dropout=0.0)
    trainer = make(replace(PLAIN, steps_per_epoch=3), None, threshold=0.0, stay=1.0, module=module)
    run(trainer)
    wanted = module.state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in trainer.teacher.state_dict().items())
    for given, answer in zip(trainer.asked, trainer.answers, strict=True):
        with torch.no_grad():
            torch.testing.assert_close(module(*given), answer)


def test_which_network_is_the_result():
    for keep in ("student", "teacher"):
        trainer = make(replace(PLAIN, keep=keep))
        assert trainer.result is getattr(trainer, keep)


def test_the_range_by_sign_then_by_the_first_epoch():
    up = Search.begin(12, 30, EVEN)
    assert up.source is None
    assert up.shifts.tolist() == list(range(31))
    up.move(9)
    assert (up.target, up.source, up.shifts.tolist()) == (9, -9, list(range(10)))
    up.move(4)  # as the model adapts, the target needs less; the source's shift stays
    assert (up.target, up.source, up.shifts.tolist()) == (4, -9, list(range(10)))
    down = Search.begin(-5, 30, EVEN)
    assert down.shifts.tolist() == list(range(-30, 1))
    down.move(-11)
    assert (down.target, down.source, down.shifts.tolist()) == (-11, 11, list(range(-11, 1)))
    nothing = Search.begin(0, 30, EVEN)
    assert nothing.shifts.tolist() == list(range(31))
    nothing.move(0)
    assert (nothing.target, nothing.source, nothing.shifts.tolist()) == (0, 0, [0])


@pytest.mark.parametrize("days", [15, -15])
def test_a_known_shift_of_the_source_is_never_moved(days):
    known = Search.begin(days, 5, EVEN, fixed=True)
    assert known.source == -days
    assert known.shifts.tolist() == sorted(range(0, days + int(np.sign(days)), int(np.sign(days))))
    known.move(days // 3)
    assert (known.target, known.source) == (days // 3, -days)
    assert days in known.shifts


def test_a_search_survives_json():
    search = Search.begin(12, 30, torch.tensor([0.1, 0.2, 0.3, 0.4]))
    search.move(9)
    other = Search.begin(1, 5, EVEN)
    other.restore(search.as_json())
    assert other.as_json() == search.as_json()
    assert torch.equal(other.distribution, search.distribution)


def test_each_epoch_asks_the_teacher_over_the_range_of_the_time():
    trainer = make(replace(PLAIN, steps_per_epoch=2), Search.begin(3, 20, EVEN), stay=0.5)
    calls = []
    table = trainer._table.probabilities

    def spy(module, shifts, *rest):
        calls.append((module, shifts.copy(), table(module, shifts, *rest)))
        return calls[-1][2]

    trainer._table.probabilities = spy
    first = run(trainer, 1)
    found = trainer.search.target
    assert trainer.search.source == -found
    torch.testing.assert_close(trainer.search.distribution, first.shares(4))
    run(trainer, 2)
    assert all(module is trainer.teacher for module, _, _ in calls)
    assert calls[0][1].tolist() == search_range(20, 1).tolist()
    assert calls[1][1].tolist() == list(range(found + 1))
    assert trainer.search.source == -found
    assert 0 <= trainer.search.target <= found
    # the second estimate compares with the classes that the teacher named in the first epoch
    scores = self_training.shift_scores.activation(calls[1][2], first.shares(4))
    assert trainer.search.target == self_training.shift_scores.best_shift(scores, calls[1][1], "AM")


@pytest.mark.parametrize("days", [60, -60])
def test_shift_and_augmentation_leave_the_year(days):
    """Spec timematch.md section 10, test 9: -120 to 484 is computed, not looked up."""
    options = replace(PLAIN, shift_augmentation=60, steps_per_epoch=3)
    source, target = source_sets(dates=12), target_sets(dates=12)
    whole_year = np.linspace(0, 364, 12).astype(np.int32)
    source, target = (
        replace(sets, positions=np.tile(whole_year, (len(sets), 1))) for sets in (source, target)
    )
    trainer = make(options, fixed_search(days), threshold=0.0, source=source, target=target)
    tally = run(trainer)
    positions = torch.cat([inputs[2] for inputs in trainer.seen.inputs[::2]])
    assert positions.max() > 464 if days < 0 else positions.min() < -100  # outside the published table
    assert all(torch.isfinite(torch.stack(losses)).all() for losses in (tally.source_loss, tally.target_loss))
    assert all(torch.isfinite(p).all() for p in trainer.student.parameters())


@pytest.mark.parametrize("dates", [1, 30, 31])
def test_short_series_are_used_whole(dates):
    """Spec timematch.md section 10, test 10."""
    options = replace(PLAIN, dates_per_sample=30)
    trainer = make(options, None, threshold=0.0, source=source_sets(dates=dates))
    run(trainer)
    assert trainer.seen.inputs[0][2].shape == (BATCH, min(dates, 30))


def test_a_balanced_source_and_one_as_it_comes():
    source = source_sets()
    source = replace(source, labels=np.where(np.arange(32) < 29, 0, np.arange(32) % 3 + 1))
    for balanced in (True, False):
        trainer = make(replace(PLAIN, balanced_source=balanced, batch_size=32), None, source=source)
        seen = []
        draw = trainer._source_view
        trainer._source_view = lambda *given, d=draw, s=seen: s.append(d(*given)) or s[-1]
        run(trainer)
        counts = torch.bincount(seen[0].labels, minlength=4).tolist()
        assert counts == ([8, 8, 8, 8] if balanced else [29, 1, 1, 1])


def test_an_epoch_can_be_repeated_and_cancelled():
    a, b = make(search=Search.begin(3, 10, EVEN)), make(search=Search.begin(3, 10, EVEN))
    for trainer in (a, b):
        run(trainer, 2)
    assert all(torch.equal(v, b.student.state_dict()[k]) for k, v in a.student.state_dict().items())
    ctx = JobContext()
    ctx.cancel()
    with pytest.raises(Cancelled):
        make().epoch(1, ctx, lambda fraction: None)
    searching = make(search=Search.begin(3, 10, EVEN))
    with pytest.raises(Cancelled):  # also while the shift is looked for
        searching.epoch(1, ctx, lambda fraction: None)
    assert searching.search.source is None


def test_the_learning_rate_ends_at_zero_whatever_the_length():
    for steps in (1, 4):
        trainer = make(replace(PLAIN, epochs=2, steps_per_epoch=steps))
        rates = [trainer.optimizer.param_groups[0]["lr"]]
        for number in (1, 2):
            run(trainer, number)
            rates.append(trainer.optimizer.param_groups[0]["lr"])
        np.testing.assert_allclose(rates, [1e-3, 0.5e-3, 0], atol=1e-9)
