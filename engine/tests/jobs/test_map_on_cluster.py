"""Maps on a Dask cluster of two processes: the bytes of the local map, also when one of them is killed."""

import os
import re
import shutil
import signal
import threading
from functools import partial

import geopandas as gpd
import pytest
from distributed import Client, LocalCluster
from support.dask_cluster import Processes, kill, wait_for
from support.maps import BANDS, parcels_file, write_model, write_series
from support.object_server import serving
from support.small_segmenters import segmenter
from support.word_maps import write_world

from sits_engine.context import JobContext
from sits_engine.errors import Cancelled, EngineError
from sits_engine.jobs.map_crops import MapCrops
from sits_engine.jobs.map_similarity import MapSimilarity
from sits_engine.mapping import cluster as mapping_cluster
from sits_engine.mapping import cluster_run
from sits_engine.mapping.lock import work_folder
from sits_engine.models.card import BandCard
from sits_engine.models.model_file import save_model


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    found = Processes(tmp_path_factory.mktemp("dask"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def cluster(processes):
    """Address of a scheduler with two workers."""
    address, _ = processes.scheduler()
    for _ in range(2):
        processes.worker(address)
    return address


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A series of 150 x 170 pixels, a corner clouded for good, and a model of pixels."""
    folder = tmp_path_factory.mktemp("wörld")
    series = write_series(folder, height=150, width=170, dark=(slice(120, 150), slice(0, 20)))
    return series, write_model(folder / "model.safetensors")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A series of 75 x 65 pixels, as far as the parcels reach."""
    return write_series(tmp_path_factory.mktemp("small"), height=75, width=65)


class Watched(JobContext):
    """Keeps messages, and calls `at` once `tiles` tiles are in the journal of `output`."""

    def __init__(self, output=None, tiles=0, at=None):
        self.lines, self.output, self.tiles, self.at = [], output, tiles, at
        super().__init__(lambda kind, fields: self.lines.append((kind, fields)))

    def progress(self, fraction, phase=None):
        if self.at is not None and len(list(work_folder(self.output).glob("tile-*.npz"))) >= self.tiles:
            at, self.at = self.at, None
            at()
        super().progress(fraction, phase)

    @property
    def text(self):
        return " ".join(fields["text"] for kind, fields in self.lines if kind == "log")


def crops(world, folder, ctx=None, **params):
    series, model = world
    folder.mkdir(exist_ok=True)
    given = {"series": str(series), "model": str(model), "tile_size": 32, "device": "cpu"}
    given |= {"output": str(folder / "map.tif"), "probabilities": str(folder / "shares.tif")}
    return MapCrops.parse(given | params).run(ctx or JobContext())


def same(one, other, *names):
    for name in names:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


@pytest.fixture(scope="module")
def local(world, tmp_path_factory):
    """Folder of the map that this process makes."""
    folder = tmp_path_factory.mktemp("local")
    crops(world, folder)
    return folder


def test_crops_are_the_same_bytes_with_few_tiles_on_their_way(world, cluster, local, tmp_path, monkeypatch):
    flying = []
    launch = cluster_run.TileRun._launch

    def counted(run, payload, tile):
        launch(run, payload, tile)
        flying.append((len(run.flying), sum(run.threads.values())))

    monkeypatch.setattr(cluster_run.TileRun, "_launch", counted)
    ctx = Watched()
    wait_for_workers(cluster, 2)
    result = crops(world, tmp_path, ctx, scheduler=cluster)
    same(local, tmp_path, "map.tif", "shares.tif", "map.tif.aux.xml")
    assert result.scores["pixels"] == 150 * 170 - 30 * 20
    assert "2 workers on 1 machine; 2 x CPU" in ctx.text
    assert not ctx.warnings
    assert len(flying) == 30
    assert all(n <= max(2, 2 * threads) for n, threads in flying)
    assert max(n for n, _ in flying) == 4


def wait_for_workers(address, n):
    with Client(address, set_as_default=False) as client:
        client.wait_for_workers(n, timeout=90)


def nothing_left(address):
    with Client(address, set_as_default=False) as client:
        wait_for(lambda: not client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)))


def test_cancelled_frees_the_cluster_and_the_run_goes_on_without_it(world, cluster, local, tmp_path):
    ctx = Watched(tmp_path / "map.tif", 3, lambda: ctx.cancel())
    with pytest.raises(Cancelled, match="goes on from there"):
        crops(world, tmp_path, ctx, scheduler=cluster)
    nothing_left(cluster)
    again = Watched()
    crops(world, tmp_path, again)
    assert "Going on with" in again.text
    same(local, tmp_path, "map.tif", "shares.tif")


@pytest.mark.parametrize("scale", [1, 2])
def test_segments_and_the_parcels_that_they_measure_are_the_same(small, cluster, tmp_path, scale):
    module, card = segmenter("unet3d", n_dates=5, window=16, scale=scale)
    bands = [BandCard(name=name, mean=0.18, std=0.1) for name in BANDS]
    model = tmp_path / "segments.safetensors"
    save_model(model, module, card.model_copy(update={"bands": bands}))
    parcels = parcels_file(tmp_path / "parcels.gpkg")
    found = []
    for folder, more in ((tmp_path / "here", {}), (tmp_path / "there", {"scheduler": cluster})):
        path = str(folder / "parcels.gpkg")
        crops((small, model), folder, parcels=str(parcels), output_parcels=path, **more)
        found.append(gpd.read_file(path))
    same(tmp_path / "here", tmp_path / "there", "map.tif", "shares.tif")
    assert found[0].equals(found[1])


def test_numbers_from_words_are_the_same(cluster, tmp_path):
    made = write_world(tmp_path / "words", context=3, height=70, width=50)
    for name, more in (("here.tif", {}), ("there.tif", {"scheduler": cluster})):
        given = {"series": str(made.series), "model": str(made.model), "tile_size": 32, "device": "cpu"}
        given |= {"text": "wheat", "output": str(tmp_path / name)}
        MapSimilarity.parse(given | more).run(JobContext())
    assert (tmp_path / "here.tif").read_bytes() == (tmp_path / "there.tif").read_bytes()


def test_a_damaged_image_is_named_with_tile_and_worker(world, cluster, tmp_path):
    shutil.copytree(world[0].parent, tmp_path / "copy")
    image = sorted((tmp_path / "copy" / "images").glob("*.tif"))[2]
    content = bytearray(image.read_bytes())
    half = len(content) // 2
    content[half:] = b"\xff" * (len(content) - half)
    image.write_bytes(content)
    with pytest.raises(
        EngineError, match=r"tile at row \d+, column \d+ .* failed 3 times.*worker tcp"
    ) as error:
        crops((tmp_path / "copy" / "series.json", world[1]), tmp_path, ctx := Watched(), scheduler=cluster)
    assert image.name in str(error.value)
    assert "Trying it again." in ctx.text
    nothing_left(cluster)


def test_no_key_reaches_a_log_and_retries_are_said_at_once(world, cluster, processes, tmp_path):
    shutil.copytree(world[0].parent, tmp_path / "copy")
    series = tmp_path / "copy" / "series.json"
    first, second = sorted(one.name for one in (tmp_path / "copy" / "images").glob("*.tif"))[:2]
    with serving(tmp_path / "copy" / "images") as server:
        there = server.url.replace("://", "://user7:hunter2@")
        text = series.read_text().replace('"./images/', f'"{there}')
        series.write_text(text.replace('.tif"', '.tif?sig=SECRETSIG123&se=2026"'))
        server.once[first] = [None, "damage"]
        server.always[second] = 404
        ctx = Watched()
        with pytest.raises(EngineError, match="HTTP 404") as error:
            crops((series, world[1]), tmp_path, ctx, scheduler=cluster)
    assert "failed at the worker tcp://" in ctx.text
    assert re.search(rf"Worker tcp://\S+ \(\S+\): \S+{first} can't be read at once", ctx.text)
    logs = [log.read_text(encoding="utf-8") for log in processes.folder.glob("*.log")]
    assert any("of map" in log for log in logs)
    for shown in (ctx.text, str(error.value), repr(error.value.details), *logs):
        assert not any(key in shown for key in ("SECRETSIG123", "hunter2", "user7"))


def test_cancelled_while_no_worker_comes(world, tmp_path):
    class Impatient(JobContext):
        def progress(self, fraction, phase=None):
            if phase == "Waiting for workers":
                self.cancel()
            super().progress(fraction, phase)

    empty = LocalCluster(n_workers=0, dashboard_address=None, processes=False, protocol="tcp://")
    with empty, pytest.raises(Cancelled):
        crops(world, tmp_path, Impatient(), scheduler=empty.scheduler_address)
    assert not (tmp_path / "map.tif").exists()


def test_frozen_workers_are_named_and_not_waited_for(world, cluster, processes, tmp_path, monkeypatch):
    wait_for_workers(cluster, 2)
    for module in (cluster_run, mapping_cluster):
        monkeypatch.setattr(module, "QUIET_SECONDS", 2)
    patience, aside, workers = [], cluster_run.aside, processes.running[1:3]

    def noted(call, seconds):
        patience.append(seconds)
        aside(call, seconds)

    monkeypatch.setattr(cluster_run, "aside", noted)
    monkeypatch.setattr(mapping_cluster, "aside", noted)

    def freeze():
        for worker in workers:
            worker.send_signal(signal.SIGSTOP)

    class Patient(Watched):
        def info(self, text):
            super().info(text)
            if "hasn't answered" in text and self.text.count("hasn't answered") == 2:
                self.cancel()

    ctx = Patient(tmp_path / "map.tif", 3, freeze)
    try:
        with pytest.raises(Cancelled, match="goes on from there"):
            crops(world, tmp_path, ctx, scheduler=cluster)
    finally:
        for worker in workers:
            worker.send_signal(signal.SIGCONT)
    assert len(re.findall(r"No tile came for 2 s\. Worker tcp://\S+ hasn't answered", ctx.text)) == 2
    assert patience == [cluster_run.STOP_SECONDS] * 2
    nothing_left(cluster)


# Those that break the cluster, which all tests share, come last.


def test_a_frozen_worker_is_given_up(world, cluster, local, processes, tmp_path, monkeypatch):
    """It gets tiles before anybody knows, and perhaps what all the others ask it for."""
    wait_for_workers(cluster, 2)
    monkeypatch.setattr(cluster_run, "QUIET_SECONDS", 3)
    monkeypatch.setattr(cluster_run, "GIVE_UP_SECONDS", 4)
    victim, launch, held = processes.running[-1], cluster_run.TileRun._launch, []

    def freeze_first(run, payload, tile):
        """The first tile goes to the frozen worker: the others would make the map without its notice."""
        if held:
            launch(run, payload, tile)
            return
        held.append(tile)
        pids = run.client.run(os.getpid)
        its = [address for address, pid in pids.items() if pid == victim.pid]
        victim.send_signal(signal.SIGSTOP)
        with monkeypatch.context() as own:
            there = partial(run.client.submit, workers=its, allow_other_workers=True)
            own.setattr(run.client, "submit", there)
            launch(run, payload, tile)

    monkeypatch.setattr(cluster_run.TileRun, "_launch", freeze_first)
    ctx = Watched()
    try:
        crops(world, tmp_path, ctx, scheduler=cluster)
    finally:
        victim.send_signal(signal.SIGCONT)
    assert ctx.text.count("it is given up, and others compute its tiles") == 1
    same(local, tmp_path, "map.tif", "shares.tif")
    victim.wait(60)  # it learns that it was given up, and ends
    processes.worker(cluster)


def test_a_killed_worker_costs_its_tiles_alone(world, cluster, local, processes, tmp_path, monkeypatch):
    wait_for_workers(cluster, 2)
    victim = processes.running[-1]
    ctx, lock, fetch, fetched = Watched(), threading.Lock(), cluster_run.TileRun._fetch, []

    def fetch_and_kill(run, tile, future):
        """No tile is kept between the death and its notice, so that the map can't be done before."""
        with lock:
            fetched.append(tile)
            if len(fetched) == 5:
                wait_for(lambda: len(run.threads) == 2)
                kill(victim)
                wait_for(lambda: "is gone: its unfinished tiles go to others" in ctx.text)
        fetch(run, tile, future)

    monkeypatch.setattr(cluster_run.TileRun, "_fetch", fetch_and_kill)
    crops(world, tmp_path, ctx, scheduler=cluster)
    same(local, tmp_path, "map.tif", "shares.tif")
    assert len(fetched) >= 30
    assert "The workers' work was reading to" in ctx.text
    nothing_left(cluster)


def test_a_lost_scheduler_keeps_finished_tiles(world, cluster, local, processes, tmp_path):
    ctx = Watched(tmp_path / "map.tif", 3, lambda: kill(processes.running[0]))
    with pytest.raises(EngineError, match=r"scheduler .* was lost") as error:
        crops(world, tmp_path, ctx, scheduler=cluster)
    assert error.value.code == "NETWORK"
    assert "Finished tiles are kept" in error.value.advice
    again = Watched()
    crops(world, tmp_path, again)
    assert "Going on with" in again.text
    same(local, tmp_path, "map.tif", "shares.tif")
