"""One picture of the demo: a clear image, the map, its confidence, and the legend. By the engine's Python:

python tools/demo_picture.py SERIES MODEL MAP PICTURE
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from matplotlib.figure import Figure
from matplotlib.patches import Patch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "engine"))


def clear_image(series_file: str) -> tuple[Any, str]:
    """(H, W, 3) display values 0 to 1 of a clear date near midsummer, and the date."""
    from sits_engine.series.time_series import TimeSeries

    series = TimeSeries.open(Path(series_file))
    bands = series.match_bands(["B04", "B03", "B02"])
    valid = series.read(series.grid.whole, bands).valid
    clear = valid.mean(axis=(1, 2))
    # Among the clearest dates the one nearest to mid June, when crops differ most to the eye.
    best = min(np.flatnonzero(clear >= clear.max() - 0.05), key=lambda t: abs(int(series.positions[t]) - 165))
    cube = series.read(series.grid.whole, bands, keep_clouds=True)
    image = np.moveaxis(cube.physical()[best], 0, -1)
    low, high = np.percentile(image[valid[best]], [1, 99])
    return np.clip(np.nan_to_num((image - low) / (high - low)), 0, 1), series.dates[best].isoformat()


def draw(series_file: str, model: str, map_file: str, picture: str) -> None:
    """Write the picture (PNG)."""
    from sits_engine.models.model_file import read_card

    classes = read_card(Path(model)).classes
    with rasterio.open(map_file) as dataset:
        values = dataset.read(1)
        confidence = dataset.read(2).astype(float) if dataset.count > 1 else None
    colors = np.full((256, 3), 0.93)  # light grey where nothing is mapped
    for value, known in enumerate(classes, start=1):
        colors[value] = [int(known.color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    image, date = clear_image(series_file)
    panels = [(f"Simulated Sentinel-2, {date}", image), ("Crop map", colors[values])]
    figure = Figure(figsize=(5 * (len(panels) + (confidence is not None)), 6), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.12)
    axes = figure.subplots(1, len(panels) + (confidence is not None))
    for axis, (title, shown) in zip(axes, panels, strict=False):
        axis.imshow(shown, interpolation="nearest")
        axis.set_title(title)
    if confidence is not None:
        confidence[values == 0] = np.nan
        top = 100 if np.nanmax(confidence) > 1 else 1
        bar = axes[-1].imshow(
            confidence / top * 100, cmap="cividis", vmin=0, vmax=100, interpolation="nearest"
        )
        axes[-1].set_title("Confidence (%)")
        figure.colorbar(bar, ax=axes[-1], orientation="horizontal", shrink=0.7)
    for axis in axes:
        axis.set_axis_off()
    handles = [Patch(color=known.color, label=known.name) for known in classes]
    figure.legend(handles=handles, loc="outside lower left", ncols=min(6, len(handles)), frameon=False)
    figure.savefig(picture, dpi=110)


if __name__ == "__main__":
    draw(*sys.argv[1:])
