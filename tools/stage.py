"""`make stage`: build/stage/sits_qgis as a farm of links, so that edits are live and tests test what ships.

On Windows, where links need a privilege, the files are copied: stage again after an edit.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import layout


def remove(path: Path) -> None:
    """Remove a link, a file or a folder, without following links."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)


def link(source: Path, target: Path) -> None:
    """Make `target` a relative link to `source`; leave it alone where it is one already."""
    wanted = os.path.relpath(source, target.parent)
    if target.is_symlink() and os.readlink(target) == wanted:
        return
    remove(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.symlink_to(wanted, target_is_directory=source.is_dir())


def stage(destination: Path, copy: bool = sys.platform == "win32") -> Path:
    """Bring `destination`/sits_qgis in line with the table; returns that folder.

    What is right already is not touched, so that a QGIS which runs from the stage is not disturbed.
    """
    layout.write_engine_version()
    plugin = destination / layout.PLUGIN
    if copy:
        remove(plugin)
        for place, source in layout.files().items():
            target = plugin / place
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
        return plugin
    wanted = {plugin / place: source for source, place in layout.entries()}
    folders = {parent for target in wanted for parent in target.parents}
    for folder in sorted(f for f in folders if plugin in (f, *f.parents)):
        if folder.is_symlink():
            folder.unlink()
        folder.mkdir(parents=True, exist_ok=True)
        for child in folder.iterdir():
            if child not in wanted and child not in folders:
                remove(child)
    for target, source in wanted.items():
        link(source, target)
    return plugin


if __name__ == "__main__":
    print(stage(Path(sys.argv[1]) if len(sys.argv) > 1 else layout.ROOT / "build" / "stage"))
