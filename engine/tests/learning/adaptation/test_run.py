"""A whole adaptation: what it finds, what it may not see, how it stops and goes on."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.phenology import CLASSES, CPU, card_of, region, source_model

from sits_engine.context import JobContext
from sits_engine.errors import Cancelled, InputError, ModelError
from sits_engine.learning.adaptation import run as running
from sits_engine.learning.adaptation.options import METHODS, AdaptOptions
from sits_engine.learning.adaptation.run import adapt
from sits_engine.models.inference import Predictor
from sits_engine.models.model_file import load_model, save_model
from sits_engine.models.training_form import TrainingForm

#: Explicit where a default could be tuned.
TINY = AdaptOptions(
    epochs=2,
    steps_per_epoch=2,
    batch_size=16,
    max_shift=25,
    threshold=0.5,
    shift_augmentation=0,
    pixels_per_set=3,
)


def unlabelled(sets):
    return replace(sets, labels=np.full(len(sets), -1, np.int64), classes=())


def target_sets(n=48, **options):
    return unlabelled(region(n, **{"earlier": 15, "seed": 7, "dates": 11, **options}))


def adapted(options=TINY, *, source=None, target=None, ctx=None, card=None, module=None, **named):
    sets, own, description = source_model()
    return adapt(
        own if module is None else module,
        card or description,
        sets.subset(np.arange(60)) if source is None else source,
        target_sets() if target is None else target,
        options,
        CPU,
        ctx or JobContext(),
        **named,
    )


def same(a, b):
    ours, theirs = a.state_dict(), b.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("method", METHODS)
def test_labels_of_the_target_are_for_the_report_only(method):
    """No weight, no shift and no word of the verdict may depend on them."""
    target = target_sets()
    labels = np.arange(len(target), dtype=np.int64) % 4
    labels[::5] = -1
    named = replace(target, labels=labels, classes=CLASSES)
    wrong = replace(named, labels=np.where(labels < 0, labels, 0))
    results = [adapted(replace(TINY, method=method), target=sets) for sets in (target, named, wrong)]
    plain = results[0]
    assert plain.report.labelled is None
    for other in results[1:]:
        assert same(plain.module, other.module)
        assert other.card == plain.card
        check = other.report.labelled
        assert check is not None
        assert check.n_sets == int((labels >= 0).sum())
        numbers, own = other.report.as_json(), plain.report.as_json()
        for report in (numbers, own):
            report.pop("labelled_for_the_report_only")
            report.pop("provenance")  # holds the time
        # as text, since a NaN is no equal of itself
        assert repr(numbers) == repr(own)
    assert results[1].report.labelled != results[2].report.labelled


def test_not_even_the_trainer_is_given_labels_of_the_target(monkeypatch):
    given, trainer = [], running._trainer

    def spy(network, card, source, target, *rest):
        given.append(target.labels)
        return trainer(network, card, source, target, *rest)

    monkeypatch.setattr(running, "_trainer", spy)
    adapted(target=replace(target_sets(), labels=np.zeros(48, np.int64), classes=CLASSES))
    assert (given[0] == -1).all()


@pytest.mark.parametrize("method", METHODS)
def test_what_every_method_leaves(method):
    sets, module, description = source_model()
    before = copy.deepcopy(module.state_dict())
    target = target_sets()
    source = sets.subset(np.arange(60))
    kept = source.positions.copy(), target.positions.copy(), target.labels.copy()
    result = adapted(replace(TINY, method=method), source=source, target=target, module=module)
    # nothing that was given is changed
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    for old, new in zip(kept, (source.positions, target.positions, target.labels), strict=True):
        assert np.array_equal(old, new)
    report, moved = result.report, not same(result.module, module)
    assert moved is (method != "shift")
    assert all(torch.isfinite(value).all() for value in result.module.state_dict().values())
    assert len(report.epochs) == (0 if method == "shift" else 2)
    for number, row in enumerate(report.epochs, 1):
        assert row.epoch == number
        assert np.isfinite([row.source_loss, row.target_loss, row.confidence]).all()
        assert row.pseudo_seen == 32
        assert 0 <= row.pseudo_labels <= 32
        assert sum(row.class_shares) == pytest.approx(1, abs=1e-5)
        assert 0 <= row.agreement <= 1
    assert report.method == method
    assert report.classes == list(CLASSES)
    assert (report.shift == 0) == (method not in ("timematch", "shift"))
    assert report.changes.sum() == len(target)
    # what the report calls 'after' is what the model of the file maps
    answers = Predictor(result.module, result.card, CPU).predict_sets(target)
    assert np.array_equal(report.after, answers.argmax(1))
    np.testing.assert_allclose(report.confidence_after, answers.max(1), atol=1e-6)
    assert not result.module.training
    assert all(p.device.type == "cpu" for p in result.module.parameters())
    assert result.card.positions == sorted({float(day) for day in np.unique(target.positions)})
    assert result.card.scores == {}
    assert result.card.temperature == description.temperature


def test_the_shift_found_is_the_one_that_moves_the_target_onto_the_source():
    """Target = source 15 days earlier: the teacher adds days (spec timematch.md section 10, test 5)."""
    sets, _, _ = source_model()
    for earlier in (15, -15):
        target = replace(unlabelled(sets), positions=(sets.positions - earlier).astype(np.int32))
        result = adapted(replace(TINY, method="timematch"), target=target)
        assert abs(result.report.curves.shift - earlier) <= 1
        assert abs(result.report.shift - earlier) <= 1
        assert result.report.epochs[0].shift == result.report.shift
        assert all(abs(row.shift) <= abs(result.report.shift) for row in result.report.epochs)
        alone = adapted(replace(TINY, method="shift"), target=target)
        assert alone.report.shift == alone.report.curves.shift == result.report.curves.shift


def test_a_known_shift_is_taken_as_it_is():
    result = adapted(replace(TINY, method="shift", shift=-40))
    assert result.report.shift == -40
    assert result.module.temporal_encoder.shift == -40
    result = adapted(replace(TINY, shift=9))
    assert result.report.shift == 9
    assert all(0 <= row.shift <= 9 for row in result.report.epochs)


@pytest.mark.parametrize(("built_in", "known"), [(0, 17), (10, -17), (10, -10)])
def test_shift_alone_is_the_source_model_on_moved_dates(built_in, known, tmp_path):
    """Through every way of prediction, the training form and the model file."""
    _, module, description = source_model()
    module.temporal_encoder.shift = built_in
    if built_in:
        changed = {**description.hyperparameters, "shift": built_in}
        description = description.model_copy(update={"hyperparameters": changed})
    target = target_sets(clear=0.8)
    result = adapted(
        replace(TINY, method="shift", shift=known), module=module, card=description, target=target
    )
    total = built_in + known
    assert result.module.temporal_encoder.shift == total
    path = tmp_path / "shifted.safetensors"
    save_model(path, result.module, result.card)
    loaded, card = load_model(path)
    assert card.hyperparameters.get("shift", 0) == total
    plain = Predictor(module, description, CPU)
    moved = replace(target, positions=target.positions + np.int32(known))
    wanted = plain.predict_sets(moved)
    assert np.abs(plain.predict_sets(target) - wanted).max() > 0.05
    rng = np.random.default_rng(3)
    values, valid = rng.random((9, 2, 20), np.float32), rng.random((9, 20)) < 0.7
    scale, offset = np.ones((9, 2), np.float32), np.zeros((9, 2), np.float32)
    days = np.arange(9) * 31 + 40
    pixels = plain.predict_pixels(values, valid, scale, offset, days + known)
    for network in (result.module, loaded):
        predictor = Predictor(network, card, CPU)
        np.testing.assert_allclose(predictor.predict_sets(target), wanted, atol=1e-6)
        found = predictor.predict_pixels(values, valid, scale, offset, days)
        np.testing.assert_allclose(found, pixels, atol=1e-6)
        for training in (False, True):
            forms = [TrainingForm(copy.deepcopy(one).train(training)) for one in (network, module)]
            generator = torch.Generator().manual_seed(0)
            x = torch.rand(6, 9, 2, 3, generator=generator)
            mask, dates = torch.ones(6, 9, 3), torch.from_numpy(days).float().expand(6, -1)
            answers = []
            for form, positions in zip(forms, (dates, dates + known), strict=True):
                torch.manual_seed(1)  # the same dropout
                answers.append(form(x, mask, positions))
            torch.testing.assert_close(*answers)


@pytest.mark.parametrize("method", ["timematch", "mmd"])
def test_a_model_with_a_shift_inside_keeps_it(method, tmp_path):
    _, module, description = source_model()
    module.temporal_encoder.shift = 10
    changed = {**description.hyperparameters, "shift": 10}
    description = description.model_copy(update={"hyperparameters": changed})
    result = adapted(replace(TINY, method=method), module=module, card=description)
    save_model(tmp_path / "a.safetensors", result.module, result.card)
    loaded, card = load_model(tmp_path / "a.safetensors")
    found = Predictor(loaded, card, CPU).predict_sets(target_sets())
    np.testing.assert_allclose(found.max(1), result.report.confidence_after, atol=1e-6)
    added = result.report.shift if method == "timematch" else 0
    assert card.hyperparameters["shift"] == 10 + added


class Stopping(JobContext):
    """Cancels itself in the first step after so many whole epochs."""

    def __init__(self, epochs):
        super().__init__()
        self.left = epochs

    def metric(self, name, value, step=None):
        if name == "shift_days":
            self.left -= 1

    def check_cancelled(self):
        if self.left <= 0:
            self.cancel()
        super().check_cancelled()


@pytest.mark.parametrize("method", ["timematch", "fixmatch", "dann", "alda"])
def test_an_interrupted_run_goes_on_bit_by_bit(method, tmp_path):
    options = replace(TINY, method=method, epochs=3)
    file = tmp_path / "run.safetensors"
    whole = adapted(options)
    with pytest.raises(Cancelled):
        adapted(options, ctx=Stopping(1), checkpoint=file)
    assert file.is_file()
    said = []
    ctx = JobContext(lambda kind, fields: said.append(fields.get("text", "")))
    resumed = adapted(options, ctx=ctx, checkpoint=file)
    assert any("after epoch 1" in text for text in said)
    assert same(whole.module, resumed.module)
    assert resumed.report.epochs == whole.report.epochs
    assert resumed.report.shift == whole.report.shift
    # a finished run's file gives the same again
    assert same(whole.module, adapted(options, checkpoint=file).module)


def test_the_checkpoint_of_other_inputs_or_a_damaged_one_is_not_taken(tmp_path):
    options, file = replace(TINY, method="timematch"), tmp_path / "run.safetensors"
    first = adapted(options, checkpoint=file)
    assert file.is_file()

    def begins(expected, **changes):
        said = []
        ctx = JobContext(lambda kind, fields: said.append(fields.get("text", "")))
        result = adapted(checkpoint=file, ctx=ctx, **changes)
        assert any("Going on with" in text for text in said) is not expected
        return result

    saved = file.read_bytes()
    assert same(begins(False, options=options).module, first.module)
    begins(True, options=replace(options, seed=2))
    file.write_bytes(saved)
    begins(True, options=options, target=target_sets(seed=8))
    file.write_bytes(saved)
    # labels of the target are not among the inputs
    labelled = replace(target_sets(), labels=np.zeros(48, np.int64), classes=CLASSES)
    begins(False, options=options, target=labelled)
    file.write_bytes(saved[: len(saved) // 2])
    assert same(begins(True, options=options).module, first.module)


def test_cancel_before_the_first_epoch_ends_leaves_no_file(tmp_path):
    file = tmp_path / "run.safetensors"
    with pytest.raises(Cancelled):
        adapted(ctx=Stopping(0), checkpoint=file)
    assert not file.exists()


def test_the_same_seed_gives_the_same_model():
    a, b, c = (adapted(replace(TINY, seed=seed)) for seed in (1, 1, 2))
    assert same(a.module, b.module)
    assert not same(a.module, c.module)


def test_single_pixels_of_other_dates_than_the_source():
    """A target without parcels: sets of one pixel; and one date less than a sample may have."""
    target = region(30, seed=9, dates=5)
    first = target.offsets[:-1]
    single = replace(
        unlabelled(target),
        values=target.values[first],
        valid=target.valid[first],
        offsets=np.arange(31, dtype=np.int64),
    )
    result = adapted(target=single)
    assert len(result.report.after) == 30
    assert all(torch.isfinite(value).all() for value in result.module.state_dict().values())


@pytest.mark.parametrize("method", ["timematch", "mmd"])
def test_divergence_is_told(method, monkeypatch):
    """Also where only the target's loss is no number, and only in the last epoch."""
    options = replace(TINY, method=method, epochs=1)
    with pytest.raises(InputError, match=r"diverged in epoch 1|no finite number"):
        adapted(replace(options, learning_rate=1e30, steps_per_epoch=4))
    trainer = running._trainer

    def broken(*given, **named):
        made = trainer(*given, **named)
        epoch = made.epoch

        def with_bad_target(*inside):
            tally = epoch(*inside)
            tally.target_loss[-1] = torch.tensor(float("nan"))
            return tally

        made.epoch = with_bad_target
        return made

    monkeypatch.setattr(running, "_trainer", broken)
    with pytest.raises(InputError, match="diverged in epoch 1"):
        adapted(options)


def test_too_few_target_sets():
    for method in ("timematch", "mmd", "shift"):
        with pytest.raises(InputError, match="holds 9 samples"):
            adapted(replace(TINY, method=method), target=target_sets(9))


def test_a_source_that_does_not_fit():
    sets, _, description = source_model()
    with pytest.raises(InputError, match="no labels") as caught:
        adapted(source=unlabelled(sets))
    assert "field" in caught.value.advice
    with pytest.raises(InputError, match="no labels"):
        adapted(source=replace(sets, labels=np.where(np.arange(300) == 5, -1, sets.labels)))
    with pytest.raises(InputError, match="no labels"):
        adapted(source=sets.subset(np.arange(0)))
    other = replace(sets, classes=("barley", "grass", "rye", "wheat"))
    with pytest.raises(InputError, match=r"barley, grass, rye, wheat.*barley, grass, maize, wheat"):
        adapted(source=other)
    turned = replace(sets, classes=CLASSES[::-1])
    with pytest.raises(InputError, match="classes are"):
        adapted(source=turned)
    assert description.class_names == list(CLASSES)


@pytest.mark.parametrize("side", ["source", "target"])
def test_bands_that_are_not_the_models(side):
    sets = source_model()[0] if side == "source" else target_sets()
    with pytest.raises(InputError, match="bands"):
        adapted(**{side: replace(sets, bands=("nir", "red"))})


def test_another_network():
    description = card_of(source_model()[2].bands)
    with pytest.raises(ModelError, match="can't be adapted") as caught:
        adapted(module=torch.nn.Linear(2, 4), card=description)
    assert "Train" in caught.value.advice
