"""What a set-up will do: sources, sizes and the variables of the installer."""

import os
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from qgis.core import QgsProcessingException

from .. import child, environment, network
from ..home import home
from ..i18n import tr

#: PyTorch's own index: plain PyPI has no CPU build for Linux on x86-64.
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
#: Python of the engine: the one that the lock files were solved for.
PYTHON = "3.11"
GIB = 1 << 30


@dataclass(frozen=True)
class Size:
    """Rough sizes of a flavour in GiB: what is downloaded, and what the environment takes on disk."""

    download: float
    disk: float


#: Measured on Linux x86-64 with the lock files of this version.
SIZES = {"cpu": Size(0.7, 2.2), "cuda": Size(3.2, 8.1)}


@dataclass(frozen=True)
class Plan:
    """One set-up: `links` are folders (or addresses) of wheels, `offline` forbids every other source."""

    flavour: str
    links: tuple = ()
    offline: bool = False

    @property
    def folder(self):
        """Folder of the environment."""
        return environment.folder(self.flavour)

    @property
    def size(self):
        """Rough sizes of what is installed."""
        return SIZES[self.flavour]

    def sources(self):
        """Options of uv that say where packages come from."""
        options = []
        for link in self.links:
            options += ["--find-links", link]
        if self.offline:
            return [*options, "--no-index", "--offline"]
        if self.needs_torch_index():
            options += ["--extra-index-url", TORCH_CPU_INDEX, "--index-strategy", "unsafe-best-match"]
        return options

    def needs_torch_index(self):
        """True where PyTorch's CPU build is neither on PyPI nor in a folder of wheels."""
        here = sys.platform.startswith("linux") and platform.machine() == "x86_64"
        return self.flavour == "cpu" and here and not any(_may_hold_torch(link) for link in self.links)

    def describe(self):
        """Lines for people: what comes from where, and how much of it, before anything starts."""
        where = ", ".join(self.links)
        if self.offline:
            source = tr("only the folder {links}, nothing from the internet").format(links=where)
        else:
            source = "PyPI (pypi.org)" + (f", {TORCH_CPU_INDEX}" if self.needs_torch_index() else "")
            source += tr(", and the folder {links}").format(links=where) if where else ""
        what = {"cpu": tr("PyTorch for the CPU"), "cuda": tr("PyTorch for NVIDIA cards (CUDA)")}[self.flavour]
        size = (
            tr("Size: about {disk:.1f} GiB on disk.")
            if self.offline
            else tr("Size: about {download:.1f} GiB to download, {disk:.1f} GiB on disk.")
        )
        return [
            tr("Set up the engine: {what}, rasterio, geopandas and others, in a Python of their own.").format(
                what=what
            ),
            tr("Folder: {folder}").format(folder=self.folder),
            tr("Sources: {source}").format(source=source),
            size.format(download=self.size.download, disk=self.size.disk),
            tr("Every file is checked against the list {lock}.").format(
                lock=environment.lock_file(self.flavour)
            ),
        ]

    def check(self):
        """Find what can be found wrong without looking further than the parameters.

        Raises:
            QgsProcessingException: no such build, no lock file, or no wheels offline.
        """
        if self.flavour == "cuda" and sys.platform == "darwin":
            raise QgsProcessingException(
                tr("There is no CUDA on macOS. Choose the flavour 'cpu': it uses Apple's graphics as well.")
            )
        if not self._locked_here():
            text = tr(
                "There is no PyTorch of the flavour '{flavour}' in the lock files for this system ({system} "
                "on {machine}). Make an environment of your own and name its Python as interpreter "
                "(docs/engine.md)."
            )
            raise QgsProcessingException(
                text.format(flavour=self.flavour, system=platform.system(), machine=platform.machine())
            )
        if not environment.lock_file(self.flavour).is_file():
            text = tr("{path} is missing: the plugin is incomplete. Install it again.")
            raise QgsProcessingException(text.format(path=environment.lock_file(self.flavour)))
        for link in self.links:
            if "://" not in link and not Path(link).is_dir():
                text = tr("The folder of wheels {folder} does not exist. Check the path.")
                raise QgsProcessingException(text.format(folder=link))
        if self.offline and not self.links:
            raise QgsProcessingException(
                tr("Offline needs a folder of wheels: name it as 'Folder of wheels' (see docs/engine.md).")
            )

    def _locked_here(self):
        """True where the lock files hold a PyTorch: those for Linux are x86-64, CUDA is for Linux."""
        linux = sys.platform.startswith("linux")
        if linux and platform.machine().lower() not in ("x86_64", "amd64"):
            return False
        return linux or self.flavour == "cpu"

    def check_space(self):
        """Raise QgsProcessingException unless the disk has room for downloads and environment."""
        needed = (self.size.disk + self.size.download) * GIB
        home().mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(home()).free
        if free < needed:
            text = tr(
                "{folder} has only {free:.1f} GiB free, {needed:.1f} GiB are needed. Free some space, or "
                "name a "
                "folder on another disk in the environment variable SITS_QGIS_HOME."
            )
            raise QgsProcessingException(text.format(folder=home(), free=free / GIB, needed=needed / GIB))

    def variables(self):
        """Variables of uv and pip: no Python of QGIS, own folders, QGIS's proxy, the system's "
        "certificates."""
        clean = child.clean_environment(extra=network.proxy_variables())
        for name in ("VIRTUAL_ENV", "CONDA_PREFIX", "UV_PROJECT_ENVIRONMENT", "UV_FIND_LINKS"):
            clean.pop(name, None)
        clean.setdefault("UV_CACHE_DIR", str(cache()))
        clean["UV_PYTHON_INSTALL_DIR"] = str(home() / "python")
        clean["UV_SYSTEM_CERTS"] = "true"
        if "PIP_INDEX_URL" in clean and "UV_INDEX_URL" not in clean:
            clean.setdefault("UV_DEFAULT_INDEX", clean["PIP_INDEX_URL"])
        if self.offline:
            clean["UV_PYTHON_DOWNLOADS"] = "never"
        return clean


def cache():
    """Folder of downloads that are kept, so that a set-up that was interrupted goes on where it was."""
    return home() / "cache"


def links(folder=""):
    """Places of wheels: `folder`, then those of the variables of pip (blanks between) and uv (commas)."""
    named = [folder] if folder else []
    named += os.environ.get("PIP_FIND_LINKS", "").split()
    named += [part.strip() for part in os.environ.get("UV_FIND_LINKS", "").split(",")]
    # uv runs in a folder of its own, so what is relative would be looked for there.
    places = (part if "://" in part else str(Path(part).expanduser().absolute()) for part in named if part)
    return tuple(dict.fromkeys(places))


def _may_hold_torch(link):
    return "://" in link or any(Path(link).glob("torch-*.whl"))
