"""Makes stores of training windows (Zarr) out of published data sets.

    python tools/convert_windows.py t31tfm windows.zarr T31TFM_1618/2016/pkl_timeseries --dates 16
    python tools/convert_windows.py mtlcc windows.zarr data_IJGI18/datasets/full/240pkl/data16 --dates 16
    python tools/convert_windows.py pastis windows.zarr PASTIS --folds 1 2 3 --dates 60

T31TFM-1618 and MTLCC come as pickles, which neither plugin nor engine ever read: this tool stays in the
repository, and accepts plain data only (`plain_pickle`). Run it with the developers' Python (`make dev`).
`sits train-segmentation --windows windows.zarr` trains from the result; see docs/published-windows.md.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import plain_pickle

ENDINGS = (".pickle", ".pkl")
#: Bytes of images that are held before they are written.
BATCH_BYTES = 256 * 2**20
#: Published names of T31TFM-1618 windows: northing, easting (Lambert-93), year.
PLACE = re.compile(r"(\d{7})_(\d{6})_(\d{4})$")
SIDE_METRES = 480
#: Metres of a pixel in all three archives.
PIXEL_METRES = 10.0


def pickles(paths: list[Path], most: int | None) -> list[Path]:
    """The pickles of files and folders, in order of their names.

    Raises:
        SystemExit: there is none.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(p for p in path.rglob("*") if p.suffix in ENDINGS)
        elif path.is_file():
            found.append(path)
        else:
            raise SystemExit(f"{path} not found.")
    if not found:
        raise SystemExit(f"No pickles ({', '.join(ENDINGS)}) in {', '.join(map(str, paths))}.")
    return found[:most]


def place_of(path: Path) -> tuple[float, float] | None:
    """Longitude and latitude of the centre of a T31TFM-1618 window, by its file name."""
    from pyproj import Transformer

    found = PLACE.search(path.stem)
    if not found:
        return None
    north, east = int(found[1]) - SIDE_METRES / 2, int(found[2]) + SIDE_METRES / 2
    x, y = Transformer.from_crs("EPSG:2154", "EPSG:4326", always_xy=True).transform(east, north)
    return float(x), float(y)


def samples(
    paths: list[Path], read: Callable[..., Any], facts: dict[str, Any], **options: Any
) -> Iterator[Any]:
    """A window for each pickle; those of one year (else of one folder) are a region.

    Args:
        paths: of the pickles.
        read: makes a window of one.
        facts: gets the names of the regions and their season years, as they are met.
        options: of `read`.
    """
    regions: dict[str, int] = {}
    names, years = facts.setdefault("regions", []), facts.setdefault("season_years", [])
    for path in paths:
        try:
            content = plain_pickle.load(path)
        except plain_pickle.Refused as error:
            raise SystemExit(str(error)) from error
        if not isinstance(content, dict):
            raise SystemExit(f"{path} is no window: it holds a {type(content).__name__}, not a dictionary.")
        found = PLACE.search(path.stem)
        name = found[3] if found else path.parent.name
        region = regions.setdefault(name, len(regions))
        if region == len(names):
            names.append(name)
            years.append(int(found[3]) if found else first_year(content))
        yield read(content, path.name, lon_lat=place_of(path), region=region, **options)


def first_year(content: dict[Any, Any]) -> int | None:
    """The earliest year of a window, from whose 1 January its days count; None where it tells none."""
    import numpy as np

    years = np.asarray(content.get("year", []))
    if not years.size or years.dtype.kind not in "iuf":
        return None
    return int(years.min())


def write(target: Path, parts: Iterable[Any], dates: int | None, extra: dict[str, Any]) -> int:
    """Write windows to a store that appears when it is complete; returns their number.

    With a fixed number of dates they needn't fit into the memory together. `extra` may grow while `parts`
    are read.
    """
    from sits_engine.outputs import discard, partial, publish
    from sits_engine.samples import window_store
    from sits_engine.samples.dates import thinned
    from sits_engine.samples.windows import PER_WINDOW, WindowSet

    window_store.STORE.check_target(target)
    temporary = partial(target)
    held: list[WindowSet] = []
    total = 0

    def put() -> int:
        if not held:
            return 0
        joined = WindowSet.concatenate(held)
        held.clear()
        if total:
            window_store.extend(temporary, {name: getattr(joined, name) for name in PER_WINDOW})
        else:
            joined.save(temporary, extra=extra)
        return len(joined)

    try:
        for part in parts:
            held.append(part if dates is None else thinned(part, dates, prefer_clear=False))
            if dates is not None and sum(one.values.nbytes for one in held) > BATCH_BYTES:
                total += put()
        total += put()
        if not total:
            raise SystemExit("There is no window to write.")
        window_store.tell(temporary, extra)
        if target.exists():
            discard(target)
        publish({temporary: target})
    except BaseException:
        discard(temporary)
        raise
    print(f"{target}: {total} windows.")
    return total


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = made.add_subparsers(dest="kind", required=True)
    for kind, what in (("t31tfm", "files or folders"), ("mtlcc", "files or folders"), ("pastis", "folder")):
        one = kinds.add_parser(kind)
        one.add_argument("target", type=Path, help="store to write (.zarr)")
        one.add_argument("source", type=Path, nargs="+" if kind != "pastis" else None, help=what)
        one.add_argument("--dates", type=int, help="dates of a window, spread evenly; default: all")
        one.add_argument("--most", type=int, help="read so many files or patches at most")
        if kind == "t31tfm":
            one.add_argument("--scale", type=int, default=1, choices=(1, 2, 4), help="of the labels")
        if kind == "pastis":
            one.add_argument("--folds", type=int, nargs="+", help="1 to 5; default: all")
            one.add_argument("--size", type=int, default=24, help="side of a window; 128: whole patches")
    return made


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    given = parser().parse_args(arguments)
    if given.dates is not None and given.dates < 1:
        raise SystemExit("--dates must be at least 1.")
    from sits_engine.errors import InputError
    from sits_engine.samples import mtlcc, pastis, t31tfm

    extra: dict[str, Any] = {
        "made_by": f"tools/convert_windows.py {given.kind}",
        "resolutions": [PIXEL_METRES],
        # every date counts, clouded or not, as published
        "mask_clouds": False,
    }
    try:
        if given.kind == "pastis":
            read = pastis.read_pastis(
                given.source, folds=given.folds, size=given.size, dates=given.dates, most=given.most
            )
            # by region: a split by folds needs to know
            chosen = [
                p for p in pastis.read_patches(given.source) if not given.folds or p.fold in given.folds
            ]
            extra["patches"] = [p.id for p in chosen[: given.most]]
            extra["folds"] = [p.fold for p in chosen[: given.most]]
            extra["regions"] = [f"patch {p.id}" for p in chosen[: given.most]]
            extra["season_years"] = [pastis.SEASON_YEAR] * len(extra["regions"])
            parts: Iterator[Any] = (windows for windows, _ in read)
        elif given.kind == "t31tfm":
            parts = samples(pickles(given.source, given.most), t31tfm.read_window, extra, scale=given.scale)
        else:
            parts = samples(pickles(given.source, given.most), mtlcc.read_window, extra)
        write(given.target, parts, given.dates, extra)
    except InputError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "engine"))
    main()
