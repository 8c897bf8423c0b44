"""Maps as cloud-optimised GeoTIFFs, with colour table and category names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError

from sits_engine.errors import EngineError
from sits_engine.outputs import VIRTUAL, discard, partial, side_car
from sits_engine.series.types import Grid

BLOCK = 256
#: GDAL's cache while a map is written (MB); windows come row by row, so that a little is enough.
CACHE_MB = 64
#: GDAL's settings while it writes one. Compressed, its overviews of several bands lie there as many times as
#: they have bands: more bytes than the pixels, and most of the time.
WRITING = {
    "GDAL_CACHEMAX": CACHE_MB,
    "GDAL_PAM_ENABLED": True,
    "GDAL_TIFF_INTERNAL_MASK": True,
    "COG_TMP_COMPRESSION": "NONE",
}


@dataclass(frozen=True)
class BandInfo:
    """What a map band says about itself.

    Attributes:
        description: name of the band for people.
        nodata: value that means "nothing here"; NaN of numbers with fractions.
        unit: unit of the values, '' if they have none.
        categories: names of the values 0, 1, 2, …; empty if the values are no categories.
        colors: '#rrggbb' of the values 1, 2, …; value 0 is transparent.
    """

    description: str
    nodata: float
    unit: str = ""
    categories: Sequence[str] = field(default_factory=tuple)
    colors: Sequence[str] = field(default_factory=tuple)


@dataclass(frozen=True)
class Layers:
    """What the bands of a file beside the class map hold.

    Attributes:
        bands: one for each number of a pixel.
        dtype: 'uint8' (categories, percent) or 'float32' (NaN where there is nothing).
    """

    bands: Sequence[BandInfo]
    dtype: str = "uint8"

    @property
    def nodata(self) -> float:
        """Value of all bands that means "nothing here"."""
        return self.bands[0].nodata

    @property
    def bytes_of_a_pixel(self) -> int:
        """In a plain raster."""
        return len(self.bands) * np.dtype(self.dtype).itemsize


def create_plain(path: Path, grid: Grid, count: int, nodata: float, dtype: str = "uint8") -> Any:
    """Open a new GeoTIFF for writing in any order: not compressed, so that blocks stay in place."""
    return rasterio.open(
        path,
        "w+",
        driver="GTiff",
        width=grid.width,
        height=grid.height,
        count=count,
        dtype=dtype,
        crs=grid.crs,
        transform=grid.transform,
        nodata=nodata,
        tiled=True,
        blockxsize=BLOCK,
        blockysize=BLOCK,
        interleave="band",
        bigtiff="IF_SAFER",
    )


def write_cog(
    sources: Sequence[tuple[Path, int]],
    target: Path,
    grid: Grid,
    bands: Sequence[BandInfo],
    tags: Mapping[str, str],
    tick: Callable[[], None] = lambda: None,
    dtype: str = "uint8",
) -> list[Path]:
    """Write a cloud-optimised GeoTIFF from plain rasters.

    A virtual raster carries what can't be set any more once pixels are written (GDAL 3.10 and newer refuse
    a colour table then), and GDAL's COG driver copies it: 256 x 256 blocks, DEFLATE, overviews by nearest
    neighbour (categories can't be averaged) or, of float32, by average. Category names have no place in a
    GeoTIFF; the driver writes them to `target` + '.aux.xml', which belongs to the map and must be published
    with it.

    Args:
        sources: (file, band number) of each band.
        target: file to write; its folder also holds the virtual raster for a moment.
        grid: grid of the map.
        bands: what each band says about itself.
        tags: metadata of the file; the same tags and pixels give the same bytes.
        tick: called before the copy.
        dtype: of all bands, uint8 or float32.

    Returns:
        The files written, the main one last; what else was written beside them is gone, in any case.

    Raises:
        EngineError: DISK_FULL if what was written can't be read back.
    """
    virtual = target.with_name(target.name + VIRTUAL)
    extra = side_car(target)
    for path in (target, extra):
        path.unlink(missing_ok=True)
    try:
        virtual.write_text(_vrt(sources, grid, bands, tags, dtype), encoding="utf-8")
        tick()
        with rasterio.Env(**WRITING):
            rasterio.shutil.copy(
                str(virtual),
                str(target),
                driver="COG",
                compress="DEFLATE",
                level="6",
                blocksize=str(BLOCK),
                overviews="IGNORE_EXISTING",
                overview_resampling="AVERAGE" if dtype == "float32" else "NEAREST",
                predictor="YES" if dtype == "float32" else "NO",
                bigtiff="IF_SAFER",
                num_threads="1",
            )
        virtual.unlink()
        check_readable(target)
    except BaseException:
        discard(target)
        raise
    return [extra, target] if extra.exists() else [target]


def named(files: Sequence[Path], final: Path) -> dict[Path, Path]:
    """Files of `write_cog` -> their final names, for `outputs.publish`; the main file last."""
    *extra, main = files
    own = side_car(final)
    # registered, so that it goes away with the main file if the job ends here
    return {path.rename(partial(own)): own for path in extra} | {main: final}


def check_readable(path: Path) -> None:
    """Read the last block of every level: GDAL may notice a full disk only when it closes a file."""
    try:
        with rasterio.open(path) as written:
            levels = len(written.overviews(1))
            for level in range(-1, levels):
                options = {} if level < 0 else {"overview_level": level}
                with rasterio.open(path, **options) as image:
                    *_, last = image.block_windows(1)
                    image.read(window=last[1])
    except RasterioError as error:
        raise EngineError(
            "DISK_FULL",
            f"{path.name} could not be written completely: {error}.",
            "Free some space, or choose an output folder on another disk; then run it again.",
        ) from error


def rgb(color: str) -> tuple[int, int, int]:
    """(red, green, blue) 0..255 of '#rrggbb'."""
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def _vrt(
    sources: Sequence[tuple[Path, int]],
    grid: Grid,
    bands: Sequence[BandInfo],
    tags: Mapping[str, str],
    dtype: str,
) -> str:
    kind = {"uint8": "Byte", "float32": "Float32"}[dtype]
    t = grid.transform
    geo = ", ".join(repr(float(v)) for v in (t.c, t.a, t.b, t.f, t.d, t.e))
    parts = [
        f'<VRTDataset rasterXSize="{grid.width}" rasterYSize="{grid.height}">',
        f"<SRS>{escape(grid.crs)}</SRS><GeoTransform>{geo}</GeoTransform><Metadata>",
        *(f'<MDI key="{escape(k)}">{escape(v)}</MDI>' for k, v in sorted(tags.items())),
        "</Metadata>",
    ]
    for number, ((path, index), band) in enumerate(zip(sources, bands, strict=True), start=1):
        interpretation = ColorInterp.palette if band.colors else ColorInterp.gray
        parts += [
            f'<VRTRasterBand dataType="{kind}" band="{number}">',
            f"<Description>{escape(band.description)}</Description>",
            f"<NoDataValue>{band.nodata}</NoDataValue>",
            f"<UnitType>{escape(band.unit)}</UnitType>" if band.unit else "",
            f"<ColorInterp>{interpretation.name.capitalize()}</ColorInterp>",
        ]
        if band.colors:
            entries = [(0, 0, 0, 0), *((*rgb(color), 255) for color in band.colors)]
            rows = (f'<Entry c1="{r}" c2="{g}" c3="{b}" c4="{a}"/>' for r, g, b, a in entries)
            parts.append(f"<ColorTable>{''.join(rows)}</ColorTable>")
        if band.categories:
            names = (f"<Category>{escape(name)}</Category>" for name in band.categories)
            parts.append(f"<CategoryNames>{''.join(names)}</CategoryNames>")
        name = escape(str(path.absolute()))
        parts += [
            f'<SimpleSource><SourceFilename relativeToVRT="0">{name}</SourceFilename>',
            f"<SourceBand>{index}</SourceBand></SimpleSource></VRTRasterBand>",
        ]
    return "".join([*parts, "</VRTDataset>"])
