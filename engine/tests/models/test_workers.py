import threading

import pytest
import torch

from sits_engine.models import workers


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_order_threads_and_limits(two_threads):
    seen = []
    barrier = threading.Barrier(2, timeout=20)

    def work(item):
        barrier.wait()
        seen.append((threading.get_ident(), torch.get_num_threads(), torch.is_grad_enabled()))
        return item * 2

    assert workers.run(work, range(4)) == [0, 2, 4, 6]
    assert len({ident for ident, _, _ in seen}) == 2
    assert all(number == 1 and not gradients for _, number, gradients in seen)
    assert torch.get_num_threads() == 2


def test_an_error_comes_out_and_the_limit_comes_back(two_threads):
    def fail(item):
        raise KeyError(item)

    with pytest.raises(KeyError):
        workers.run(fail, range(3))
    assert torch.get_num_threads() == 2


def test_not_parallel_stays_here(two_threads):
    here = threading.get_ident()
    assert workers.run(lambda _: threading.get_ident(), range(3), parallel=False) == [here] * 3


@pytest.mark.parametrize("count", [0, 1, 47, 48, 256, 4096, 65536, 65537])
@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize(("most", "step"), [(1536, 48), (96, 16), (5, 5)])
def test_things_are_shared_evenly_among_threads(count, most, step, threads):
    size = workers.part_size(count, most, step, threads)
    assert size % step == 0
    assert 0 < size <= most
    pieces = -(-count // size)
    assert -(-pieces // threads) * threads * size < count + (threads + pieces) * step
