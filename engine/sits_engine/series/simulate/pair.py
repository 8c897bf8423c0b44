"""Both regions and the truth, as a folder that appears complete."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sits_engine import __version__
from sits_engine.context import JobContext
from sits_engine.errors import EngineError, InputError
from sits_engine.outputs import check_writable, discard, naming_full_disk, partial, publish
from sits_engine.series.simulate import truth
from sits_engine.series.simulate.crops import CROPS
from sits_engine.series.simulate.landscape import OTHER
from sits_engine.series.simulate.photos import write_photos
from sits_engine.series.simulate.region import Region, make_region, write_images
from sits_engine.series.simulate.settings import DIFFICULTIES, REGION_A, REGION_B, YEAR

FORMAT = "sits-demo/1"

README = """SIMULATED DATA - nothing in this folder was measured.

Made by SITS for QGIS {version}, "Create demo data", difficulty {difficulty}, seed {seed}.
Two farming regions of {size} x {size} pixels of 10 m with {dates} dates each, as a sensor like Sentinel-2
would see them: ten bands (reflectance x 10000; 0 is no data) and the scene classification SCL as last band.
Places, fields and crops are invented.

region_a/images/   one GeoTIFF a date, the date is in the name
region_a/parcels.gpkg   fields with the crop grown on them (field "crop")
region_a/truth.tif   true class of each pixel and its share of the pixel; names in truth.json
region_a/truth_5m.tif   true class at 5 m
region_b/   the same for a region where everything happens {shift:g} days earlier in the year, with other
            shares of the crops, other varieties, soils and dates
truth.json   classes, shift, dates with their cloud cover, varieties, parameters, seed

{photos}How it was made: docs/demo-data.md of SITS for QGIS.
"""
PHOTOS_README = """region_a/photos.gpkg, region_a/photos/   {places} places, four ground photos each
            (JPEG with position), drawn, not taken
region_a/photos_train.gpkg, photos_test.gpkg   the same by field "split": whole blocks are for tests
region_a/captions.csv   sentences about the photos; those of split "test" are worded otherwise
region_b/   the same
clip/   if it was asked for: a toy CLIP model that learned from the photos and sentences of region B only

"""


@dataclass(frozen=True)
class DemoPaths:
    """Where everything is."""

    folder: Path
    images_a: Path
    parcels_a: Path
    truth_a: Path
    images_b: Path
    parcels_b: Path
    truth_b: Path
    truth: Path
    photos_a: Path
    photos_b: Path
    captions_a: Path
    captions_b: Path
    clip: Path


def demo_paths(folder: Path) -> DemoPaths:
    """Paths of a demo in `folder`."""
    a, b = folder / REGION_A.name, folder / REGION_B.name
    return DemoPaths(
        folder,
        a / "images",
        a / "parcels.gpkg",
        a / "truth.tif",
        b / "images",
        b / "parcels.gpkg",
        b / "truth.tif",
        folder / "truth.json",
        a / "photos.gpkg",
        b / "photos.gpkg",
        a / "captions.csv",
        b / "captions.csv",
        folder / "clip",
    )


def simulate_pair(
    folder: Path,
    *,
    size: int,
    dates: int,
    shift_days: float,
    difficulty: str,
    seed: int,
    ctx: JobContext,
    photo_places: int = 0,
    end: float = 1.0,
) -> DemoPaths:
    """Write both regions. The same arguments give the same files, byte for byte.

    Args:
        folder: made if missing; a demo that is already there is replaced, anything else is left alone.
        size: pixels a side, even.
        dates: of each region.
        shift_days: days that region B is earlier than region A.
        difficulty: key of `DIFFICULTIES`.
        seed: of everything random.
        ctx: progress and cancellation.
        photo_places: of each region, with four drawn ground photos each; 0 draws none.
        end: share of the job's progress that is reached when all is there.

    Raises:
        InputError: unknown difficulty, odd size, or files of another origin under the names of the demo.
        EngineError: OUTPUT_NOT_WRITABLE, DISK_FULL.
    """
    if difficulty not in DIFFICULTIES:
        raise InputError(f"Unknown difficulty '{difficulty}'.", f"Choose one of: {', '.join(DIFFICULTIES)}.")
    if size % 2:
        raise InputError(f"The size must be an even number of pixels, not {size}.", f"Use {size + 1}.")
    paths = demo_paths(folder)
    if folder.exists() and not folder.is_dir():
        raise EngineError("OUTPUT_NOT_WRITABLE", f"{folder} is a file, not a folder.", "Choose a folder.")
    check_writable(paths.truth)
    _check_free(paths)
    facts: dict[str, Any] = {
        "format": FORMAT,
        "note": "Simulated by SITS for QGIS; nothing here was measured.",
        "version": __version__,
        "seed": seed,
        "difficulty": difficulty,
        "parameters": asdict(DIFFICULTIES[difficulty]),
        "season_year": YEAR,
        "shift_days": shift_days,
        "shift_meaning": "region B is earlier by this; added to the day positions of B it gives those of A",
        "classes": [
            {"value": value, "name": name, "color": color, "code": code}
            for value, (name, color, code) in enumerate(
                zip(
                    truth.class_names(),
                    [*(crop.color for crop in CROPS), *truth.OTHER_COLORS],
                    [*(crop.code for crop in CROPS), *("" for _ in OTHER)],
                    strict=True,
                ),
                start=1,
            )
        ],
        "varieties": {crop.name: [asdict(v) for v in crop.varieties] for crop in CROPS},
        "regions": {},
    }
    readme = folder / "README.txt"
    unfinished: dict[Path, Path] = {}
    try:
        for number, setting in enumerate((REGION_A, REGION_B)):
            final = folder / setting.name
            work = unfinished_folder(final)
            unfinished[work] = final
            shares = (0.5 * end * number, 0.5 * end * (number + 1))
            letter = "AB"[number]
            ctx.progress(shares[0], f"Laying out fields of region {letter}")
            region = make_region(
                setting, DIFFICULTIES[difficulty], seed, size, dates, shift_days if number else 0.0
            )
            with naming_full_disk(folder):
                covers = _write_region(region, work, ctx, shares, letter, photo_places)
            facts["regions"][setting.name] = truth.region_facts(region, covers)
        for path in (readme, paths.truth):
            unfinished[partial(path)] = path
        for temporary, path in unfinished.items():
            if path == readme:
                words = README.format(
                    version=__version__,
                    difficulty=difficulty,
                    seed=seed,
                    size=size,
                    dates=dates,
                    shift=shift_days,
                    photos=PHOTOS_README.format(places=photo_places) if photo_places else "",
                )
                temporary.write_text(words, encoding="utf-8")
            elif path == paths.truth:
                truth.write_json(temporary, facts)
        ctx.check_cancelled()
        # The truth file is published last; an old one stays until then, so that a demo that was half
        # replaced when the power failed is still known as a demo.
        for final in unfinished.values():
            if final.is_dir():
                discard(final)
        publish(unfinished)
    except BaseException:
        for temporary in unfinished:
            discard(temporary)
        raise
    ctx.progress(end, "Done")
    return paths


def unfinished_folder(final: Path) -> Path:
    """An empty temporary neighbour of the folder `final`."""
    work = partial(final)
    discard(work)
    work = partial(final)
    work.mkdir()
    return work


def _write_region(
    region: Region,
    work: Path,
    ctx: JobContext,
    shares: tuple[float, float],
    letter: str,
    photo_places: int,
) -> list[float]:
    """Files of one region; returns the cloud cover of each date."""
    truth.write_parcels(region, work / "parcels.gpkg")
    truth.write_truth(region, work / "truth_5m.tif", work / "truth.tif")
    start, end = shares
    until = start + (end - start) * (0.3 if photo_places else 0.98)
    part = ctx.part(start + 0.06 * (end - start), until, f"Simulating images of region {letter}")
    covers = [cover for _, cover in write_images(region, work / "images", part, ctx.check_cancelled)]
    if photo_places:
        part = ctx.part(until, end - 0.01, f"Drawing photos of region {letter}")
        write_photos(region, work, photo_places, part, ctx.check_cancelled)
    return covers


def _check_free(paths: DemoPaths) -> None:
    """Only a demo may be replaced: the marker is the format line of its truth file."""
    taken = [path for path in (paths.images_a.parent, paths.images_b.parent) if path.exists()]
    if not taken and not paths.truth.exists():
        return
    try:
        ours = f'"format": "{FORMAT}"' in paths.truth.read_text(encoding="utf-8")[:200]
    except (OSError, UnicodeDecodeError):
        ours = False
    if not ours:
        name = taken[0] if taken else paths.truth
        raise InputError(
            f"{name} exists and is not demo data, so it is not replaced.",
            "Choose another or an empty folder.",
        )
