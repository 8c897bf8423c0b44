"""What goes where: the one table from the repository to the plugin folder (and to the zip).

Used by `make stage`, `make zip` and the tests. Standard library only, so that any Python 3.9 runs it.
"""

from __future__ import annotations

import configparser
import os
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: The one top-level folder that QGIS wants, and the name under which it imports the plugin.
PLUGIN = "sits_qgis"

#: (path in the repository, place in the plugin folder). `/*` means the content of a folder.
TABLE = (
    ("sits_qgis/*", ""),
    ("processing_algorithms", "processing_algorithms"),
    ("resources", "resources"),
    ("engine/sits_engine", "engine/sits_engine"),
    ("engine/requirements", "engine/requirements"),
    ("engine/start.py", "engine/start.py"),
    ("metadata.txt", "metadata.txt"),
    ("LICENSE", "LICENSE"),
    ("CHANGELOG.md", "CHANGELOG.md"),
)

#: Names that never ship: caches, hidden files, tests, and the developers' lock.
NEVER = re.compile(r"^(\..*|__pycache__|tests|.*\.py[co]|.*~|dev\.(in|txt))$")


def entries(root: Path = ROOT) -> Iterator[tuple[Path, str]]:
    """The rows of the table as (source, place), with `/*` resolved to the folder's own entries.

    Raises:
        FileNotFoundError: a row names something that the repository does not have.
    """
    for source, place in TABLE:
        if source.endswith("/*"):
            folder = root / source[:-2]
            for child in sorted(folder.iterdir()):
                if not NEVER.match(child.name):
                    yield child, f"{place}/{child.name}".lstrip("/")
            continue
        path = root / source
        if not path.exists():
            raise FileNotFoundError(f"{path} is named in tools/layout.py but does not exist.")
        yield path, place


def files(root: Path = ROOT) -> dict[str, Path]:
    """Every file that ships: place in the plugin folder (with `/`) -> file in the repository, sorted."""
    found: dict[str, Path] = {}
    for source, place in entries(root):
        if source.is_file():
            found[place] = source
            continue
        for folder, names, leaves in os.walk(source):
            names[:] = [name for name in names if not NEVER.match(name)]
            for leaf in leaves:
                if not NEVER.match(leaf):
                    path = Path(folder, leaf)
                    found[f"{place}/{path.relative_to(source).as_posix()}"] = path
    return dict(sorted(found.items()))


def version(root: Path = ROOT) -> str:
    """Version of plugin and engine: `metadata.txt` is the one place of it."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(root / "metadata.txt", encoding="utf-8")
    return parser["general"]["version"]


def write_engine_version(root: Path = ROOT) -> None:
    """Copy the version to the engine, which is installed without `metadata.txt` on a server."""
    target = root / "engine" / "sits_engine" / "VERSION"
    text = version(root) + "\n"
    if not target.exists() or target.read_text(encoding="utf-8") != text:
        target.write_text(text, encoding="utf-8")
