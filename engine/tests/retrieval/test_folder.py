import json

import numpy as np
import pytest
from support.photo_index import photo_table, unit

from sits_engine.errors import InputError
from sits_engine.retrieval import folder as module
from sits_engine.retrieval.folder import check_clip, is_index, open_index, save_index
from sits_engine.retrieval.index import PhotoIndex


@pytest.fixture
def index(clip):
    vectors = unit(np.random.default_rng(0), 500, 24)
    return PhotoIndex.build(vectors, photo_table(500), clip)


@pytest.mark.parametrize("kind", ["exact", "cells"])
def test_opened_again_it_finds_the_same(tmp_path, clip, kind):
    vectors = unit(np.random.default_rng(0), 500, 24)
    index = PhotoIndex.build(vectors, photo_table(500), clip, kind)
    index.skipped = {"/photos/bad.jpg": [3, 4]}
    folder = tmp_path / "Fotos äö" / "index"
    save_index(index, folder)
    assert is_index(folder)
    assert sorted(p.name for p in folder.parent.iterdir()) == ["index"]
    again = open_index(folder)
    assert (again.kind, again.clip, again.skipped, len(again)) == (kind, clip, index.skipped, 500)
    for name in ("paths", "ids", "directions", "taken", "xy", "hashes", "sizes", "changed"):
        assert np.array_equal(getattr(again.table, name), getattr(index.table, name)), name
    before, after = index.search(vectors[:9], 4), again.search(vectors[:9], 4)
    assert before.rows.tolist() == after.rows.tolist()
    assert np.array_equal(before.similarity, after.similarity)


def test_replaces_an_index_and_nothing_else(tmp_path, index, clip):
    folder = tmp_path / "index"
    save_index(index, folder)
    small = PhotoIndex.build(unit(np.random.default_rng(1), 3, 24), photo_table(3), clip)
    save_index(small, folder)
    assert len(open_index(folder)) == 3
    assert [p.name for p in tmp_path.iterdir()] == ["index"]
    other = tmp_path / "holiday"
    other.mkdir()
    (other / "diary.txt").write_text("mine")
    with pytest.raises(InputError, match="holds other files"):
        save_index(small, other)
    assert (other / "diary.txt").read_text() == "mine"


def test_a_failure_leaves_the_old_one(tmp_path, index, clip, monkeypatch):
    folder = tmp_path / "index"
    save_index(index, folder)

    def broken(*_):
        raise OSError("disk gone")

    monkeypatch.setattr(module, "_write_table", broken)
    small = PhotoIndex.build(unit(np.random.default_rng(1), 3, 24), photo_table(3), clip)
    with pytest.raises(OSError, match="disk gone"):
        save_index(small, folder)
    assert len(open_index(folder)) == 500
    assert [p.name for p in tmp_path.iterdir()] == ["index"]


def test_no_index_is_said(tmp_path):
    with pytest.raises(InputError, match="holds no photo index"):
        open_index(tmp_path)


@pytest.mark.parametrize("name", ["vectors.faiss", "photos.parquet", "index.json"])
@pytest.mark.parametrize("how", ["cut", "changed", "gone"])
def test_damage_is_named(tmp_path, index, name, how):
    folder = tmp_path / "index"
    save_index(index, folder)
    content = (folder / name).read_bytes()
    if how == "cut":
        (folder / name).write_bytes(content[: len(content) // 2])
    elif how == "changed":
        (folder / name).write_bytes(b"\x00" * len(content))
    else:
        (folder / name).unlink()
    message = "holds no photo index" if (name, how) == ("index.json", "gone") else "is damaged"
    with pytest.raises(InputError, match=message):
        open_index(folder)


def test_another_program_version_and_clip_are_told_apart(tmp_path, index):
    folder = tmp_path / "index"
    save_index(index, folder)
    facts = json.loads((folder / "index.json").read_text())
    with pytest.raises(InputError, match="CLIP model tiny"):
        check_clip(open_index(folder), {"name": "large", "fingerprint": "0" * 64}, folder)
    (folder / "index.json").write_text(json.dumps(facts | {"version": 99}))
    with pytest.raises(InputError, match="version 99"):
        open_index(folder)
    (folder / "index.json").write_text(json.dumps(facts | {"format": "else"}))
    with pytest.raises(InputError, match="another program"):
        open_index(folder)
