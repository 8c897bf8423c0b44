"""What is said where a cluster can't make a map, and what a worker keeps; no processes are started here."""

import asyncio
import pickle
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import dask
import numpy as np
import pytest
from distributed import KilledWorker, LocalCluster
from distributed.comm.core import CommClosedError
from support.maps import BANDS, write_model, write_series

from sits_engine import __version__
from sits_engine.context import JobContext
from sits_engine.errors import EngineError, InputError
from sits_engine.jobs.map_crops import MapCrops
from sits_engine.mapping import cluster, cluster_run, cluster_worker
from sits_engine.mapping.cluster_worker import Answer, Refusal, TileJob
from sits_engine.mapping.recipes import CropRecipe
from sits_engine.models import libraries
from sits_engine.samples.region import make_region
from sits_engine.series.time_series import TimeSeries
from sits_engine.series.types import Window

TILE = Window(32, 64, 32, 32)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    return write_series(folder, height=40, width=50), write_model(folder / "model.safetensors")


@pytest.fixture(scope="module")
def empty():
    """A scheduler in this process that has no workers."""
    with LocalCluster(n_workers=0, dashboard_address=None, processes=False) as found:
        yield found


def job_of(world, **changes):
    series = TimeSeries.open(world[0])
    given = {
        "key": "a",
        "engine": __version__,
        "series": series,
        "sizes": cluster_worker.local_sizes(series),
        "bands": BANDS,
        "region": make_region(series.grid),
        "recipe": CropRecipe(50, 0),
        "model_name": "model.safetensors",
        "model": world[1].read_bytes(),
        "device": "cpu",
        "threads": 1,
        "processors": 1,
        "n_classes": 3,
        "want_probabilities": False,
    }
    return TileJob(**given | changes)


def connect(address, device="cpu"):
    with cluster.connected(address, device, JobContext()):
        raise AssertionError("connected")


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:{}", "127.0.0.1:{}", "nonsense://127.0.0.1:{}", "here"])
def test_no_scheduler_there(address, monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = address.format(free.getsockname()[1])
    with pytest.raises(InputError, match=f"No Dask scheduler answers at {address}") as error:
        connect(address)
    assert "SCHEDULER" in error.value.advice


def test_a_web_server_in_place_of_the_scheduler(monkeypatch):
    """The port of the dashboard: it takes the connection and says nothing."""
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(
            InputError, match=r"No Dask scheduler answers at .* nothing that Dask says"
        ) as error:
            connect(f"tcp://127.0.0.1:{server.server_port}")
        server.shutdown()
    assert "8787 is the port of its dashboard" in error.value.advice


def test_no_workers_in_time(empty):
    waiting = dask.config.set({cluster_run.WAIT_KEY: 0.3})
    with waiting, pytest.raises(EngineError, match=r"No worker came for 0\.3 seconds") as error:
        connect(empty.scheduler_address)
    assert "DASK_SITS__WAIT_FOR_WORKERS" in error.value.advice


@pytest.mark.parametrize("value", ["abc", "nan", -3, None, [5]])
def test_a_wrong_time_to_wait_is_named(value):
    with (
        dask.config.set({cluster_run.WAIT_KEY: value}),
        pytest.raises(InputError, match=r"DASK_SITS__WAIT_FOR_WORKERS .* is no number of seconds: ") as error,
    ):
        connect("tcp://127.0.0.1:1")
    assert repr(value) in error.value.message
    assert "3600" in error.value.advice


@pytest.fixture(scope="module")
def one(empty):
    """Its address, with a worker in this process."""
    empty.scale(1)
    empty.wait_for_workers(1)
    return empty.scheduler_address


def test_a_connection_tells_who_computes(one):
    lines = []
    ctx = JobContext(lambda kind, fields: lines.append(fields.get("text", "")))
    with cluster.connected(one, "cpu", ctx) as found:
        assert found.kind == "cpu"
        assert found.label == "Dask cluster, 1 worker"
    assert any("1 worker on 1 machine; 1 x CPU" in line for line in lines)
    assert not ctx.warnings


def test_another_engine_at_the_cluster(one, monkeypatch):
    monkeypatch.setattr(cluster, "__version__", "9.9")
    with pytest.raises(InputError, match=r"scheduler .and 1 others. .* its engine is ") as error:
        connect(one)
    assert "This engine is 9.9" in error.value.advice


def test_no_engine_at_the_cluster(one, monkeypatch):
    monkeypatch.setattr(cluster, "ENGINE", "not_there:__version__")
    with pytest.raises(InputError, match=r"can't import sits_engine .No module named 'not_there'"):
        connect(one)


def test_another_python_at_the_cluster(one, monkeypatch):
    monkeypatch.setattr(cluster.platform, "python_version_tuple", lambda: ("3", "99", "0"))
    with pytest.raises(InputError, match=r"worker \S+ of .* its Python is 3"):
        connect(one)


def test_a_device_that_a_worker_lacks(one):
    with pytest.raises(InputError, match="can't make maps: The device 'cuda:77' can't be used"):
        connect(one, "cuda:77")


class Asked:
    """A client of workers 'a' and 'b'; 'b' goes away while it is asked, which Dask doesn't tell for long."""

    def __init__(self, answers):
        self.here, self.answers, self.calls = {"a": 1, "b": 1}, answers, []

    def nthreads(self):
        return dict(self.here)

    def run(self, question, *given, workers, on_error):
        self.calls.append(sorted(workers))
        self.here.pop("b", None)
        if "b" in workers and self.answers is None:
            threading.Event().wait(20)
        return self.answers or dict.fromkeys(workers, question(*given))


@pytest.mark.parametrize("answers", [None, {"a": "A", "b": CommClosedError("in <TCP>")}])
def test_a_worker_that_goes_away_while_it_is_asked_is_left_out(answers, monkeypatch):
    monkeypatch.setattr(cluster, "LOOK_SECONDS", 0.1)
    lines = []
    ctx = JobContext(lambda kind, fields: lines.append(fields.get("text")))
    client = Asked(answers)
    assert cluster._of_all(client, ctx, str.upper, "a") == {"a": "A"}
    assert client.calls == ([["a", "b"], ["a"]] if answers is None else [["a", "b"]])
    assert lines == ["Worker b went away while it was asked: the map is made without it."]


def test_a_silent_worker_is_named_while_all_are_asked(monkeypatch):
    """'b' is frozen: it is still there, but was not heard of; then somebody ends it."""
    monkeypatch.setattr(cluster, "LOOK_SECONDS", 0.1)
    for module in (cluster, cluster_run):
        monkeypatch.setattr(module, "QUIET_SECONDS", 0.3)
    lines = []
    ctx = JobContext(lambda kind, fields: lines.append(fields.get("text")))

    class Frozen(Asked):
        def run(self, question, *given, workers, on_error):
            if "b" in workers:
                threading.Event().wait(20)
            return dict.fromkeys(workers, question(*given))

        def run_on_scheduler(self, question):
            if lines:
                self.here.pop("b", None)
            seen = {name: SimpleNamespace(last_seen=time.time() - age) for name, age in (("a", 0), ("b", 9))}
            return asyncio.run(question(SimpleNamespace(workers=seen)))

    assert cluster._of_all(Frozen(None), ctx, str.upper, "a") == {"a": "A"}
    assert lines[0].startswith("Worker b hasn't answered for more than 0.3 s: it is frozen or cut off.")
    assert lines[1:] == ["Worker b went away while it was asked: the map is made without it."]


class OfScheduler:
    """A client whose scheduler heard of its workers so many seconds ago; what it restarted."""

    def __init__(self, worker_ttl=300.0, **ages):
        self.ages, self.restarted, self.worker_ttl = ages, [], worker_ttl

    @property
    def workers(self):
        return {name: SimpleNamespace(last_seen=time.time() - age) for name, age in self.ages.items()}

    async def restart_workers(self, workers, **how):
        assert not how["wait_for_workers"]
        self.restarted += workers

    def run_on_scheduler(self, question, *given):
        return asyncio.run(question(*given, self))


def test_workers_that_stay_silent_are_given_up_once_somebody_waits(monkeypatch):
    client = OfScheduler(a=0, b=20, c=20)
    silence = cluster_run.Silence(client)
    assert silence.look(waiting=False) == []
    frozen = [f"Worker {name} hasn't answered for more than 10 s" for name in "bc"]
    assert [sentence.split(":")[0] for sentence in silence.look()] == frozen
    silence.since = dict.fromkeys("bc", time.monotonic() - cluster_run.GIVE_UP_SECONDS - 1)
    client.ages["c"] = 0
    assert silence.look(waiting=False) == []
    client.ages["c"] = 20  # it has answered meanwhile
    given_up, still = silence.look()
    assert given_up == "Worker b still doesn't answer: it is given up, and others compute its tiles."
    assert still.startswith("Worker c hasn't answered")
    assert client.restarted == ["b"]


def test_whoever_wants_silent_workers_kept_keeps_them():
    client = OfScheduler(worker_ttl=None, b=500)
    silence = cluster_run.Silence(client)
    silence.since = {"b": time.monotonic() - 500}
    (sentence,) = silence.look()
    assert sentence.startswith("Worker b hasn't answered")
    assert client.restarted == []


def test_a_silent_scheduler_is_named():
    lines = []
    run = run_of()
    run.ctx = JobContext(lambda kind, fields: lines.append(fields.get("text")))
    run._check()
    assert not lines
    run.heard -= cluster_run.QUIET_SECONDS + 1
    run._check()
    assert lines == ["The Dask scheduler tcp://a:1 hasn't answered for 10 s."]


def test_an_address_is_checked_before_anything_is_opened():
    given = {"series": "s.json", "model": "m.safetensors", "output": "o.tif"}
    for address in ("tcp://10.0.0.5:8786", "tls://node-1.example:80", "localhost:8786", "tcp://[::1]:8786"):
        assert MapCrops.parse(given | {"scheduler": address}).scheduler == address
    for address in ("foo", "http://10.0.0.5:8786", "tcp://10.0.0.5", "tcp://:8786", "tcp://a:port"):
        with pytest.raises(InputError, match=r"Parameter SCHEDULER: not the address .*tcp://host:8786"):
            MapCrops.parse(given | {"scheduler": address})


def facts(device="cpu", **changes):
    same = {"torch": str(cluster.torch.__version__)}
    if device == "cpu":
        same["arithmetic"] = libraries.arithmetic()
    return {"device": device, **same, **changes}


def test_what_makes_workers_differ_is_said(monkeypatch):
    differences = cluster._differences
    assert differences({"a": facts(), "b": facts()}) == []
    (mixed,) = differences({"a": facts(), "b": facts("cuda")})
    assert "different kinds of devices (1 x cpu, 1 x cuda)" in mixed
    (other,) = differences({"a": facts(arithmetic="AVX9")})
    assert "AVX9 at a." in other
    some = {"a": facts(), **dict.fromkeys("bcd", facts(arithmetic="AVX9")), "e": facts(arithmetic="SSE2")}
    (named,) = differences(some)
    assert "AVX9 at b and 2 others; SSE2 at e. The map may differ" in named
    (version,) = differences({"a": facts("cuda", torch="0.1")})
    assert "versions of PyTorch" in version


def test_a_worker_tells_what_its_processor_really_uses(monkeypatch):
    assert cluster_worker.describe("cpu")["arithmetic"] == libraries.arithmetic()
    monkeypatch.setattr(libraries, "makers", lambda: {"a.cpp": libraries.NONE})
    (said,) = cluster._differences({"a": facts(arithmetic="AVX512, C++: Zig 1 for AVX-512")})
    assert ", C++: none): AVX512, C++: Zig 1 for AVX-512 at a. The map may differ" in said


def run_of(status="running", tries=1):
    client, job = SimpleNamespace(status=status), SimpleNamespace(key="0" * 64)
    run = cluster_run.TileRun(client, "tcp://a:1", {"cpu"}, JobContext(), job, None, None, None)
    run.tries[TILE] = tries
    return run


def test_a_tile_that_ends_its_workers_is_named():
    worker = SimpleNamespace(address="tcp://b:2")
    error = run_of()._explained(TILE, KilledWorker("task", worker, 3))
    assert "tile at row 32, column 64 (32 x 32 pixels) ended 4 workers" in error.message
    assert error.code == "HOST_OOM"


def test_a_broken_connection_is_the_scheduler_lost_whatever_it_is_called():
    for run, problem in ((run_of(), OSError("closed")), (run_of("closed"), RuntimeError("closed"))):
        assert "was lost" in run._explained(TILE, problem).message
    assert "could not take up the tile" in run_of()._explained(TILE, RuntimeError("unpacking")).message


def test_a_refusal_counts_at_the_third_try_and_at_once_where_no_other_helps():
    refusal = Refusal("NETWORK", "no answer.", "Wait.", final=False)
    answer = Answer("w (host)", None, refusal)
    assert run_of(tries=2)._accepted(TILE, answer) is False
    with pytest.raises(EngineError, match=r"row 32, column 64 .* failed 3 times, at last at the worker w"):
        run_of(tries=3)._accepted(TILE, answer)
    final = Answer("w (host)", None, Refusal("INPUT_INVALID", "no image.", "Share it.", final=True))
    with pytest.raises(EngineError, match=r"worker w \(host\) can't serve this map: no image"):
        run_of()._accepted(TILE, final)


def test_words_of_workers_and_late_devices_are_said_once():
    run = run_of()
    for _ in range(2):
        result = Answer("w", object(), None, ("memory is full.",), "cuda")
        assert run._accepted(TILE, result) is True
    assert [w.startswith("Worker w") for w in run.ctx.warnings] == [True, True]
    assert "another kind of device (cuda)" in run.ctx.warnings[1]


def test_a_tile_that_comes_while_the_run_ends_is_dropped_and_holds_nothing_up():
    asked, come, kept = threading.Event(), threading.Event(), []

    def result():
        asked.set()
        come.wait(60)
        return Answer("w", object(), None)

    run = run_of("closed")
    run.keep = lambda tile, found: kept.append(tile)
    run._landing(TILE, SimpleNamespace(result=result, release=lambda: None))
    assert asked.wait(60)
    run._end("topic", 0.1)
    come.set()
    for thread in run.fetchers._threads:
        thread.join(60)
        assert not thread.is_alive()
    assert kept == []


def test_few_tiles_on_their_way():
    run = run_of()
    run.threads = {"a": 1, "b": 1}
    assert run._most() == 4
    run.threads = {"a": 64}
    assert run._most() == 3


def test_a_job_travels_and_answers_as_here(world):
    job = job_of(world, want_probabilities=True)
    other = pickle.loads(pickle.dumps(job))
    found = []
    for each in (job, other):
        work = cluster_worker._open_new(each).work
        cube, inside = work.read(Window(0, 0, 32, 32))
        found.append(work.classify(Window(0, 0, 32, 32), cube, inside, lambda pixels: None))
    np.testing.assert_array_equal(found[0].classes, found[1].classes)
    np.testing.assert_array_equal(found[0].probabilities, found[1].probabilities)


def test_images_that_a_worker_can_not_see(world):
    sizes = job_of(world).sizes
    first = min(sizes)
    with pytest.raises(InputError, match=r"It can't see the image /no/where.tif: No such file") as error:
        cluster_worker._open_new(job_of(world, sizes={"/no/where.tif": 9}))
    assert "same path on every machine" in error.value.advice
    with pytest.raises(InputError, match="another file"):
        cluster_worker._open_new(job_of(world, sizes={first: sizes[first] + 1}))


def test_another_engine_at_a_worker_that_came_later(world):
    with pytest.raises(InputError, match=f"The engine there is {__version__}, this one 9.9"):
        cluster_worker._open_new(job_of(world, engine="9.9"))


def test_a_worker_keeps_two_maps_open(world, monkeypatch):
    opened, closed = [], []

    def new(job):
        opened.append(job.key)
        series = SimpleNamespace(close=lambda: closed.append(job.key))
        return cluster_worker._Opened(None, series, "cpu", [])

    monkeypatch.setattr(cluster_worker, "_open_new", new)
    monkeypatch.setattr(cluster_worker, "_opened", type(cluster_worker._opened)())
    for key in "aabacb":
        cluster_worker._open(SimpleNamespace(key=key))
    assert opened == ["a", "b", "c", "b"]
    assert closed == ["b", "a"]
