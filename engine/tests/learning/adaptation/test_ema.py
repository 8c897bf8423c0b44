import copy

import pytest
import torch
from golden import EVAL, load
from torch import nn

from sits_engine.learning.adaptation.ema import update


def holder(state):
    """A module with this state dict."""
    root = nn.Module()
    for name, value in state.items():
        *path, last = name.split(".")
        node = root
        for part in path:
            if not hasattr(node, part):
                node.add_module(part, nn.Module())
            node = getattr(node, part)
        node.register_buffer(last, value.clone())
    return root


def test_published_update_with_running_statistics_and_truncated_counters():
    golden = load("timematch_ema")
    teacher, student = holder(golden["teacher_before"]), holder(golden["student"])
    update(teacher, student, golden["decay"])
    after, expected = teacher.state_dict(), golden["teacher_after"]
    assert after.keys() == expected.keys()
    assert any("running_var" in name for name in expected)
    for name, wanted in expected.items():
        if wanted.is_floating_point():
            torch.testing.assert_close(after[name], wanted, **EVAL)
        else:
            assert torch.equal(after[name], wanted), name
    student_after = student.state_dict()
    assert all(torch.equal(student_after[name], value) for name, value in golden["student"].items())


@pytest.mark.parametrize("decay", [0.0, 1.0])
def test_ends_of_the_scale(decay):
    student = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    teacher = copy.deepcopy(student)
    before = copy.deepcopy(teacher.state_dict())
    student(torch.randn(5, 3))
    with torch.no_grad():
        student[0].weight += 1
    update(teacher, student, decay)
    wanted = before if decay else student.state_dict()
    for name, value in teacher.state_dict().items():
        torch.testing.assert_close(value, wanted[name])
    assert teacher[0].weight.requires_grad
