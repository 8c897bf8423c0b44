import numpy as np
import pytest
import torch
from golden import EVAL, load

from sits_engine.errors import InputError
from sits_engine.learning.adaptation.shift_scores import (
    accuracy,
    activation,
    best_shift,
    entropy,
    inception,
    predicted_shares,
    score,
)


@pytest.fixture(scope="module")
def golden():
    return load("timematch_shift_table")


@pytest.fixture(scope="module")
def curves(golden):
    given = golden["inputs"]
    p = given["logits"].softmax(-1)
    return {
        "IS": score("IS", p),
        "ENT": score("ENT", p),
        "AM": score("AM", p, given["class_distribution"]),
        "ACC": accuracy(p, given["labels"]),
    }


@pytest.mark.parametrize("name", ["IS", "ENT", "AM", "ACC"])
def test_published_scores(golden, curves, name):
    torch.testing.assert_close(curves[name].double(), golden["scores"][name].double(), **EVAL)


def test_published_divergence(golden, curves):
    torch.testing.assert_close(curves["AM"] - curves["ENT"], golden["scores"]["KL"], **EVAL)


def test_published_choice_of_every_estimator_in_every_range(golden, curves):
    shifts = torch.tensor(list(golden["shifts"]))
    chosen = {}
    for key in golden["best"]:
        name, low, high = key.split("_")
        inside = (shifts >= int(low)) & (shifts <= int(high))
        chosen[key] = best_shift(curves[name][inside], shifts[inside], name)
    assert chosen == golden["best"]
    assert len(chosen) == 12


def test_am_counts_hard_predictions():
    # Shift 0: both sets barely class 0; shift 1: one set each. Means of the probabilities are alike.
    p = torch.tensor([[[0.51, 0.49], [0.51, 0.49]], [[0.51, 0.49], [0.49, 0.51]]])
    torch.testing.assert_close(predicted_shares(p), torch.tensor([[1.0, 0.0], [0.5, 0.5]]).double())
    scores = activation(p, np.array([0.5, 0.5]))
    assert scores[0] - scores[1] > 4  # KL against a share of 0 with eps 1e-5
    assert best_shift(scores, np.array([0, 1]), "AM") == 1


def test_scores_are_finite_with_certain_predictions_and_can_be_differentiated():
    p = torch.eye(3)[:, None, :].repeat(1, 2, 1).requires_grad_()
    total = inception(p).sum() + entropy(p).sum()
    total.backward()
    assert torch.isfinite(total)
    assert torch.isfinite(p.grad).all()
    assert inception(p)[0].item() == pytest.approx(np.log(3), abs=1e-3)
    assert entropy(p)[0].item() == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(("name", "sign"), [("IS", 1), ("ACC", 1), ("AM", -1), ("ENT", -1)])
def test_ties_go_to_the_smallest_absolute_shift_then_to_the_positive_one(name, sign):
    shifts = np.array([-30, -7, 7, 20])
    assert best_shift(sign * torch.tensor([1.0, 0, 0, 1]), shifts, name) == 20
    assert best_shift(sign * torch.tensor([0.0, 1, 1, 1]), shifts, name) == 7
    assert best_shift(sign * torch.tensor([0.0, 1, 0, 1]), shifts, name) == -7


def test_scores_that_are_no_numbers_are_refused():
    with pytest.raises(InputError, match="AM score"):
        best_shift(torch.tensor([0.0, float("nan")]), np.array([0, 1]), "AM")


def test_am_by_name_needs_a_distribution():
    with pytest.raises(ValueError, match="class distribution"):
        score("AM", torch.ones(2, 2, 2) / 2)
