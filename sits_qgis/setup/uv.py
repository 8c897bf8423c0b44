"""Find uv, the installer, or fetch it: a wheel on PyPI whose one file of interest is the program."""

import hashlib
import json
import os
import platform
import re
import shutil
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

from qgis.core import QgsBlockingNetworkRequest, QgsProcessingException
from qgis.PyQt.QtCore import QUrl
from qgis.PyQt.QtNetwork import QNetworkRequest

from .. import about
from ..home import tools
from ..i18n import tr
from . import programs

PROGRAM = "uv.exe" if sys.platform == "win32" else "uv"
#: Oldest uv that knows the options used in `install`.
OLDEST = (0, 5)
PYPI = "https://pypi.org/simple"
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def pinned():
    """(version, SHA-256 of every file of it) from the lock file of uv."""
    text = (about.REQUIREMENTS / "uv.txt").read_text(encoding="utf-8")
    return re.search(r"^uv==([0-9.]+)", text, re.MULTILINE)[1], frozenset(HASH.findall(text))


def works(path, environment):
    """True if `path` is a uv that is new enough."""
    said = programs.output([path, "--version"], environment)
    match = re.match(r"uv (\d+)\.(\d+)", said or "")
    return bool(match) and (int(match[1]), int(match[2])) >= OLDEST


def find(environment, feedback, folders=(), offline=False):
    """Path of uv: on PATH, fetched before, in a folder of wheels, by pip, or from PyPI by QGIS itself.

    Args:
        environment: cleaned variables; PATH, PIP_INDEX_URL and UV_DEFAULT_INDEX are respected.
        feedback: QgsProcessingFeedback.
        folders: folders of wheels.
        offline: never ask the network.

    Raises:
        QgsProcessingException: nothing helped; the text lists what was tried.
    """
    own = tools() / PROGRAM
    on_path = shutil.which("uv", path=environment.get("PATH"))
    for path in (str(own), on_path):
        if path and Path(path).is_file() and works(path, environment):
            return path
    tried = [tr("no uv on PATH")]
    for folder in folders:
        for wheel in sorted(Path(folder).glob("uv-*.whl"), reverse=True):
            if wheel_fits(wheel.name):
                return _install(wheel, own, environment)
        tried.append(tr("no wheel of uv for this system in {folder}").format(folder=folder))
    if offline:
        raise QgsProcessingException(_nothing(tried))
    for fetch in (_by_pip, _by_qgis):
        with tempfile.TemporaryDirectory(prefix="sits-uv-") as folder:
            try:
                return _install(fetch(Path(folder), environment, feedback), own, environment)
            except LookupError as reason:
                tried.append(str(reason))
        if feedback.isCanceled():
            raise QgsProcessingException(tr("Cancelled."))
    raise QgsProcessingException(_nothing(tried))


def _nothing(tried):
    text = tr(
        "The installer uv was not found and can't be fetched ({tried}). Install uv by hand (pip install uv) "
        "so "
        "that it is on PATH, put its wheel into a folder and name that as 'Folder of wheels', or name an "
        "interpreter of your own."
    )
    return text.format(tried="; ".join(tried))


def _install(wheel, target, environment):
    """Take the program out of a wheel (a zip) and put it at `target`."""
    with zipfile.ZipFile(wheel) as archive:
        inside = next((n for n in archive.namelist() if n.endswith(f".data/scripts/{PROGRAM}")), None)
        if inside is None:
            raise QgsProcessingException(tr("{wheel} holds no uv.").format(wheel=wheel))
        content = archive.read(inside)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    temporary.write_bytes(content)
    temporary.chmod(0o700)
    os.replace(temporary, target)
    if not works(str(target), environment):
        target.unlink()
        text = tr("uv from {wheel} does not run on this system.")
        raise QgsProcessingException(text.format(wheel=wheel))
    return str(target)


def wheel_fits(name, system=None, machine=None):
    """True if the wheel called `name` runs on this system (or on the one given, as `platform` calls it)."""
    system, machine = system or platform.system(), (machine or platform.machine()).lower()
    parts = name[: -len(".whl")].split("-") if name.endswith(".whl") else []
    if len(parts) < 5:
        return False
    tags = parts[-1]
    if system == "Windows":
        return {"amd64": "win_amd64", "arm64": "win_arm64"}.get(machine) == tags
    if system == "Darwin":
        arch = "arm64" if machine in ("arm64", "aarch64") else "x86_64"
        return tags.startswith("macosx") and (arch in tags or "universal2" in tags)
    arch = {"amd64": "x86_64", "arm64": "aarch64"}.get(machine, machine)
    return arch in tags and _libc() in tags


def _libc():
    return "musllinux" if "musl" in (sysconfig.get_config_var("HOST_GNU_TYPE") or "") else "manylinux"


def _by_pip(folder, environment, feedback):
    """Let pip of some Python download the wheel: it knows the user's mirror and certificates."""
    # The Python beside QGIS's own libraries, never sys.executable, which may be QGIS itself.
    beside = Path(sys.exec_prefix, "python.exe" if sys.platform == "win32" else "bin/python3")
    found = [str(beside), *(shutil.which(n, path=environment.get("PATH")) for n in ("python3", "python"))]
    for python in dict.fromkeys(path for path in found if path and Path(path).is_file()):
        command = [python, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        command += ["--require-hashes", "--dest", str(folder), "-r", str(about.REQUIREMENTS / "uv.txt")]
        lines = []
        if programs.run(command, environment, feedback, lines.append) == 0:
            wheels = list(folder.glob("uv-*.whl"))
            if wheels:
                return wheels[0]
    raise LookupError(tr("no Python with pip could download it"))


def _by_qgis(folder, environment, feedback):
    """Download the wheel with QGIS's own network access (proxy, certificates)."""
    version, hashes = pinned()
    index = environment.get("UV_DEFAULT_INDEX") or environment.get("PIP_INDEX_URL") or PYPI
    page = _get(index.rstrip("/") + "/uv/", feedback, b"application/vnd.pypi.simple.v1+json")
    try:
        files = json.loads(page)["files"]
    except (ValueError, KeyError, TypeError) as error:
        raise LookupError(tr("{index} gave no list of files").format(index=index)) from error
    for file in files:
        name = file.get("filename", "")
        if name.startswith(f"uv-{version}-") and wheel_fits(name):
            base = QUrl(index.rstrip("/") + "/uv/")
            content = _get(base.resolved(QUrl(file["url"])).toString(), feedback)
            if hashlib.sha256(content).hexdigest() not in hashes:
                raise LookupError(tr("{name} has not the expected checksum").format(name=name))
            path = folder / name
            path.write_bytes(content)
            return path
    raise LookupError(tr("{index} has no uv {version} for this system").format(index=index, version=version))


def _get(url, feedback, accept=None):
    request = QNetworkRequest(QUrl(url))
    if accept:
        request.setRawHeader(b"Accept", accept)
    network = QgsBlockingNetworkRequest()
    status = network.get(request, False, feedback)
    if status != QgsBlockingNetworkRequest.ErrorCode.NoError:
        raise LookupError(f"{url}: {network.errorMessage()}")
    return bytes(network.reply().content())
