"""From sources of images to a checked time series file."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sits_engine.context import JobContext
from sits_engine.errors import InputError
from sits_engine.series import dates as dating
from sits_engine.series import gridding
from sits_engine.series.bands import is_spectral
from sits_engine.series.clip import Compression, clip
from sits_engine.series.clouds import rule
from sits_engine.series.duplicates import drop_older_versions
from sits_engine.series.item_collection import Document, write_document
from sits_engine.series.raster_files import NumberRules, find, scenes_of_files
from sits_engine.series.reader import footprint
from sits_engine.series.safe import is_product, products, scenes_of_products
from sits_engine.series.scenes import Scene, common_bands
from sits_engine.series.stac import Query, scenes_of_stac
from sits_engine.series.time_series import TimeSeries, spectral_grids
from sits_engine.series.types import Grid


@dataclass(frozen=True)
class Sources:
    """Where the images come from (exactly one of folder, layers and stac), and which of them."""

    folder: Path | None = None
    layers: tuple[str, ...] = ()
    stac: str | None = None
    collections: tuple[str, ...] = ()
    start: datetime.date | None = None
    end: datetime.date | None = None
    max_cloud: float | None = None
    auth_header: str | None = None
    date_pattern: str | None = None


@dataclass(frozen=True)
class BuildOptions:
    """How they become a series; empty or None means: as the files say."""

    extent: str | None = None
    bands: tuple[str, ...] = ()
    mask_band: str | None = None
    mask_values: tuple[int, ...] = ()
    scale: float | None = None
    offset: float | None = None
    season_year: int | None = None
    resolution: float | None = None
    crs: str | None = None
    clip_folder: Path | None = None
    clip_compression: Compression = "DEFLATE"


def build(
    sources: Sources,
    options: BuildOptions,
    output: Path,
    ctx: JobContext,
    check: Callable[[Iterable[str]], None] = lambda hrefs: None,
) -> TimeSeries:
    """Find and check the scenes, choose the grid, write `output`, and open it.

    Args:
        check: gets the addresses of all images before anything is written; raises to refuse them.

    Raises:
        InputError: see the modules of the sources; too few dates; no band in common; nothing in the extent.
    """
    extent = gridding.parse_extent(options.extent) if options.extent else None
    target = gridding.parse_crs(options.crs) if options.crs else None
    tick = ctx.part(0.0, 0.35, "Looking at the images")
    scenes = _find(sources, options, extent, tick, ctx)
    scenes = _select(scenes, sources)
    check(href for scene in scenes for href in scene.hrefs())
    dating.check_length(sorted({scene.date for scene in scenes}), _name(sources))
    ctx.progress(0.36, "Choosing the grid")
    spectral, mask_band, mask_values = _bands(scenes, options, ctx)
    scenes, grid = _grid(scenes, spectral, extent, options.resolution, target, ctx)
    dating.check_length(sorted({scene.date for scene in scenes}), f"of {_name(sources)} within the extent")
    ctx.progress(0.38, "Looking for duplicates")
    scenes = drop_older_versions(scenes, ctx.warn)
    document = Document(
        scenes=tuple(sorted(scenes, key=lambda scene: (scene.when, scene.id))),
        grid=grid,
        title=_title(sources, output),
        season_year=options.season_year or dating.season_year_of(sorted({scene.date for scene in scenes})),
        mask_band=mask_band,
        mask_values=mask_values,
    )
    if options.clip_folder is not None:
        series = TimeSeries.of_document(output, document)
        share = ctx.part(0.4, 0.8, "Copying the images")
        scenes = clip(series, options.clip_folder, share, options.clip_compression, ctx.info)
        document = replace(document, scenes=tuple(scenes))
    ctx.progress(0.8 if options.clip_folder else 0.4, "Writing the time series")
    write_document(output, document)
    return TimeSeries.open(output)


def _name(sources: Sources) -> str:
    if sources.layers:
        return f"of {len(sources.layers)} layers"
    return str(sources.folder or sources.stac)


def _title(sources: Sources, output: Path) -> str:
    if sources.folder is not None and sources.folder.name.lower() not in ("images", "data", "img", ""):
        return sources.folder.name
    return output.stem


def _find(
    sources: Sources,
    options: BuildOptions,
    extent: tuple[gridding.Bounds, str | None] | None,
    tick: Callable[[float], None],
    ctx: JobContext,
) -> list[Scene]:
    """All scenes of the source."""
    if sources.stac is not None:
        query = Query(
            collections=sources.collections,
            extent=extent,
            start=sources.start,
            end=sources.end,
            max_cloud=sources.max_cloud,
            auth_header=sources.auth_header,
        )
        return scenes_of_stac(sources.stac, query, tick, ctx)
    rules = NumberRules(options.bands or None, options.scale, options.offset, options.mask_band)
    if sources.folder is not None:
        found = products(sources.folder)
        if found:
            return scenes_of_products(found, tick, ctx)
        paths = find(sources.folder)
    else:
        paths = [Path(layer.split("|")[0]) for layer in sources.layers]
        safe = [path for path in paths if is_product(path)]
        if safe:
            return scenes_of_products(safe, tick, ctx)
    return scenes_of_files(paths, rules, date_pattern=sources.date_pattern, tick=tick)


def _select(scenes: Sequence[Scene], sources: Sources) -> list[Scene]:
    """Scenes within the dates and the cloud limit (a scene whose cover isn't known is kept)."""
    if not scenes:
        raise InputError(
            f"No images found in {_name(sources)}.", "Check the place, the dates and the cloud limit."
        )
    inside = [
        scene
        for scene in scenes
        if (sources.start is None or scene.date >= sources.start)
        and (sources.end is None or scene.date <= sources.end)
        and (sources.max_cloud is None or scene.cloud_cover is None or scene.cloud_cover <= sources.max_cloud)
    ]
    if not inside:
        days = sorted(scene.date for scene in scenes)
        raise InputError(
            f"None of the {len(scenes)} images ({days[0]} to {days[-1]}) lies within the dates and the cloud "
            "limit.",
            "Widen START_DATE, END_DATE or MAX_CLOUD.",
        )
    return inside


def _bands(
    scenes: Sequence[Scene], options: BuildOptions, ctx: JobContext
) -> tuple[list[str], str | None, tuple[int, ...] | None]:
    """Spectral bands that all have, the mask band and its values; warns of what is left out."""
    every = list(dict.fromkeys(band.name for scene in scenes for band in scene.bands))
    mask = rule(every, options.mask_band, options.mask_values or None)
    shared = common_bands(scenes)
    spectral = [name for name in shared if is_spectral(name) and (mask is None or name != mask.band)]
    if not spectral:
        kinds = Counter(", ".join(band.name for band in scene.bands) for scene in scenes)
        listed = "; ".join(f"{names} ({count} images)" for names, count in kinds.most_common(3))
        raise InputError(
            f"The images have no spectral band in common: {listed}.",
            "Use images of the same kind, or name their bands (BANDS).",
        )
    for name in every:
        lacking = [scene for scene in scenes if scene.band(name) is None]
        if lacking and (is_spectral(name) or (mask is not None and name == mask.band)):
            what = (
                "is not used"
                if is_spectral(name)
                else "is the cloud mask; without it every pixel counts as clear"
            )
            ctx.warn(
                f"{name} is missing in {len(lacking)} of {len(scenes)} images (first: {lacking[0].id}); "
                f"it {what}."
            )
    if any(name.startswith("band") and name[4:].isdigit() for name in spectral):
        ctx.warn(
            "The images don't name their bands, so they are called band1, band2 ...; BANDS gives them names."
        )
    if mask is None:
        ctx.info("No cloud mask (no SCL band, no MASK_BAND): every pixel with data counts as clear.")
        return spectral, None, None
    return spectral, mask.band, mask.not_clear


def _grid(
    scenes: Sequence[Scene],
    spectral: Sequence[str],
    extent: tuple[gridding.Bounds, str | None] | None,
    resolution: float | None,
    target: str | None,
    ctx: JobContext,
) -> tuple[list[Scene], Grid]:
    """The common grid, and the scenes that touch it."""

    def chosen(some: Sequence[Scene]) -> Grid:
        votes = spectral_grids(some, spectral)
        return gridding.choose(votes, extent=extent, resolution=resolution, crs=target)

    grid = chosen(scenes)
    touching = list(scenes)
    if extent is not None:
        touching = [s for s in scenes if _touches(s, spectral, grid)]
        if not touching:
            boxes = gridding.union(
                footprint(g, grid) for g in dict.fromkeys(spectral_grids(scenes, spectral))
            )
            raise InputError(
                f"The extent doesn't touch the images: extent {_rounded(grid.bounds)}, "
                f"images {_rounded(boxes)} "
                f"(in {gridding.label(grid.crs)}).",
                "Choose an extent within the images.",
            )
        grid = chosen(touching)
    kinds = list(dict.fromkeys(band.grid.crs for scene in touching for band in scene.bands))
    different = [crs for crs in kinds if not gridding.same_crs(crs, grid.crs)]
    if different:
        names = ", ".join(dict.fromkeys(gridding.label(crs) for crs in different))
        ctx.warn(
            f"The images have several coordinate systems: {names} beside {gridding.label(grid.crs)}. "
            f"All are read in {gridding.label(grid.crs)} (bilinear)."
        )
    return touching, grid


def _touches(scene: Scene, names: Sequence[str], grid: Grid) -> bool:
    grids = {band.grid for band in scene.bands if band.name in names}
    return any(gridding.intersects(footprint(own, grid), grid.bounds) for own in grids)


def _rounded(box: gridding.Bounds) -> str:
    digits = 4 if max(abs(v) for v in box) <= 400 else 0
    return f"x {box[0]:.{digits}f} to {box[2]:.{digits}f}, y {box[1]:.{digits}f} to {box[3]:.{digits}f}"
