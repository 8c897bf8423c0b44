"""Pictures of docs/photos-tutorial.md and docs/demo-data.md, from a run. By the engine's Python:

python tools/photo_pictures.py drawn DEMO PICTURE             drawn photos of region A, a row a class
python tools/photo_pictures.py maps TRUTH MAP PICTURE         zero-shot map beside the truth
python tools/photo_pictures.py found DEMO FOUND PICTURE       retrieved photos, a row a query
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from PIL import Image, ImageDraw
from tutorial_pictures import NOTHING, on_grid, save, shrink

CELL = (132, 99)
LABEL = 104


def drawn(demo: str, picture: str, columns: int = 6) -> None:
    """Photos of each class of region A, by date."""
    layer = gpd.read_file(Path(demo) / "region_a" / "photos.gpkg")
    names = [c["name"] for c in json.loads((Path(demo) / "truth.json").read_text())["classes"]]
    rows = []
    for name in (n for n in names if (layer["class"] == n).any()):
        mine = layer[layer["class"] == name].sort_values(["date", "photo"], ignore_index=True)
        chosen = np.linspace(0, len(mine) - 1, min(columns, len(mine))).round().astype(int)
        pictures = [
            (row.photo, f"{row.date[8:10]}.{row.date[5:7]}.") for row in mine.iloc[chosen].itertuples()
        ]
        rows.append((name, pictures))
    sheet(Path(demo) / "region_a", rows, Path(picture))


def found(demo: str, layer: str, picture: str, columns: int = 6) -> None:
    """Photos found for some places; the true class of each photo's place under it."""
    known = gpd.read_file(Path(demo) / "region_a" / "photos.gpkg")
    kinds = {Path(row.photo).name: row["class"] for _, row in known.iterrows()}
    answers = gpd.read_file(layer)
    rows = []
    for query, mine in answers.groupby("query", sort=False):
        best = mine.sort_values("rank").head(columns)
        pictures = [(f"photos/{Path(one).name}", kinds[Path(one).name]) for one in best["photo"]]
        rows.append((str(query), pictures))
    sheet(Path(demo) / "region_a", rows, Path(picture))


def sheet(folder: Path, rows: list[tuple[str, list[tuple[str, str]]]], picture: Path) -> None:
    """A contact sheet: the row's name, then photos with a word on each."""
    width, height = CELL
    columns = max(len(pictures) for _, pictures in rows)
    page = Image.new("RGB", (LABEL + columns * (width + 3), len(rows) * (height + 3)), "white")
    pen = ImageDraw.Draw(page)
    for number, (name, pictures) in enumerate(rows):
        top = number * (height + 3)
        pen.text((4, top + height // 2 - 6), name.replace(": ", ":\n"), fill="#202225")
        for column, (file, word) in enumerate(pictures):
            left = LABEL + column * (width + 3)
            with Image.open(folder / file) as photo:
                page.paste(photo.resize(CELL), (left, top))
            pen.text((left + 4, top + 3), word, fill="white", stroke_width=1, stroke_fill="black")
    picture.parent.mkdir(parents=True, exist_ok=True)
    if picture.suffix == ".jpg":
        page.save(picture, quality=76, optimize=True)
        print(f"{picture}: {picture.stat().st_size // 1000} kB")
        return
    full = picture.with_suffix(".full.png")
    page.save(full)
    try:
        shrink(full, picture)
    finally:
        full.unlink()


def maps(truth: str, made: str, picture: str) -> None:
    """A class map beside the truth, in the truth's colours; margins and roads are left white in both."""
    from sits_engine.samples.raster_classes import named_classes

    with rasterio.open(truth) as file:
        tags, shape = file.tags(1), file.shape
        right, share = file.read()
    facts = json.loads((Path(truth).parent.parent / "truth.json").read_text(encoding="utf-8"))
    colour = {c["name"]: [int(c["color"][i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in facts["classes"]}
    true_names = {
        int(tag.removeprefix("class_")): name for tag, name in tags.items() if tag.startswith("class_")
    }
    names = {one.value: one.name for one in named_classes(Path(made))}
    said = on_grid(Path(made), Path(truth))
    panels = []
    for values, of in ((said, names), (right, true_names)):
        colours = np.full((256, 3), NOTHING)
        for value, name in of.items():
            if name in names.values():
                colours[value] = colour[name]
        panels.append(colours[values])
    wanted = [value for value, name in true_names.items() if name in names.values()]
    counts = np.isin(right, wanted) & (share == 100) & (said > 0)
    number = np.zeros(256, int)
    for value, name in true_names.items():
        number[value] = next((v for v, n in names.items() if n == name), 0)
    agree = (number[right] == said)[counts].mean()
    figure = Figure(figsize=(11, 6.2), layout="constrained")
    for axis, values, title in zip(
        figure.subplots(1, 2),
        panels,
        (f"Map from words, no labels\n{100 * agree:.0f} % of the pure pixels right", "Truth (simulated)\n"),
        strict=True,
    ):
        axis.imshow(values, interpolation="nearest", extent=(0, shape[1], shape[0], 0))
        axis.set_title(title)
        axis.set_axis_off()
    handles = [Patch(color=colour[name], label=name) for name in names.values()]
    figure.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False)
    save(figure, Path(picture), 110)


if __name__ == "__main__":
    {"drawn": drawn, "maps": maps, "found": found}[sys.argv[1]](*sys.argv[2:])
