"""Finding uv, and fetching it from a folder of wheels or from an index on loopback."""

import hashlib
import json
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from fake_uv import FakeUv
from qgis.core import QgsProcessingException
from recording import Recording

HERE = "uv-9.9.9-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"


@pytest.fixture
def alone(qgis_app, home, monkeypatch):
    """Variables of a system without uv and without pip, of the kind that the wheel HERE is for."""
    from sits_qgis.setup import uv

    monkeypatch.setattr(uv.platform, "system", lambda: "Linux")
    monkeypatch.setattr(uv.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(uv.sys, "exec_prefix", "/nowhere")
    return {"PATH": "/nowhere"}


def wheel(folder, name=HERE, version="9.9.9"):
    """A wheel with a program that says that it is uv."""
    folder.mkdir(parents=True, exist_ok=True)
    program = FakeUv(folder / "source", version).program
    with zipfile.ZipFile(folder / name, "w") as archive:
        archive.write(program, "uv-9.9.9.data/scripts/uv")
    return folder / name


def find(environment, **options):
    from sits_qgis.setup import uv

    return uv.find(environment, Recording(), **options)


def test_on_path(alone, tmp_path):
    fake = FakeUv(tmp_path / "bin")
    assert find({"PATH": str(fake.folder)}) == str(fake.program)


def test_one_that_is_too_old_is_passed_over(alone, tmp_path):
    fake = FakeUv(tmp_path / "bin", "0.1.44")
    with pytest.raises(QgsProcessingException, match="pip install uv"):
        find({"PATH": str(fake.folder)}, offline=True)


def test_from_a_folder_of_wheels_and_kept(alone, tmp_path, home):
    made = wheel(tmp_path / "wheels é")
    found = find(alone, folders=[made.parent], offline=True)
    assert found == str(home / "tools" / "uv")
    # The second time it is there already.
    assert find(alone, offline=True) == found


def test_a_wheel_for_another_system_does_not_count(alone, tmp_path):
    made = wheel(tmp_path, "uv-9.9.9-py3-none-win_amd64.whl")
    with pytest.raises(QgsProcessingException, match="no wheel of uv for this system"):
        find(alone, folders=[made.parent], offline=True)


@pytest.mark.parametrize(
    ("name", "system", "machine", "fits"),
    [
        ("uv-0.13.8-py3-none-win_amd64.whl", "Windows", "AMD64", True),
        ("uv-0.13.8-py3-none-win_arm64.whl", "Windows", "AMD64", False),
        ("uv-0.13.8-py3-none-macosx_11_0_arm64.whl", "Darwin", "arm64", True),
        ("uv-0.13.8-py3-none-macosx_10_12_x86_64.whl", "Darwin", "arm64", False),
        (HERE, "Linux", "x86_64", True),
        (HERE, "Linux", "aarch64", False),
        ("uv-0.13.8-py3-none-manylinux_2_28_aarch64.whl", "Linux", "aarch64", True),
        ("uv-0.13.8-py3-none-musllinux_1_1_x86_64.whl", "Linux", "x86_64", False),
        ("uv-0.13.8.tar.gz", "Linux", "x86_64", False),
    ],
)
def test_which_wheel_runs_where(name, system, machine, fits):
    from sits_qgis.setup.uv import wheel_fits

    assert wheel_fits(name, system, machine) is fits


@pytest.fixture
def index(tmp_path):
    """A package index on loopback; `index.pages` maps paths to contents, `index.asked` lists requests."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            server.asked.append((self.path, self.headers.get("Accept")))
            content = server.pages.get(self.path)
            self.send_response(404 if content is None else 200)
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_):
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.pages, server.asked = {}, []
    server.url = f"http://127.0.0.1:{server.server_port}/simple"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def publish(index, made):
    files = [{"filename": "uv-9.9.9-py3-none-win_amd64.whl", "url": "../../w"}]
    files.append({"filename": made.name, "url": "../../files/" + made.name})
    index.pages["/simple/uv/"] = json.dumps({"files": files}).encode()
    index.pages["/files/" + made.name] = made.read_bytes()


def pin(monkeypatch, tmp_path, digest):
    from sits_qgis import about

    (tmp_path / "locks").mkdir()
    (tmp_path / "locks" / "uv.txt").write_text(f"uv==9.9.9 \\\n    --hash=sha256:{digest}\n")
    monkeypatch.setattr(about, "REQUIREMENTS", tmp_path / "locks")


def test_from_an_index_with_qgis_network_access(alone, index, monkeypatch, tmp_path, home):
    made = wheel(tmp_path)
    publish(index, made)
    pin(monkeypatch, tmp_path, hashlib.sha256(made.read_bytes()).hexdigest())
    assert find({**alone, "UV_DEFAULT_INDEX": index.url}) == str(home / "tools" / "uv")
    assert index.asked[0] == ("/simple/uv/", "application/vnd.pypi.simple.v1+json")


def test_a_file_with_another_checksum_is_refused(alone, index, monkeypatch, tmp_path, home):
    publish(index, wheel(tmp_path))
    pin(monkeypatch, tmp_path, "0" * 64)
    with pytest.raises(QgsProcessingException, match="not the expected checksum"):
        find({**alone, "UV_DEFAULT_INDEX": index.url})
    assert not (home / "tools" / "uv").exists()


def test_an_index_without_it(alone, index):
    with pytest.raises(QgsProcessingException, match="no Python with pip"):
        find({**alone, "UV_DEFAULT_INDEX": index.url})


def test_the_pin_is_that_of_the_makefile():
    from pathlib import Path

    from sits_qgis.setup.uv import pinned

    makefile = (Path(__file__).resolve().parents[2] / "Makefile").read_text(encoding="utf-8")
    version, hashes = pinned()
    assert f"UV_VERSION := {version}\n" in makefile
    assert len(hashes) > 10
