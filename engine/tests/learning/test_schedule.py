import math

import pytest
import torch

from sits_engine.learning.schedule import adam, cosine


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
