import math

import pytest
import torch
from golden import load

from sits_engine.learning.schedule import adam, cosine, inverse_decay, nesterov


def test_cosine_to_zero():
    optimizer = adam(torch.nn.Linear(2, 2), 1e-3)
    rule, seen = cosine(optimizer, 10), []
    for _ in range(10):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        rule.step()
    assert seen == pytest.approx([1e-3 * (1 + math.cos(math.pi * i / 10)) / 2 for i in range(10)])
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0, abs=1e-12)


def test_weight_decay_is_the_l2_form():
    module = torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        module.weight.fill_(2.0)
    module.weight.grad = torch.zeros(1, 1)
    optimizer = adam(module, 0.1, weight_decay=1e-2)
    optimizer.step()
    # Adam's first step has the size of the rate, whatever the gradient: decoupled decay would be 0.002.
    assert module.weight.item() == pytest.approx(1.9, abs=1e-3)


def rates(factor, horizon, steps):
    encoder, head = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    optimizer = nesterov(encoder.parameters(), head.parameters(), factor)
    rule, seen = inverse_decay(optimizer, horizon), []
    for _ in range(max(steps) + 1):
        seen.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        rule.step()
    return [seen[step][0] for step in steps], [seen[step][1] for step in steps]


def test_published_rates_of_the_aligning_methods():
    table = load("misc_tables")["competitor_lr"]
    encoder, head = rates(1.0, 10_000, list(table["step"]))
    assert encoder == pytest.approx(list(table["encoder_group"]), rel=1e-9)
    assert head == pytest.approx(list(table["head_group"]), rel=1e-9)


def test_shorter_runs_walk_the_same_decay():
    encoder, head = rates(2.0, 100, [0, 50, 99])
    assert encoder == pytest.approx([2e-4, 2e-4 * 6**-0.75, 2e-4 * 10.9**-0.75])
    assert head == pytest.approx([10 * rate for rate in encoder])


def test_aligning_methods_use_nesterov_momentum_with_l2():
    group = nesterov([torch.nn.Parameter(torch.ones(1))], [torch.nn.Parameter(torch.ones(1))]).param_groups[0]
    assert (group["nesterov"], group["momentum"], group["weight_decay"]) == (True, 0.9, 1e-4)
