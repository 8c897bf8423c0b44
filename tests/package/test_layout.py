"""What goes where: stage and zip hold the same files, and nothing that must not ship."""

import os
import shutil
import subprocess
import zipfile

import layout
import make_zip
import pytest
import stage


@pytest.fixture
def small_repository(tmp_path):
    """A tree with the folders of the table, and things beside them that must stay at home."""
    root = tmp_path / "dépôt été"
    for name in (
        "sits_qgis/__init__.py",
        "sits_qgis/.hidden",
        "sits_qgis/__pycache__/x.pyc",
        "sits_qgis/gui/panel.py",
        "processing_algorithms/one.py",
        "processing_algorithms/__pycache__/one.pyc",
        "resources/icons/a.svg",
        "engine/start.py",
        "engine/sits_engine/cli.py",
        "engine/sits_engine/tests/test_cli.py",
        "engine/requirements/cpu.txt",
        "engine/requirements/dev.txt",
        "engine/tests/test_x.py",
        "LICENSE",
        "CHANGELOG.md",
    ):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (root / "metadata.txt").write_text("[general]\nversion=1.2.3\n")
    return root


def test_what_ships_and_what_stays(small_repository):
    assert list(layout.files(small_repository)) == [
        "CHANGELOG.md",
        "LICENSE",
        "__init__.py",
        "engine/requirements/cpu.txt",
        "engine/sits_engine/cli.py",
        "engine/start.py",
        "gui/panel.py",
        "metadata.txt",
        "processing_algorithms/one.py",
        "resources/icons/a.svg",
    ]


def test_a_missing_row_is_named(small_repository):
    (small_repository / "LICENSE").unlink()
    with pytest.raises(FileNotFoundError, match="LICENSE"):
        layout.files(small_repository)


def staged(folder):
    found = set()
    for here, names, leaves in os.walk(folder, followlinks=True):
        names[:] = [name for name in names if not layout.NEVER.match(name)]
        found |= {
            os.path.relpath(os.path.join(here, leaf), folder)
            for leaf in leaves
            if not layout.NEVER.match(leaf)
        }
    return found


@pytest.mark.parametrize("copy", [False, True], ids=["links", "copies"])
def test_stage_holds_what_the_zip_holds(tmp_path, zip_file, copy):
    plugin = stage.stage(tmp_path / "stage", copy=copy)
    with zipfile.ZipFile(zip_file) as archive:
        zipped = {name.split("/", 1)[1] for name in archive.namelist()}
    assert staged(plugin) == zipped
    assert "engine/start.py" in zipped
    assert "engine/requirements/cpu.txt" in zipped
    assert any(name.startswith("processing_algorithms/") for name in zipped)


def test_staging_again_removes_what_is_gone_and_keeps_what_is_right(tmp_path):
    plugin = stage.stage(tmp_path)
    (plugin / "gone.py").write_text("")
    (plugin / "old").mkdir()
    kept = os.lstat(plugin / "metadata.txt").st_ino
    wrong = plugin / "LICENSE"
    wrong.unlink()
    wrong.write_text("not the licence")
    stage.stage(tmp_path)
    assert not (plugin / "gone.py").exists()
    assert not (plugin / "old").exists()
    assert os.lstat(plugin / "metadata.txt").st_ino == kept
    assert (plugin / "LICENSE").read_bytes() == (layout.ROOT / "LICENSE").read_bytes()


def test_edits_are_live(tmp_path):
    plugin = stage.stage(tmp_path)
    assert os.path.samefile(
        plugin / "engine" / "sits_engine" / "cli.py", layout.ROOT / "engine/sits_engine/cli.py"
    )


def test_the_same_sources_give_the_same_bytes(tmp_path, zip_file):
    again = make_zip.make_zip(tmp_path / "again.zip")
    assert again.read_bytes() == zip_file.read_bytes()
    assert os.listdir(tmp_path) == ["again.zip"]


def test_one_version():
    engine = (layout.ROOT / "engine/sits_engine/VERSION").read_text(encoding="utf-8").strip()
    assert engine == layout.version()


@pytest.mark.skipif(
    shutil.which("git") is None or not (layout.ROOT / ".git").exists(), reason="no git checkout"
)
def test_the_zip_holds_nothing_that_the_repository_lacks():
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=layout.ROOT, capture_output=True, text=True, check=True
    )
    known = set(listed.stdout.split("\0"))
    shipped = {path.relative_to(layout.ROOT).as_posix() for path in layout.files().values()}
    assert shipped - known == set()
