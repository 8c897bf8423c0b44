"""Shares of the stages, and the stopwatch that counts them."""

import threading
import time

import pytest

from sits_engine.mapping.timings import MachineClock, Stopwatch, Timings, thread_seconds


def test_shares_are_what_the_computing_threads_saw():
    timings = Timings(elapsed=10, starved=7, computing=2.5, blocked=0.5, processors=4)
    assert timings.shares() == pytest.approx({"reading": 0.7, "computing": 0.25, "writing": 0.05})
    assert timings.waiting == pytest.approx(0.7)


def test_on_busy_processors_shares_are_those_of_processor_seconds():
    timings = Timings(
        10, starved=1, computing=9, read_processor=12, compute_processor=7, write_processor=1, processors=2
    )
    assert timings.saturated
    assert timings.shares() == pytest.approx({"reading": 0.6, "computing": 0.35, "writing": 0.05})


def test_a_card_waits_whatever_the_processors_do():
    timings = Timings(
        10, starved=2, computing=8, read_processor=19, compute_processor=1, processors=2, card=True
    )
    assert timings.shares()["reading"] == pytest.approx(0.2)


def test_nothing_was_read():
    assert sum(Timings(0.0).shares().values()) == 0
    assert Timings(0.0).waiting == 0


def test_decoding_or_a_slow_disk():
    assert Timings(10, reading=8, starved=7, read_processor=8, processors=2).decoding
    assert not Timings(10, reading=8, starved=7, read_processor=1, processors=2).decoding


def test_what_is_done_once_is_no_stage():
    timings = Timings(elapsed=10, starting=6, starved=1, computing=3)
    assert timings.mostly_starting
    assert timings.shares() == pytest.approx({"reading": 0.25, "computing": 0.75, "writing": 0})
    assert not Timings(elapsed=10, starting=6, workers=2).mostly_starting


def test_processors_that_other_programs_use(monkeypatch):
    seconds = iter([(100.0, 50.0), (120.0, 52.0), (120.0, 52.0)])
    monkeypatch.setattr("sits_engine.mapping.timings._machine_seconds", lambda: next(seconds))
    used = MachineClock().used()
    assert used == pytest.approx(0.9)
    assert Timings(10, read_processor=2, processors=2, machine=used).crowded
    assert not Timings(10, read_processor=18, processors=2, machine=used).crowded
    assert not Timings(10, read_processor=2, processors=2, machine=0.5).crowded


def spin(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_stopwatch_counts_all_threads_of_a_stage():
    watch = Stopwatch(readers=2)

    def read():
        with watch.measure("reading"):
            time.sleep(0.05)

    def compute():
        with watch.measure("computing"):
            spin(0.05)

    threads = [threading.Thread(target=job) for job in (read, read, compute)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = watch.timings()
    assert found.reading >= 0.1
    assert found.computing >= 0.05
    assert found.compute_processor >= 0.05
    assert found.readers == 2


def test_processor_seconds_of_threads_by_name():
    stop = threading.Event()
    ready = threading.Event()

    def work():
        spin(0.1)
        ready.set()
        stop.wait(10)

    thread = threading.Thread(target=work, name="sits-odd_0")
    thread.start()
    try:
        assert ready.wait(20)
        assert 0.05 <= thread_seconds("sits-odd") < 1
        assert thread_seconds("nobody") == 0
    finally:
        stop.set()
        thread.join()
