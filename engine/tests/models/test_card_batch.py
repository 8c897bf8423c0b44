"""Batches of a card, with a made-up card: what it has free, what rows take, when it is full."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from sits_engine.models.card_batch import CardBatch, Compiled, for_many

CARD = SimpleNamespace(torch=torch.device("cuda", 0), label="a card", is_cpu=False)
CPU = SimpleNamespace(torch=torch.device("cpu"), label="CPU", is_cpu=True)


class Memory:
    """A card's memory: rows take `bytes_of_row` while they are computed."""

    def __init__(self, monkeypatch, free, bytes_of_row):
        self.free, self.bytes_of_row, self.peak = free, bytes_of_row, 0
        for name, answer in (
            ("reset_peak_memory_stats", self.reset),
            ("memory_allocated", lambda device: 0),
            ("memory_reserved", lambda device: 0),
            ("max_memory_allocated", lambda device: self.peak),
            ("mem_get_info", lambda device: (self.free, self.free)),
            ("empty_cache", lambda: None),
        ):
            monkeypatch.setattr(torch.cuda, name, answer)

    def reset(self, device):
        self.peak = 0

    def launch(self, part):
        rows = part.stop - part.start
        if rows * self.bytes_of_row > self.free:
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.peak = max(self.peak, rows * self.bytes_of_row)
        return torch.arange(part.start, part.stop)


def run(batch, memory, n):
    sizes, found = [], []
    for part, rows in batch.one_behind(n, memory.launch):
        sizes.append(part.stop - part.start)
        found += rows.tolist()
    assert found == list(range(n))
    return sizes


def test_grows_to_what_fits(monkeypatch):
    memory = Memory(monkeypatch, free=10_000, bytes_of_row=10)
    batch = CardBatch(CARD, 16, 4096)
    sizes = run(batch, memory, 1000)
    # a fifth of the memory: 10,000 / 10 * 0.2
    assert sizes[0] == 16
    assert set(sizes[1:-1]) == {200}


def test_grows_to_the_largest_useful_and_never_shrinks_by_itself(monkeypatch):
    assert run(CardBatch(CARD, 16, 64), Memory(monkeypatch, 10**9, 10), 200) == [16, 64, 64, 56]
    assert run(CardBatch(CARD, 16, 64), Memory(monkeypatch, 200, 10), 48) == [16, 16, 16]


def test_a_users_size_stays(monkeypatch):
    batch = CardBatch(CARD, 16, 64)
    batch.fix(8)
    assert run(batch, Memory(monkeypatch, 10**9, 10), 30) == [8, 8, 8, 6]


def test_full_memory_halves_for_good_and_says_so(monkeypatch):
    said = []
    batch = CardBatch(CARD, 64, 512, smallest=2, unit=" windows", notice=said.append)
    assert run(batch, Memory(monkeypatch, 200, 10), 40) == [16, 16, 8]
    assert said == [
        "a card: memory is full, going on with batches of 32 windows instead of 64.",
        "a card: memory is full, going on with batches of 16 windows instead of 32.",
    ]
    assert batch.size == 16
    with pytest.raises(torch.OutOfMemoryError):
        run(batch, Memory(monkeypatch, 200, 1000), 40)
    assert batch.size == 2


def test_the_next_batch_is_launched_before_the_last_is_given():
    events = []

    def launch(part):
        events.append(f"launch {part.start}")
        return torch.zeros(1)

    batch = CardBatch(CPU, 1, 2)
    for part, _ in batch.one_behind(6, launch):
        events.append(f"fetch {part.start}")
    assert events == ["launch 0", "launch 2", "fetch 0", "launch 4", "fetch 2", "fetch 4"]


def test_moving_waits_for_the_copy_on_its_own_stream(monkeypatch):
    events = []

    class Stream:
        def __enter__(self):
            events.append("copy stream")

        def __exit__(self, *error):
            events.append("back")

        def wait_stream(self, other):
            events.append("wait")

    class Tensor:
        def pin_memory(self):
            events.append("pinned")
            return self

        def to(self, device, non_blocking=False):
            events.append(f"to {device} {non_blocking}")
            return self

        def record_stream(self, stream):
            events.append("recorded")

    monkeypatch.setattr(torch.cuda, "Stream", lambda device: Stream())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream())
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: stream)
    monkeypatch.setattr(torch, "from_numpy", lambda array: Tensor())
    CardBatch(CARD, 1, 2).move(np.zeros(3))
    assert events == ["copy stream", "pinned", "to cuda:0 True", "back", "wait", "recorded"]


def test_on_a_processor_nothing_is_pinned():
    array = np.arange(6).reshape(2, 3)[:, ::2]
    np.testing.assert_array_equal(CardBatch(CPU, 1, 2).move(array).numpy(), array)


def test_compiled_on_cards_for_large_maps_only(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda module, dynamic: module)
    network = nn.Identity()
    assert for_many(network, CPU, 10**9) is network
    assert for_many(network, CARD, 10**6) is network
    compiled = for_many(network, CARD, 10**9)
    assert isinstance(compiled, Compiled)
    assert for_many(compiled, CARD, 10**9) is compiled


def test_where_compiling_fails_the_network_runs_as_it_is(monkeypatch):
    def broken(module, dynamic):
        def run(*inputs):
            raise RuntimeError("no compiler")

        return run

    monkeypatch.setattr(torch, "compile", broken)
    said = []
    network = Compiled(nn.Linear(3, 2), said.append)
    x = torch.ones(4, 3)
    for _ in range(2):
        torch.testing.assert_close(network(x), network.plain(x))
    assert said == ["The network could not be compiled (RuntimeError): it runs as it is."]


def test_full_memory_is_not_a_failure_of_the_compiler(monkeypatch):
    def full(module, dynamic):
        def run(*inputs):
            raise torch.OutOfMemoryError("full")

        return run

    monkeypatch.setattr(torch, "compile", full)
    with pytest.raises(torch.OutOfMemoryError):
        Compiled(nn.Identity())(torch.ones(1))
