"""An output belongs to one living process."""

import json
import os

import pytest
from support.disks import mounted
from support.locks import written_by_another

from sits_engine.errors import EngineError, InputError
from sits_engine.mapping.journal import Journal
from sits_engine.mapping.lock import claimed, take, work_folder


def test_claims_go_with_the_block(tmp_path):
    outputs = [tmp_path / "map.tif", None, tmp_path / "shares.tif"]
    with claimed(outputs):
        owner = json.loads((work_folder(outputs[2]) / "lock").read_text())
        assert owner["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_of_several_claims_none_stays_where_one_is_refused(tmp_path):
    taken = tmp_path / "shares.tif"
    with (
        written_by_another(taken) as folder,
        pytest.raises(InputError, match="Another run is writing the same output at this moment"),
        claimed([tmp_path / "map.tif", taken]),
    ):
        raise AssertionError
    assert list(tmp_path.iterdir()) == [folder]


def test_results_of_a_journal_stay_and_the_lock_of_the_next_run_too(tmp_path):
    output = tmp_path / "map.tif"
    with claimed([output]):
        journal = Journal.open(work_folder(output), "key")
        journal.store("tile", {})
        journal.close()
    assert sorted(path.name for path in work_folder(output).iterdir()) == ["journal.json", "tile.npz"]
    with claimed([output]):
        lock = work_folder(output) / "lock"
        lock.write_text('{"pid": 1, "started": 0}')  # this run gave it back, another one came
    assert lock.exists()


@pytest.mark.parametrize("left", [0, 4096])
def test_a_full_disk_is_named_and_nothing_is_left_there(tmp_path, left):
    with mounted(tmp_path / "disk", "size=64k") as disk:
        (disk / "other").write_bytes(bytes(2**16 - left))
        with pytest.raises(EngineError, match=f"The disk of {disk} is full") as error:
            Journal.open(work_folder(disk / "map.tif"), "key")
        assert error.value.code == "DISK_FULL"
        assert [path.name for path in disk.iterdir()] == ["other"]


def test_a_folder_that_goes_meanwhile_is_made_again(tmp_path, monkeypatch):
    folder, link = tmp_path / "w", os.link

    def gone(source, target):
        if folder.exists() and not seen:
            seen.append(folder)
            folder.rmdir()
        link(source, target)

    seen = []
    monkeypatch.setattr(os, "link", gone)
    take(folder)
    assert (folder / "lock").exists()
