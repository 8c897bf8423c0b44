"""`make zip`: dist/sits_qgis-<version>.zip, the same bytes from the same sources."""

from __future__ import annotations

import os
import sys
import time
import zipfile
from pathlib import Path

import layout

#: The plugin repository refuses larger files.
LIMIT = 25 * 1024 * 1024


def stamp() -> tuple[int, int, int, int, int, int]:
    """Date of all entries: SOURCE_DATE_EPOCH where it is set, else the earliest that a zip can hold."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if not epoch:
        return (1980, 1, 1, 0, 0, 0)
    year, month, day, hour, minute, second = time.gmtime(int(epoch))[:6]
    return (max(1980, year), month, day, hour, minute, second)


def make_zip(target: Path) -> Path:
    """Write the plugin's zip to `target`; it appears when it is complete.

    Raises:
        SystemExit: it is larger than the plugin repository takes.
    """
    layout.write_engine_version()
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for place, source in layout.files().items():
            entry = zipfile.ZipInfo(f"{layout.PLUGIN}/{place}", stamp())
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # Unix, whatever made it
            entry.external_attr = 0o100644 << 16  # no executable bit: the repository's scan warns of it
            archive.writestr(entry, source.read_bytes())
    size = partial.stat().st_size
    if size > LIMIT:
        raise SystemExit(f"{target.name} has {size / 2**20:.1f} MB; the plugin repository takes 25 MB.")
    os.replace(partial, target)
    return target


if __name__ == "__main__":
    default = layout.ROOT / "dist" / f"{layout.PLUGIN}-{layout.version()}.zip"
    made = make_zip(Path(sys.argv[1]) if len(sys.argv) > 1 else default)
    print(f"{made} ({made.stat().st_size / 1024:.0f} KB)")
