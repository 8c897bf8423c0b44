"""A time series as one cube on one grid, whatever files, zones and scenes it is made of."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from affine import Affine

from sits_engine.errors import EngineError, InputError
from sits_engine.series import dates as dating
from sits_engine.series import gridding
from sits_engine.series.bands import is_spectral, match
from sits_engine.series.clouds import MaskRule, rule
from sits_engine.series.item_collection import Document, read_document
from sits_engine.series.missing import WAY_OUT, MissingImages, none_readable
from sits_engine.series.pool import DatasetPool, workers
from sits_engine.series.reader import read_scene, touches
from sits_engine.series.scenes import Scene, common_bands, over_network
from sits_engine.series.types import Cube, Grid, Missing, Window


@dataclass(frozen=True)
class TimeSeries:
    """Dates, bands and pixels of one place and season.

    Make one with `open` (an item collection) or `of_scenes`. Reading is safe from several threads.

    Attributes:
        path: the item collection.
        title: name for people.
        dates: sorted, unique; scenes of one date are mosaicked.
        bands: spectral bands that every scene has, canonical names.
        grid: the one grid that everything is read on.
        season_year: its 1 January is day 0.
        positions: (T,) int32, days since 1 January of the season year.
        scenes: scenes of each date, the preferred one first.
        mask: which pixels are clear, or None (all that have data).
        nearest: read nearest neighbours, on a coarser grid from overviews (see `overview`).
        clouds: clouded pixels keep their values and count as valid (see `with_clouds`).
        missing: images that couldn't be read so far, and whether that is allowed.
    """

    path: Path
    title: str
    dates: tuple[datetime.date, ...]
    bands: tuple[str, ...]
    grid: Grid
    season_year: int
    positions: npt.NDArray[np.int32]
    scenes: tuple[tuple[Scene, ...], ...]
    mask: MaskRule | None
    nearest: bool = False
    clouds: bool = False
    missing: MissingImages = field(default_factory=MissingImages, repr=False, compare=False)
    _pool: DatasetPool = field(default_factory=DatasetPool, repr=False, compare=False)

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        grid: Grid | None = None,
        season_year: int | None = None,
        unreadable: Literal["error", "missing"] = "error",
        notice: Callable[[str], None] | None = None,
        halted: Callable[[], bool] | None = None,
    ) -> TimeSeries:
        """Open any STAC ItemCollection.

        Args:
            path: JSON file, made by "Build image time series" or by other tools.
            grid: read on this grid instead of the series' own.
            season_year: instead of the one in the file (the year of the median date).
            unreadable: 'missing' leaves out images that can't be read: not valid where they are read.
            notice: gets a sentence when an image is tried again or left out for the first time.
            halted: whether somebody asked to stop; ends the waiting for servers.

        Raises:
            InputError: no item collection; an image is missing and that isn't allowed; no common band; fewer
                than 3 dates.
        """
        document = read_document(Path(path))
        missing = [
            (scene, href)
            for scene in document.scenes
            for href in scene.hrefs()
            if not over_network(href) and not href.startswith("/vsi") and not os.path.exists(href)
        ]
        if missing and unreadable == "error":
            scene, href = missing[0]
            more = f" and {len(missing) - 1} others" if len(missing) > 1 else ""
            raise InputError(
                f"Image of {scene.date} not found: {href}{more} (named in {path}).",
                "Put it back, or build the time series again." + WAY_OUT,
                files=[name for _, name in missing[:20]],
            )
        series = cls.of_document(Path(path), document, grid=grid, season_year=season_year)
        return dataclasses.replace(
            series,
            missing=MissingImages(unreadable == "missing", notice),
            _pool=DatasetPool(halted=halted, notice=notice),
        )

    @classmethod
    def of_document(
        cls, path: Path, document: Document, *, grid: Grid | None = None, season_year: int | None = None
    ) -> TimeSeries:
        """The series of scenes in memory; see `open`."""
        by_date: dict[datetime.date, list[Scene]] = {}
        for scene in document.scenes:
            by_date.setdefault(scene.date, []).append(scene)
        days = sorted(by_date)
        dating.check_length(days, str(path))
        spectral = [name for name in common_bands(document.scenes) if is_spectral(name)]
        every = {band.name for scene in document.scenes for band in scene.bands}
        mask = rule(every, document.mask_band, document.mask_values)
        if mask is not None:
            spectral = [name for name in spectral if name != mask.band]
        if not spectral:
            raise InputError(
                f"The images of {path} have no band in common.",
                "Use images of the same kind, or name their bands (BANDS).",
                bands={str(day): [b.name for b in by_date[day][0].bands] for day in days[:20]},
            )
        if grid is None:
            grid = document.grid or gridding.choose(spectral_grids(document.scenes, spectral))
        year = season_year or document.season_year or dating.season_year_of(days)
        ordered = tuple(
            # Stable: the newest version first, otherwise as in the file.
            tuple(sorted(by_date[day], key=lambda scene: scene.processed, reverse=True))
            for day in days
        )
        return cls(
            path=path,
            title=document.title or path.stem,
            dates=tuple(days),
            bands=tuple(spectral),
            grid=grid,
            season_year=year,
            positions=dating.positions(days, year),
            scenes=ordered,
            mask=mask,
        )

    def with_grid(self, grid: Grid) -> TimeSeries:
        """The same series read on another grid; open files are shared."""
        return dataclasses.replace(self, grid=grid)

    def with_clouds(self) -> TimeSeries:
        """The same series read with clouded pixels, as models of the published form were trained."""
        return dataclasses.replace(self, clouds=True)

    def saying_retries(self, notice: Callable[[str], None]) -> TimeSeries:
        """The same series with open files of its own; `notice` gets a sentence when one is tried again."""
        return dataclasses.replace(self, _pool=DatasetPool(notice=notice))

    def overview(self, size: int) -> tuple[TimeSeries, int]:
        """(the series on a grid of at most about `size` cells a side, pixels a cell); for pictures.

        A cell shows one of its pixels. Overviews and resolution levels of the files are used.
        """
        step = max(1, -(-max(self.grid.height, self.grid.width) // size))
        if step == 1:
            return self, 1
        height, width = max(1, self.grid.height // step), max(1, self.grid.width // step)
        grid = Grid(self.grid.crs, self.grid.transform * Affine.scale(step), height, width)
        return dataclasses.replace(self, grid=grid, nearest=True), step

    def close(self) -> None:
        """Close open files; the series stays usable."""
        self._pool.close()

    def match_bands(self, wanted: Sequence[str]) -> list[str]:
        """Own names of the wanted bands, in their order ('blue' finds B02, 'ndvi' finds NDVI).

        Raises:
            InputError: names the missing bands, both lists, and dates that lack a band that others have.
        """
        found, missing = match(self.bands, wanted)
        if not missing:
            return found
        hints = []
        for name in missing:
            lacking = [
                day
                for day, scenes in zip(self.dates, self.scenes, strict=True)
                if any(match([b.name for b in scene.bands], [name])[1] for scene in scenes)
            ]
            if len(lacking) < len(self.dates):
                shown = ", ".join(day.isoformat() for day in lacking[:3])
                hints.append(f"{name} is missing in {len(lacking)} of {len(self.dates)} dates ({shown} ...)")
        hint = f" {'; '.join(hints)}." if hints else ""
        raise InputError(
            f"The series {self.path.name} has no band {', '.join(missing)}.{hint} "
            f"Wanted: {', '.join(wanted)}; "
            f"in the series: {', '.join(self.bands)}.",
            "Use a series with these bands, or other bands.",
            missing=missing,
            wanted=list(wanted),
            available=list(self.bands),
        )

    def fingerprint(self) -> str:
        """Hash that changes when files, dates, bands, scales, mask or grid change."""
        plain: list[Any] = [gridding.to_json(self.grid), self.season_year, self.bands]
        plain += [self.fingerprint_of(t) for t in range(len(self.dates))]
        return hashlib.sha256(json.dumps(plain, sort_keys=True, default=str).encode()).hexdigest()

    def fingerprint_of(self, t: int) -> str:
        """Hash of one date: files, bands, scales, mask and grid."""
        mask = None if self.mask is None else [self.mask.band, self.mask.not_clear]
        plain: list[Any] = [self.dates[t].isoformat(), gridding.to_json(self.grid), mask]
        for scene in self.scenes[t]:
            plain.append([scene.id, {href: _stat(href) for href in scene.hrefs()}])
            plain += [[b.name, b.href, b.index, b.nodata, b.scale, b.offset] for b in scene.bands]
        return hashlib.sha256(json.dumps(plain, sort_keys=True, default=str).encode()).hexdigest()

    def number_type(self, bands: Sequence[str]) -> np.dtype[Any]:
        """The number type that holds these bands of all scenes."""
        kinds = {
            band.dtype
            for scenes in self.scenes
            for scene in scenes
            for band in scene.bands
            if band.name in bands
        }
        return np.result_type(*sorted(kinds))

    def read(self, window: Window, bands: Sequence[str], *, keep_clouds: bool = False) -> Cube:
        """Read a window of all dates.

        Args:
            window: part of the grid; may reach over its edge (missing there).
            bands: names as in `bands`.
            keep_clouds: keep the values of clouded pixels (`valid` is then `observed`).

        Returns:
            Cube of T dates, len(bands) bands, window.height x window.width.

        Raises:
            InputError: unknown band; an image is missing or damaged (named). EngineError NETWORK for URLs.
        """
        unknown = [name for name in bands if name not in self.bands]
        if unknown:
            self.match_bands(unknown)  # raises unless it is only another spelling
            bands = self.match_bands(bands)
        shape = (len(self.dates), len(bands), window.height, window.width)
        values = np.zeros(shape, dtype=self.number_type(bands))
        valid = np.zeros((shape[0], *shape[2:]), dtype=bool)
        observed = np.zeros_like(valid)
        keep_clouds = keep_clouds or self.clouds
        scale = np.ones(shape[:2], dtype=np.float32)
        offset = np.zeros(shape[:2], dtype=np.float32)

        def one_date(t: int) -> list[Missing]:
            scale[t], offset[t] = self.numbers(t, bands)
            return self.read_date(t, window, bands, values[t], valid[t], observed[t], keep_clouds=keep_clouds)

        pool = workers(self.remote)
        futures = [pool.submit(one_date, t) for t in range(shape[0])]
        try:
            missing = [one for future in futures for one in future.result()]
        except BaseException:
            for future in futures:
                future.cancel()
            raise
        if len(missing) >= dating.MIN_DATES and not observed.any():
            raise none_readable(missing)
        return Cube(values, valid, observed, scale, offset, tuple(missing))

    @property
    def remote(self) -> bool:
        """True where an image lies on a server."""
        return any(over_network(b.href) for scenes in self.scenes for scene in scenes for b in scene.bands)

    def numbers(self, t: int, bands: Sequence[str]) -> tuple[list[float], list[float]]:
        """Scales and offsets of a date: its first scene's, which `read_date` converts the others to."""
        first = {band.name: band for band in self.scenes[t][0].bands}
        return [first[name].scale for name in bands], [first[name].offset for name in bands]

    def read_date(
        self,
        t: int,
        window: Window,
        bands: Sequence[str],
        values: npt.NDArray[Any],
        valid: npt.NDArray[np.bool_],
        observed: npt.NDArray[np.bool_],
        *,
        keep_clouds: bool = False,
        mask: npt.NDArray[Any] | None = None,
    ) -> list[Missing]:
        """Mosaic the scenes of date `t` into arrays: a pixel comes from the first scene where it is clear.

        Args:
            values: (C, H, W) zeros; 0 stays where not valid.
            valid, observed: (H, W), overwritten.
            mask: (H, W), gets the values of the mask band.

        Returns:
            Images that were left out, since they can't be read.

        Raises:
            EngineError: an image can't be read, and that isn't allowed.
        """
        missing: list[Missing] = []
        rank = np.zeros(valid.shape, dtype=np.uint8)  # 0 nothing, 1 clouded, 2 clear
        numbers = np.array(self.numbers(t, bands))
        untouched = True
        for scene in self.scenes[t]:
            part = values if untouched else np.zeros_like(values)
            try:
                if self.missing.given_up(scene) and touches(scene, bands, self.grid, window):
                    missing.append(self.missing.skipped(scene, window))
                    continue
                got = read_scene(
                    self._pool, scene, bands, self.mask, self.grid, window, part, nearest=self.nearest
                )
            except EngineError as error:
                missing.append(self.missing.left_out(scene, window, error))
                part[:] = 0
                continue
            if got is None:
                continue
            self.missing.seen(scene)
            seen, clear, classes = got
            own = _scales(scene, bands)
            if not np.array_equal(own, numbers):
                _convert(part, own, numbers)
            new_rank = seen.astype(np.uint8) + clear
            better = new_rank > rank
            if untouched:
                rank[:] = new_rank
                untouched = False
            else:
                np.copyto(values, part, where=better)
                np.copyto(rank, new_rank, where=better)
            if mask is not None and classes is not None:
                np.copyto(mask, classes, where=better, casting="unsafe")
            if rank.min(initial=2) == 2:
                break
        np.greater(rank, 0, out=observed)
        np.greater(rank, 0 if keep_clouds else 1, out=valid)
        if values.dtype.kind in "iu":
            np.multiply(values, valid.astype(values.dtype), out=values)  # 40 times faster than copyto
        else:
            np.copyto(values, 0, where=~valid)  # NaN * 0 would stay NaN
        return missing


def spectral_grids(scenes: Sequence[Scene], bands: Sequence[str]) -> list[Grid]:
    """Grids of the wanted bands, one entry a scene and resolution: the votes for the grid of the series."""
    found: list[Grid] = []
    for scene in scenes:
        found += dict.fromkeys(band.grid for band in scene.bands if band.name in bands)
    return found


def _scales(scene: Scene, bands: Sequence[str]) -> npt.NDArray[np.float64]:
    """(2, C) scales and offsets of a scene."""
    by_name = {band.name: band for band in scene.bands}
    return np.array([[by_name[name].scale for name in bands], [by_name[name].offset for name in bands]])


def _convert(values: npt.NDArray[Any], own: npt.NDArray[np.float64], target: npt.NDArray[np.float64]) -> None:
    """Express numbers of a scene in the scale and offset of the date's first scene, in place."""
    for band, (s, o), (s_new, o_new) in zip(values, own.T, target.T, strict=True):
        if (s, o) == (s_new, o_new):
            continue
        numbers = (band.astype(np.float64) * s + (o - o_new)) / s_new
        if band.dtype.kind in "iu":
            limits = np.iinfo(band.dtype)
            numbers = np.clip(np.rint(numbers), limits.min, limits.max)
        band[:] = numbers


def _stat(href: str) -> tuple[int, int] | None:
    """(size, time of change) of a local file."""
    try:
        found = os.stat(href)
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
