import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from sits_engine.errors import Cancelled, EngineError, InputError
from sits_engine.mapping.journal import Journal, fingerprint
from sits_engine.mapping.lock import work_folder

ONE = {"classes": np.random.default_rng(0).integers(0, 255, (40, 50), dtype=np.uint8)}


def test_results_survive_and_other_inputs_throw_them_away(tmp_path):
    folder = work_folder(tmp_path / "map.tif")
    first = Journal.open(folder, "a")
    first.store("tile-0-0", ONE)
    first.close()
    second = Journal.open(folder, "a")
    assert second.done == {"tile-0-0"}
    assert not second.discarded
    np.testing.assert_array_equal(second.load("tile-0-0")["classes"], ONE["classes"])
    second.close()
    third = Journal.open(folder, "b")
    assert third.done == frozenset()
    assert third.discarded
    assert not list(folder.glob("*.npz"))
    third.remove()
    assert not folder.exists()


def test_damaged_and_half_written_results_are_not_done(tmp_path):
    journal = Journal.open(tmp_path / "w", "a")
    for name in ("whole", "cut", "flipped"):
        journal.store(name, ONE)
    journal.close()
    cut, flipped = tmp_path / "w" / "cut.npz", tmp_path / "w" / "flipped.npz"
    cut.write_bytes(cut.read_bytes()[:-30])
    content = bytearray(flipped.read_bytes())
    content[len(content) // 2] ^= 0xFF
    flipped.write_bytes(content)
    (tmp_path / "w" / "tile.part").write_bytes(b"half")
    again = Journal.open(tmp_path / "w", "a")
    assert again.done == {"whole"}
    assert sorted(p.name for p in (tmp_path / "w").iterdir()) == ["journal.json", "lock", "whole.npz"]


def test_a_second_living_run_is_refused_a_dead_one_not(tmp_path):
    folder = tmp_path / "w"
    folder.mkdir()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        started = psutil.Process(other.pid).create_time()
        (folder / "lock").write_text(json.dumps({"pid": other.pid, "started": started}))
        with pytest.raises(InputError, match="Another run"):
            Journal.open(folder, "a")
        (folder / "lock").write_text(json.dumps({"pid": other.pid, "started": started - 1000}))
        journal = Journal.open(folder, "a")  # the number was given to another process since
        journal.store("x", {"x": np.zeros(1)})
        journal.close()
        (folder / "lock").write_text(json.dumps({"pid": other.pid, "started": started}))
        other.kill()
        other.wait()
    Journal.open(folder, "a").close()
    (folder / "lock").write_text("")
    os.utime(folder / "lock", (0, 0))
    Journal.open(folder, "a").close()


TAKE = """
import sys, time
from pathlib import Path
from sits_engine.errors import InputError
from sits_engine.mapping.journal import Journal
folder = Path(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
try:
    Journal.open(folder, "a")
    print("mine", flush=True)
except InputError as error:
    print("refused" if "Another run" in error.message else error.message, flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("stale", [False, True])
def test_of_many_at_the_same_moment_one_gets_it(tmp_path, stale):
    folder = tmp_path / "w"
    folder.mkdir()
    if stale:
        (folder / "lock").write_text(json.dumps({"pid": os.getpid(), "started": 1.0}))
    command = [sys.executable, "-c", TAKE, str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    others = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(6)
    ]
    try:
        for other in others:
            assert other.stdout.readline() == "ready\n"
        for other in others:
            other.stdin.write("go\n")
            other.stdin.flush()
        answers = sorted(other.stdout.readline().strip() for other in others)
    finally:
        for other in others:
            other.communicate("end\n", timeout=30)
    assert answers == ["mine", *["refused"] * 5]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["w"]


def test_a_lock_is_never_seen_half_written(tmp_path, monkeypatch):
    seen = []
    link = os.link

    def watched(source, target):
        seen.append(json.loads(Path(source).read_text(encoding="utf-8"))["pid"])
        link(source, target)

    monkeypatch.setattr(os, "link", watched)
    Journal.open(tmp_path / "w", "a").close()
    assert seen == [os.getpid()]


def test_a_file_system_without_links(tmp_path, monkeypatch):
    def refuse(source, target):
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    Journal.open(tmp_path / "w", "a").close()
    (tmp_path / "w").mkdir(exist_ok=True)
    (tmp_path / "w" / "lock").write_text("")  # another run is between making and filling it
    with pytest.raises(InputError, match="Another run"):
        Journal.open(tmp_path / "w", "a")


def test_a_folder_without_results_goes(tmp_path):
    Journal.open(tmp_path / "w", "a").close()
    assert not (tmp_path / "w").exists()


def test_a_cancelled_run_says_what_was_kept(tmp_path):
    journal = Journal.open(tmp_path / ".m.tif.work", "a")
    error = Cancelled("Stopped by SIGTERM.")
    assert journal.explained(error) is error
    journal.store("x", {"x": np.zeros(1)})
    said = journal.explained(error)
    assert said.message == "Stopped by SIGTERM."
    assert "(1 tile or group of parcels) was kept in .m.tif.work beside the output" in said.advice
    other = ValueError()
    assert journal.explained(other) is other


def test_folder_that_cant_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EngineError) as caught:
        Journal.open(tmp_path / "file" / "w", "a")
    assert caught.value.code == "OUTPUT_NOT_WRITABLE"


def test_objects_are_refused(tmp_path):
    journal = Journal.open(tmp_path / "w", "a")
    with pytest.raises(ValueError, match="pickle"):
        journal.store("bad", {"x": np.array([{}], dtype=object)})
    assert journal.done == frozenset()


def test_fingerprint_is_of_content_not_of_order():
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1}) != fingerprint({"a": 1, "b": 3})
    assert os.path.basename(work_folder(__import__("pathlib").Path("x/Maïs 1.tif"))) == ".Maïs 1.tif.work"


def test_what_is_of_use_to_one_run_only_is_not_gone_on_from(tmp_path):
    with_all = {"classes": np.ones((2, 2), np.uint8)}
    journal = Journal.open(tmp_path / "work", "key")
    journal.store("a", with_all)
    journal.store("b", with_all, for_good=False)
    assert journal.load("b")["classes"].sum() == 4
    assert journal.done == {"a"}
    journal.close()
    assert Journal.open(tmp_path / "work", "key").done == {"a"}
    assert sorted(path.name for path in (tmp_path / "work").glob("*.npz")) == ["a.npz"]
