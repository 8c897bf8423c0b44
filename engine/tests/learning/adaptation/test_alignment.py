"""Steps of the methods that align features: MMD, DANN, CDAN+E, JUMBOT, ALDA."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from networks import card, network, pixel_sets
from support.phenology import CPU
from torch.nn import functional

from sits_engine.context import JobContext
from sits_engine.errors import Cancelled
from sits_engine.learning.adaptation import alignment
from sits_engine.learning.adaptation.adversarial import dann_loss
from sits_engine.learning.adaptation.alignment import Alignment
from sits_engine.learning.adaptation.jumbot import jumbot_loss
from sits_engine.learning.adaptation.mmd import mmd_loss
from sits_engine.learning.adaptation.options import AdaptOptions
from sits_engine.learning.adaptation.reversal import coefficient
from sits_engine.learning.adaptation.settings import settle

METHODS = ("mmd", "dann", "cdan", "jumbot", "alda")
BATCH = 16
BANDS = card().bands


def options(method, **changes):
    return AdaptOptions(
        **{
            "method": method,
            "epochs": 2,
            "steps_per_epoch": 2,
            "batch_size": BATCH,
            "learning_rate": 1.0,
            "threshold": 0.5,
            "trade_off": 1.0,
            "shift_augmentation": 0,
            "pixels_per_set": 4,
            **changes,
        }
    )


def make(method, *, target_labels=-1, dropout=0.0, reference=False, **changes):
    """A trainer; source of 6 and target of 9 dates, multiples of 20."""
    source = pixel_sets([3, 1, 5, 4] * 8, seed=1)
    target = pixel_sets([2, 4, 1, 6] * 8, seed=2, dates=9)
    target = replace(target, labels=np.full(32, target_labels))
    chosen = options(method, **changes)
    module = network(reference=reference, attention_dropout=dropout, dropout=dropout)
    trainer = Alignment(
        module, source, target, BANDS, chosen, settle(chosen, source, target), CPU, mask_dates=True
    )
    trainer.batches = []
    for name in ("_source_view", "_target_view"):
        view = getattr(trainer, name)
        setattr(
            trainer, name, lambda *given, v=view: trainer.batches.append(v(*given)) or trainer.batches[-1]
        )
    return trainer


def run(trainer, number=1, ctx=None):
    return trainer.epoch(number, ctx or JobContext(), lambda fraction: None)


def snapshot(trainer):
    return {
        f"{part}/{name}": value.clone()
        for part, module in trainer.parts.items()
        for name, value in module.state_dict().items()
    }


@pytest.mark.parametrize("method", METHODS)
def test_a_few_steps_move_the_weights_and_stay_finite(method):
    trainer = make(method, dropout=0.1)
    before = snapshot(trainer)
    tallies = [run(trainer, number) for number in (1, 2)]
    after = snapshot(trainer)
    assert all(torch.isfinite(value).all() for value in after.values())
    moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
    for part in ("spatial_encoder.mlp1.0", "temporal_encoder.attention_heads", "decoder.1"):
        assert any(name.startswith(f"network/{part}") for name in moved), part
    has_discriminator = method in ("dann", "cdan", "alda")
    assert any(name.startswith("discriminator/") for name in moved) is has_discriminator
    for tally in tallies:
        assert len(tally.source_loss) == len(tally.target_loss) == 2
        losses = torch.stack([*tally.source_loss, *tally.target_loss])
        assert torch.isfinite(losses).all()
        assert (losses != 0).all()
        assert tally.seen == 2 * BATCH
        assert float(tally.shares(4).sum()) == pytest.approx(1)
    assert trainer.result is trainer.network


@pytest.mark.parametrize("method", METHODS)
def test_labels_of_the_target_have_no_part(method):
    results = []
    for label in (-1, 2):
        trainer = make(method, target_labels=label)
        run(trainer)
        results.append(snapshot(trainer))
    assert all(torch.equal(value, results[1][name]) for name, value in results[0].items())


@pytest.mark.parametrize("method", METHODS)
def test_an_epoch_repeats_with_its_seed_and_number_alone(method):
    a, b, c = make(method, dropout=0.1), make(method, dropout=0.1), make(method, dropout=0.1, seed=2)
    for trainer in (a, b, c):
        torch.rand(3)  # chance from elsewhere has no part
        run(trainer, 2)
    wanted = snapshot(b)
    assert all(torch.equal(value, wanted[name]) for name, value in snapshot(a).items())
    assert any(not torch.equal(value, wanted[name]) for name, value in snapshot(c).items())
    run(b, 1)
    second, first = b.batches[0], b.batches[4]  # of the source, first steps of epochs 2 and 1
    assert not torch.equal(second.labels, first.labels)


def first_step_of_sgd(parameters, lr, weight_decay=1e-4, momentum=0.9):
    """Nesterov by hand: the buffer starts as the gradient."""
    for p in parameters:
        gradient = p.grad + weight_decay * p.detach()
        with torch.no_grad():
            p -= lr * (gradient + momentum * gradient)


@pytest.mark.parametrize("method", ["mmd", "dann", "jumbot"])
def test_a_step_equals_one_written_by_hand(method):
    """Plain network in double precision; rates 0.1 and 1 times 0.001 at the first step."""
    trainer = make(method, steps_per_epoch=1, trade_off=0.7, learning_rate=20.0)
    plain, critic = copy.deepcopy(trainer.network).double().train(), copy.deepcopy(trainer.discriminator)
    critic = critic.double().train()
    run(trainer, 2)  # the first step of the second of two epochs: half of the run is over
    known, unknown = trainer.batches

    def features(*batches):
        dates = max(batch.positions.shape[1] for batch in batches)
        rows = []
        for batch in batches:
            missing = dates - batch.positions.shape[1]
            rows.append(
                (
                    torch.cat([batch.pixels, batch.pixels[:, :missing]], 1).double(),
                    torch.cat([batch.pixel_mask, torch.zeros_like(batch.pixel_mask[:, :missing])], 1),
                    torch.cat([batch.positions, batch.positions[:, :missing] + 999], 1),
                )
            )
        return plain.features(*(torch.cat(parts) for parts in zip(*rows, strict=True)))[0]

    if method == "jumbot":
        f_s, f_t = features(known), features(unknown)
        y_s, y_t = plain.classify(f_s), plain.classify(f_t)
        aligned = jumbot_loss(f_s, known.labels, f_t, y_t)
    else:
        both = features(known, unknown)
        y_s = plain.classify(both)[:BATCH]
        f_s, f_t = both[:BATCH], both[BATCH:]
        aligned = mmd_loss(f_s, f_t) if method == "mmd" else dann_loss(critic, f_s, f_t, coefficient(5000))
    (functional.cross_entropy(y_s, known.labels) + 0.7 * aligned).backward()
    encoders = [*plain.spatial_encoder.parameters(), *plain.temporal_encoder.parameters()]
    first_step_of_sgd(encoders, 20 * 1e-4)
    first_step_of_sgd([*plain.decoder.parameters(), *critic.parameters()], 20 * 1e-3)
    start = make(method).network.state_dict()
    for name, value in plain.state_dict().items():
        if value.is_floating_point():
            found = trainer.network.state_dict()[name].double()
            step = (value - start[name]).norm()
            assert (found - value).norm() <= 1e-3 * step + 1e-6 * value.norm(), name
    for name, value in critic.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(
                trainer.discriminator.state_dict()[name].double(), value, atol=1e-5, rtol=1e-5
            )


@pytest.mark.parametrize("method", METHODS)
def test_one_forward_call_or_two(method):
    """The decoder's counter tells how many batches its statistics have seen."""
    trainer = make(method, steps_per_epoch=1)
    run(trainer)
    calls = int(trainer.network.decoder[0].norm.num_batches_tracked)
    assert calls == (1 if method in ("mmd", "dann", "cdan") else 2)


@pytest.mark.parametrize("steps", [2, 10])
def test_short_runs_walk_the_published_decay(steps):
    trainer = make("mmd", epochs=2, steps_per_epoch=steps, learning_rate=3.0)
    rates = [[group["lr"] for group in trainer.optimizer.param_groups]]
    for number in (1, 2):
        run(trainer, number)
        rates.append([group["lr"] for group in trainer.optimizer.param_groups])
    np.testing.assert_allclose(rates[0], [3e-4, 3e-3])
    np.testing.assert_allclose(np.array(rates[1]) / rates[0], 6**-0.75)
    np.testing.assert_allclose(np.array(rates[2]) / rates[0], 11**-0.75)


def test_reversal_grows_over_the_run_whatever_its_length(monkeypatch):
    given = []

    def spy(discriminator, f_s, f_t, strength):
        given.append(strength)
        return dann_loss(discriminator, f_s, f_t, strength)

    monkeypatch.setattr(alignment, "dann_loss", spy)
    trainer = make("dann", epochs=2, steps_per_epoch=2)
    for number in (1, 2):
        run(trainer, number)
    np.testing.assert_allclose(given, [coefficient(at) for at in (0, 2500, 5000, 7500)])


def test_alda_without_confident_samples_stays_finite():
    trainer = make("alda", threshold=1.0)
    tally = run(trainer)
    assert int(torch.stack(tally.kept).sum()) == 0
    assert all(torch.isfinite(value).all() for value in snapshot(trainer).values())


def test_cancel_between_steps():
    ctx = JobContext()
    ctx.cancel()
    with pytest.raises(Cancelled):
        run(make("mmd"), ctx=ctx)


@pytest.mark.parametrize("method", METHODS)
def test_the_published_network_never_attends_to_padding(method):
    """It looks at every date that it is given, so both regions give as many where they share a call."""
    for reference in (True, False):
        trainer = make(method, reference=reference)
        run(trainer)
        dates = {batch.positions.shape[1] for batch in trainer.batches}
        assert dates == ({6} if reference and method in ("mmd", "dann", "cdan") else {6, 9})
