import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sits_engine.errors import InputError
from sits_engine.models.clip import photo_vectors, store, text_vectors

ENGINE = Path(__file__).resolve().parents[3]


class Counting:
    """Gives vectors from the first letter of a text or the size of a file; counts what it is asked."""

    fingerprint = "f" * 64
    dim = 4
    precision = "float32"
    photo_key = "float32 crop"

    def __init__(self):
        self.asked = []

    def texts(self, texts):
        self.asked += texts
        return np.stack([unit(ord(text[0])) for text in texts])

    def stream(self, paths):
        for start in range(0, len(paths), 2):
            some = list(enumerate(paths))[start : start + 2]
            self.asked += [path.name for _, path in some]
            good = [(place, path) for place, path in some if path.stat().st_size]
            bad = [f"{path}: empty." for _, path in some if not path.stat().st_size]
            vectors = np.stack([unit(path.stat().st_size) for _, path in good]) if good else np.empty((0, 4))
            yield [place for place, _ in good], vectors.astype(np.float32), bad


def unit(number):
    vector = np.array([number, 1, 2, 3], np.float32)
    return vector / np.linalg.norm(vector)


@pytest.fixture
def files(tmp_path):
    paths = []
    for name, content in (("a", b"1"), ("b", b"22"), ("c", b"333"), ("again", b"22")):
        paths.append(tmp_path / f"{name}.jpg")
        paths[-1].write_bytes(content)
    return paths


def test_texts_are_computed_once():
    first = Counting()
    found = text_vectors(first, ["rye", "oats", "rye"])
    assert first.asked == ["rye", "oats"]
    np.testing.assert_array_equal(found, np.stack([unit(ord("r")), unit(ord("o")), unit(ord("r"))]))
    second = Counting()
    np.testing.assert_array_equal(text_vectors(second, ["oats", "rye"]), found[[1, 0]])
    assert second.asked == []
    assert text_vectors(second, []).shape == (0, 4)


def test_photos_are_computed_once_by_content(files, tmp_path):
    first = Counting()
    found = photo_vectors(first, files)
    assert first.asked == ["a.jpg", "b.jpg", "c.jpg"]
    assert found.kept.tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(found.vectors, np.stack([unit(n) for n in (1, 2, 3, 2)]))
    moved = shutil.move(files[2], tmp_path / "moved.jpeg")
    second = Counting()
    np.testing.assert_array_equal(photo_vectors(second, [Path(moved)]).vectors, found.vectors[2:3])
    assert second.asked == []


def test_a_changed_photo_is_computed_again(files):
    photo_vectors(Counting(), files)
    files[0].write_bytes(b"4444")
    again = Counting()
    np.testing.assert_array_equal(photo_vectors(again, files).vectors[0], unit(4))
    assert again.asked == ["a.jpg"]


@pytest.mark.parametrize("part", ["fingerprint", "photo_key"])
def test_another_model_or_preprocessing_shares_nothing(files, part):
    photo_vectors(Counting(), files)
    other = Counting()
    setattr(other, part, "another")
    photo_vectors(other, files)
    assert len(other.asked) == 3


def test_problems_come_in_words_and_places_stay_right(files, tmp_path):
    (tmp_path / "empty.jpg").write_bytes(b"")
    paths = [tmp_path / "none.jpg", files[1], tmp_path / "empty.jpg", files[0]]
    found = photo_vectors(Counting(), paths)
    assert found.kept.tolist() == [1, 3]
    np.testing.assert_array_equal(found.vectors, np.stack([unit(2), unit(1)]))
    assert found.problems == [f"{paths[0]}: not found.", f"{paths[2]}: empty."]
    with pytest.raises(InputError, match="None of the 2 photos"):
        photo_vectors(Counting(), [paths[0], paths[2]])


def test_what_was_computed_before_a_stop_is_kept(files):
    def stop(fraction):
        if fraction > 0.4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        photo_vectors(Counting(), files, stop)
    again = Counting()
    photo_vectors(again, files)
    assert again.asked == ["c.jpg"]


def test_progress_ends_at_one(files):
    seen = []
    photo_vectors(Counting(), files, seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1


@pytest.mark.parametrize("content", [b"", b"no database at all, but long enough to be taken for one" * 20])
def test_a_broken_file_is_thrown_away(files, content):
    photo_vectors(Counting(), files)
    text_vectors(Counting(), ["rye"])
    for path in store.folder().iterdir():
        path.write_bytes(content)
    again = Counting()
    assert photo_vectors(again, files).kept.tolist() == [0, 1, 2, 3]
    text_vectors(again, ["rye"])
    assert again.asked == ["a.jpg", "b.jpg", "c.jpg", "rye"]
    last = Counting()
    photo_vectors(last, files)
    text_vectors(last, ["rye"])
    assert last.asked == []


def test_a_damaged_vector_is_computed_again(files):
    photo_vectors(Counting(), files)
    (path,) = store.folder().glob("vectors-*.sqlite")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE vectors SET value = x'00' WHERE id = 1")
        connection.execute("UPDATE vectors SET value = zeroblob(16) WHERE id = 2")
    connection.close()
    again = Counting()
    np.testing.assert_array_equal(photo_vectors(again, files).vectors[0], unit(1))
    assert again.asked == ["a.jpg", "b.jpg"]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder where nobody can write")
def test_without_a_place_to_write_everything_still_works(files, monkeypatch):
    monkeypatch.setenv("SITS_QGIS_HOME", "/proc/sits")
    first = Counting()
    assert photo_vectors(first, files).kept.tolist() == [0, 1, 2, 3]
    assert text_vectors(first, ["rye"]).shape == (1, 4)
    assert first.asked == ["a.jpg", "b.jpg", "c.jpg", "rye"]


def test_it_does_not_grow_without_end(monkeypatch):
    monkeypatch.setattr(store, "MAX_VECTORS", 3)
    for word in ("a", "b", "c", "d", "e"):
        text_vectors(Counting(), [word])
    again = Counting()
    text_vectors(again, ["c", "d", "e"])
    assert again.asked == []
    text_vectors(again, ["a", "b"])
    assert again.asked == ["a", "b"]


def test_two_processes_write_at_once():
    # the module alone: its package would import PyTorch
    code = f"""
import importlib.util, sys
spec = importlib.util.spec_from_file_location("store", {store.__file__!r})
store = importlib.util.module_from_spec(spec)
spec.loader.exec_module(store)
for number in range(40):
    store.write_vectors("vectors-x.sqlite", {{sys.argv[1] + str(number): b"value", "both": b"value"}})
"""
    env = {**os.environ, "PYTHONPATH": str(ENGINE)}
    running = [subprocess.Popen([sys.executable, "-c", code, name], env=env) for name in ("one", "two")]
    assert [process.wait(120) for process in running] == [0, 0]
    keys = [f"{name}{number}" for name in ("one", "two") for number in range(40)]
    assert len(store.read_vectors("vectors-x.sqlite", [*keys, "both"])) == 81


def test_with_a_real_encoder_the_second_run_loads_nothing(encoder, model, photos, monkeypatch):
    from sits_engine.device import select
    from sits_engine.models.clip import ClipEncoder, loading

    words = text_vectors(encoder, ["rye", "oats"])
    seen = photo_vectors(encoder, photos)
    np.testing.assert_allclose(seen.vectors, encoder.images(photos).vectors, atol=1e-6)

    def refuse(_folder):
        raise AssertionError("loaded")

    for name in ("network", "tokenizer", "processor"):
        monkeypatch.setattr(loading, name, refuse)
    fresh = ClipEncoder.open(model, select("cpu"))
    np.testing.assert_array_equal(text_vectors(fresh, ["rye", "oats"]), words)
    np.testing.assert_array_equal(photo_vectors(fresh, photos).vectors, seen.vectors)
