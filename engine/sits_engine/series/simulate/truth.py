"""Parcels and the truth beside the images."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import numpy.typing as npt
import pyogrio
import rasterio
from affine import Affine

from sits_engine.outputs import side_car
from sits_engine.series.simulate.crops import CROPS
from sits_engine.series.simulate.landscape import OTHER
from sits_engine.series.simulate.region import Region, layout
from sits_engine.series.simulate.settings import FINE, PIXEL

OTHER_COLORS = ("#a8c686", "#1f5f2c", "#b0413e", "#8c8c8c", "#3b7dd8")
#: A fixed time stamp, so that the same seed gives the same file.
TIME_STAMP = "2023-12-31T00:00:00.000Z"


def class_names() -> tuple[str, ...]:
    """Names of the values 1, 2, ... of the truth rasters."""
    return (*(crop.name for crop in CROPS), *OTHER)


def write_parcels(region: Region, path: Path) -> None:
    """Parcels with id, crop (name), code and area in ha; the variety stays in the truth file."""
    frame = geopandas.GeoDataFrame(
        {
            "id": np.arange(1, len(region.fields) + 1),
            "crop": [CROPS[index].name for index in region.fields.crop],
            "code": [CROPS[index].code for index in region.fields.crop],
            "area_ha": [round(parcel.area / 1e4, 3) for parcel in region.landscape.parcels],
        },
        geometry=region.landscape.parcels,
        crs=f"EPSG:{region.setting.epsg}",
    )
    write_layer(frame, path, "parcels")


def write_layer(frame: geopandas.GeoDataFrame, path: Path, layer: str) -> None:
    """A GeoPackage with one layer; the same content gives the same bytes."""
    before = pyogrio.get_gdal_config_option("OGR_CURRENT_DATE")
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": TIME_STAMP})
    try:
        # 1.2: what QGIS 3.22 reads without a warning
        pyogrio.write_dataframe(frame, path, layer=layer, driver="GPKG", dataset_options={"VERSION": "1.2"})
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": before})


def class_maps(
    region: Region,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Truth at 5 m (2 H, 2 W), truth at 10 m (H, W) by majority, and its share in percent (H, W)."""
    values = np.append(region.fields.crop + 1, len(CROPS) + 1 + np.arange(len(OTHER))).astype(np.uint8)
    fine = values[region.rows]
    quarters = np.stack([fine[row::2, col::2] for row in (0, 1) for col in (0, 1)])
    votes = (quarters[:, None] == quarters[None]).sum(axis=0)
    winner = votes.argmax(axis=0)
    coarse = np.take_along_axis(quarters, winner[None], axis=0)[0]
    share = (25 * votes.max(axis=0)).astype(np.uint8)
    return fine, coarse, share


def write_truth(region: Region, fine_path: Path, path: Path) -> None:
    """The two truth rasters: 5 m, and 10 m with the share of the winning class as second band."""
    fine, coarse, share = class_maps(region)
    x, y = region.setting.origin
    _write(fine_path, fine[None], Affine(FINE, 0, x, 0, -FINE, y), region.setting.epsg, ("class",))
    _write(
        path,
        np.stack([coarse, share]),
        Affine(PIXEL, 0, x, 0, -PIXEL, y),
        region.setting.epsg,
        ("class", "share of the class in the pixel, percent"),
    )


def _write(
    path: Path, values: npt.NDArray[np.uint8], transform: Affine, epsg: int, bands: tuple[str, ...]
) -> None:
    colors = [crop.color for crop in CROPS] + list(OTHER_COLORS)
    photometric = "palette" if len(bands) == 1 else "minisblack"
    with rasterio.open(path, "w", **layout(values, transform, epsg), photometric=photometric) as file:
        if len(bands) == 1:
            file.write_colormap(
                1,
                {
                    value: (*(int(color[i : i + 2], 16) for i in (1, 3, 5)), 255)
                    for value, color in enumerate(colors, start=1)
                },
            )
        file.write(values)
        file.descriptions = bands
        file.update_tags(1, **{f"class_{i}": name for i, name in enumerate(class_names(), start=1)})
    # Category names have no place in a GeoTIFF, and rasterio no call for them: GDAL's side-car file.
    names = "".join(f"<Category>{escape(name)}</Category>" for name in ("", *class_names()))
    band = f'<PAMRasterBand band="1"><CategoryNames>{names}</CategoryNames></PAMRasterBand>'
    side_car(path).write_text(f"<PAMDataset>{band}</PAMDataset>\n", encoding="utf-8")


def region_facts(region: Region, covers: list[float]) -> dict[str, Any]:
    """What the truth file says of a region."""
    counts = np.bincount(region.fields.crop, minlength=len(CROPS))
    return {
        "crs": f"EPSG:{region.setting.epsg}",
        "size_pixels": region.size,
        "dates": [
            {"date": date.isoformat(), "cloud_cover": round(cover, 4)}
            for date, cover in zip(region.dates, covers, strict=True)
        ],
        "parcels": len(region.fields),
        "parcels_by_crop": {crop.name: int(n) for crop, n in zip(CROPS, counts, strict=True)},
        "days_earlier_than_calendar": {
            crop.name: round(float(days), 3) for crop, days in zip(CROPS, region.shift, strict=True)
        },
        "variety_of_parcel": {
            str(number): CROPS[crop].varieties[variety].name
            for number, (crop, variety) in enumerate(
                zip(region.fields.crop, region.fields.variety, strict=True), start=1
            )
        },
    }


def write_json(path: Path, facts: dict[str, Any]) -> None:
    """Facts as readable JSON."""
    path.write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
