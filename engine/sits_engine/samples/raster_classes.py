"""What a class raster says of its values: names, colours and label codes that travel inside of the file."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sits_engine.outputs import side_car

#: Metadata item of a raster that holds its classes as JSON: value, name, color, codes.
CLASSES_TAG = "SITS_CLASSES"
#: Metadata item of masks: score of the background.
MASKS_TAG = "SITS_THRESHOLD"
MAX_VALUE = 255


@dataclass(frozen=True)
class MapClass:
    """One class of a map; `codes` are the labels of a field that mean it."""

    value: int
    name: str
    color: str
    codes: tuple[str, ...] = ()


def named_classes(path: Path) -> list[MapClass]:
    """Classes that a raster names itself: by its tag, else by the category names of band 1; [] if it doesn't.

    Without a colour table the colour is ''. Rasters that can't be read name nothing.
    """
    import rasterio
    from rasterio.errors import RasterioError

    try:
        with rasterio.open(path) as image:
            tagged = from_tag(image.tags().get(CLASSES_TAG))
            nodata, colors = image.nodata, band_colors(image)
    except RasterioError:
        return []
    names = category_names(path)
    return tagged or [
        MapClass(value, name.strip(), colors.get(value, ""), (str(value),))
        for value, name in enumerate(names)
        if value and value != nodata and name.strip()
    ]


def drawn_from_ticks(path: Path) -> bool:
    """Is it a raster of masks that 'Make pseudo masks' wrote? False if it can't be read."""
    import rasterio
    from rasterio.errors import RasterioError

    try:
        with rasterio.open(path) as image:
            return MASKS_TAG in image.tags()
    except RasterioError:
        return False


def classes_tag(classes: Sequence[MapClass]) -> str:
    """JSON of `CLASSES_TAG`."""
    plain = [{"value": c.value, "name": c.name, "color": c.color, "codes": list(c.codes)} for c in classes]
    return json.dumps(plain, ensure_ascii=False)


def from_tag(text: str | None) -> list[MapClass]:
    """Classes of the metadata item; [] without it, or where another program has one of this name."""
    try:
        return [
            MapClass(int(c["value"]), str(c["name"]), str(c["color"]), tuple(str(x) for x in c["codes"]))
            for c in json.loads(text or "[]")
            if 1 <= int(c["value"]) <= MAX_VALUE
        ]
    except (ValueError, KeyError, TypeError):
        return []


def band_colors(image: Any) -> dict[int, str]:
    """'#rrggbb' by value of the colour table of band 1; {} without one.

    Args:
        image: an open rasterio data set.
    """
    try:
        table = image.colormap(1)
    except ValueError:
        return {}
    return {value: f"#{r:02x}{g:02x}{b:02x}" for value, (r, g, b, _) in table.items()}


def category_names(path: Path) -> list[str]:
    """Category names of band 1 from the file's `.aux.xml` (rasterio has no call for them)."""
    try:
        text = side_car(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return []
    # Two fixed elements that GDAL writes: no need of an XML parser, which a stranger's file could abuse.
    band = re.search(r'<PAMRasterBand band="1">(.*?)</PAMRasterBand>', text, re.DOTALL)
    if band is None:
        return []
    names = re.findall(r"<Category\s*/>|<Category>(.*?)</Category>", band[1], re.DOTALL)
    return [html.unescape(name) for name in names]
