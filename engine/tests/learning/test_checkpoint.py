"""A state goes to a file and back, bit by bit; another run's or a damaged one is not taken."""

import copy
import errno
import json
import pickletools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import card, network, pixel_sets
from safetensors import safe_open
from torch import nn

from sits_engine.context import JobContext
from sits_engine.learning import schedule
from sits_engine.learning.adaptation.mark import run_mark
from sits_engine.learning.checkpoint import KEY, Checkpoint, restore


def parts():
    torch.manual_seed(4)
    return {"student": network(), "critic": nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))}


def optimizer_of(kind, modules):
    if kind == "adam":
        optimizer = schedule.adam(modules["student"], 1e-3)
        return optimizer, schedule.cosine(optimizer, 10)
    optimizer = schedule.nesterov(modules["student"].parameters(), modules["critic"].parameters())
    return optimizer, schedule.inverse_decay(optimizer, 10)


def step(modules, optimizer, scheduler, seed):
    torch.manual_seed(seed)
    optimizer.zero_grad()
    for module in modules.values():
        for parameter in module.parameters():
            parameter.grad = torch.randn_like(parameter)
    modules["critic"].train()(torch.randn(5, 3))
    optimizer.step()
    scheduler.step()


def states(modules):
    return [value.clone() for module in modules.values() for value in module.state_dict().values()]


@pytest.mark.parametrize("kind", ["adam", "sgd"])
def test_goes_on_as_if_nothing_had_happened(kind, tmp_path):
    file = Checkpoint(tmp_path / "a.safetensors", "mark")
    modules = parts()
    tools = optimizer_of(kind, modules)
    for number in range(3):
        step(modules, *tools, number)
    facts = {"rows": [{"epoch": 1, "loss": 0.1 + 0.2}], "search": None}
    file.save(modules, *tools, facts)
    for number in range(3, 6):
        step(modules, *tools, number)

    again = parts()
    others = optimizer_of(kind, again)
    found = restore(file.read(), again, *others)
    assert {name: found[name] for name in facts} == facts
    for number in range(3, 6):
        step(again, *others, number)
    assert all(torch.equal(a, b) for a, b in zip(states(modules), states(again), strict=True))
    assert [g["lr"] for g in tools[0].param_groups] == [g["lr"] for g in others[0].param_groups]


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="Linux says which files are mapped")
def test_the_file_is_let_go_so_that_the_next_epoch_can_replace_it(tmp_path):
    file, modules = saved(tmp_path), parts()
    restore(file.read(), modules, *optimizer_of("adam", modules))
    assert str(file.path) not in Path("/proc/self/maps").read_text("utf-8")


def saved(tmp_path):
    file = Checkpoint(tmp_path / "a.safetensors", "mark")
    modules = parts()
    tools = optimizer_of("adam", modules)
    step(modules, *tools, 0)
    file.save(modules, *tools, {"rows": []})
    return file


@pytest.mark.parametrize("damage", ["missing", "empty", "short", "text", "head", "folder"])
def test_a_damaged_file_is_none(damage, tmp_path):
    file = saved(tmp_path)
    content = file.path.read_bytes()
    file.path.unlink()
    if damage == "folder":
        file.path.mkdir()
    elif damage != "missing":
        new = {
            "empty": b"",
            "short": content[: len(content) // 2],
            "text": b"no tensors at all, and longer than eight bytes",
            "head": b"\xff" * 16 + content[16:],
        }
        file.path.write_bytes(new[damage])
    assert file.read() is None


def test_the_file_of_another_run_or_kind_is_none(tmp_path):
    file = saved(tmp_path)
    said = []
    ctx = JobContext(lambda kind, fields: said.append(fields["text"]))
    assert file.take_up(ctx) == file.path.read_bytes()
    assert replace(file, mark="other").take_up(ctx) is None
    assert replace(file, path=tmp_path / "none").take_up(ctx) is None
    assert said == [
        "Going on with training after epoch 0, where an earlier run was interrupted.",
        "a.safetensors is of a run with other inputs or settings: training starts anew.",
    ]
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(2)}, file.path, metadata={"other": "1"})
    assert file.read() is None


def test_numbers_and_json_only(tmp_path):
    """No pickle: a length, a JSON head, and raw numbers up to the end."""
    content = saved(tmp_path).path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    head = json.loads(content[8 : 8 + length])
    assert json.loads(head["__metadata__"][KEY])["mark"] == "mark"
    ends = [entry["data_offsets"][1] for name, entry in head.items() if name != "__metadata__"]
    assert 8 + length + max(ends) == len(content)
    with pytest.raises(ValueError, match=r"."):
        list(pickletools.genops(content))
    with safe_open(tmp_path / "a.safetensors", framework="pt") as opened:
        assert any(name.startswith("optimizer/") for name in opened.keys())  # noqa: SIM118


def test_nothing_half_written_is_left(tmp_path, monkeypatch):
    file = saved(tmp_path)
    before = file.path.read_bytes()
    write = Path.write_bytes

    def broken(path, data):
        write(path, data[: len(data) // 2])
        if data:
            raise OSError(errno.EIO, "the disk broke")

    monkeypatch.setattr(Path, "write_bytes", broken)
    modules = parts()
    with pytest.raises(OSError, match="the disk broke"):
        file.save(modules, *optimizer_of("adam", modules), {})
    assert file.path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_the_mark_is_that_of_inputs_and_settings():
    module, description = network(), card()
    source, target = pixel_sets([2, 3, 4]), pixel_sets([1, 5], seed=2)
    plain = {"seed": 1, "method": "mmd"}
    mark = run_mark(module, description, source, target, plain)
    assert mark == run_mark(copy.deepcopy(module), description, source, target, dict(reversed(plain.items())))
    # labels of the target are no input
    assert mark == run_mark(
        module, description, source, replace(target, labels=np.full(2, -1, np.int64)), plain
    )
    changed = network()
    changed.decoder[1].bias.data[0] += 1e-6
    values = target.values.copy()
    values[0, 0, 0] += 1e-6
    others = [
        run_mark(changed, description, source, target, plain),
        run_mark(module, card(temperature=2.0), source, target, plain),
        run_mark(module, description, target, source, plain),
        run_mark(module, description, replace(source, labels=1 - source.labels), target, plain),
        run_mark(module, description, source, replace(target, values=values), plain),
        run_mark(module, description, source, replace(target, positions=target.positions + 1), plain),
        run_mark(module, description, source, replace(target, valid=~target.valid), plain),
        run_mark(module, description, source, target, {**plain, "seed": 2}),
    ]
    assert len({mark, *others}) == len(others) + 1
