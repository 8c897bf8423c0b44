"""Numbers prepared by several threads, taken in order, a bounded number ahead."""

import threading

from sits_engine.mapping.ahead import Ahead


def test_taken_in_order_whoever_is_ready_first():
    ahead = Ahead(3, 3, threading.Event())
    assert [ahead.claim() for _ in range(3)] == [0, 1, 2]
    for number in (2, 0, 1):
        ahead.put(number, f"item {number}")
    assert [ahead.take() for _ in range(4)] == ["item 0", "item 1", "item 2", None]
    assert ahead.claim() is None


def test_no_more_than_the_limit_ahead():
    ahead = Ahead(10, 2, threading.Event())
    most = 0
    lock = threading.Lock()
    alive = 0

    def prepare():
        nonlocal alive, most
        while (number := ahead.claim()) is not None:
            with lock:
                alive += 1
                most = max(most, alive)
            ahead.put(number, number)

    threads = [threading.Thread(target=prepare) for _ in range(4)]
    for thread in threads:
        thread.start()
    found = []
    while (number := ahead.take()) is not None:
        with lock:
            alive -= 1
        found.append(number)
    for thread in threads:
        thread.join()
    assert found == list(range(10))
    # between a `take` and the count of it a further one may be claimed
    assert most <= 3


def test_waiting_ends_when_everything_stops():
    stop = threading.Event()
    ahead = Ahead(10, 1, stop)
    assert ahead.claim() == 0
    threading.Timer(0.05, stop.set).start()
    assert ahead.claim() is None
    assert ahead.take() is None
