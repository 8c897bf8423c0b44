"""Pictures of docs/adapt-tutorial.md and of the demo's second region, from a run. By the engine's Python:

python tools/tutorial_pictures.py tutorial FOLDER PICTURES
python tools/tutorial_pictures.py maps TRUTH MODEL MAP REPORT MAP REPORT PICTURE

`tutorial` takes the folder in which the commands of the tutorial ran. A headless Chromium (SITS_CHROMIUM, or
the one on the PATH) photographs the report; without one that picture is left as it is, and that is said.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "engine"))

#: Largest file in bytes: pages of the documentation load quickly.
LARGEST = 300_000
#: Where no crop is mapped.
NOTHING = (0.93, 0.93, 0.93)


def numbers_of(report: Path) -> dict[str, Any]:
    """The numbers beside a report."""
    text = report.with_name(f"{report.stem}_numbers.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def truth_in_classes(truth: Path, names: list[str]) -> np.ndarray:
    """(H, W) the demo's truth in the values of a map with these classes: i is the i-th of them, 0 none."""
    with rasterio.open(truth) as dataset:
        values, tags = dataset.read(1), dataset.tags(1)
    out = np.zeros_like(values)
    for tag, name in tags.items():
        if tag.startswith("class_") and name in names:
            out[values == int(tag.removeprefix("class_"))] = names.index(name) + 1
    return out


def on_grid(map_file: Path, like: Path) -> np.ndarray:
    """(H, W) band 1 of a map at its place on the grid of `like`, 0 around it.

    Raises:
        SystemExit: the map isn't made of pixels of that grid.
    """
    with rasterio.open(map_file) as dataset, rasterio.open(like) as grid:
        values = dataset.read(1)
        column, row = ~grid.transform @ (dataset.transform.c, dataset.transform.f)
        out = np.zeros(grid.shape, values.dtype)
        same = dataset.res == grid.res and dataset.crs == grid.crs
    if not same or max(abs(column - round(column)), abs(row - round(row))) > 1e-6:
        raise SystemExit(f"{map_file} is not made of the pixels of {like}.")
    at = out[round(row) : round(row) + values.shape[0], round(column) : round(column) + values.shape[1]]
    if min(round(row), round(column)) < 0 or at.shape != values.shape:
        raise SystemExit(f"{map_file} reaches beyond {like}.")
    at[...] = values
    return out


def save(figure: Figure, picture: Path, dpi: int) -> None:
    """PNG in 256 colours: maps have few, and the file is a third."""
    with tempfile.TemporaryDirectory() as folder:
        full = Path(folder) / "full.png"
        figure.savefig(full, dpi=dpi)
        shrink(full, picture)


def shrink(full: Path, picture: Path) -> None:
    """Write a picture in 256 colours.

    Raises:
        SystemExit: it is larger than `LARGEST`.
    """
    with Image.open(full) as image:
        image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(picture, optimize=True)
    size = picture.stat().st_size
    if size > LARGEST:
        raise SystemExit(f"{picture} has {size} bytes, more than {LARGEST}.")
    print(f"{picture}: {size // 1000} kB")


def maps(
    truth: str, model: str, source: str, source_report: str, adapted: str, adapted_report: str, out: str
) -> None:
    """The source model's map, the adapted model's and the truth side by side."""
    from sits_engine.models.model_file import read_card

    classes = read_card(Path(model)).classes
    colors = np.full((256, 3), NOTHING)
    for value, known in enumerate(classes, start=1):
        colors[value] = [int(known.color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    before, after = (on_grid(Path(one), Path(truth)) for one in (source, adapted))
    right = truth_in_classes(Path(truth), [known.name for known in classes])
    right[after == 0] = 0
    scores = [numbers_of(Path(report))["macro_f1"] for report in (source_report, adapted_report)]
    titles = (
        f"Source model as it is\nmacro-F1 {scores[0]:.2f}",
        f"Adapted model\nmacro-F1 {scores[1]:.2f}",
        "Truth (simulated)\n",
    )
    figure = Figure(figsize=(13.5, 5.75), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.1)  # the titles have two lines
    for axis, title, values in zip(figure.subplots(1, 3), titles, (before, after, right), strict=True):
        axis.imshow(colors[values], interpolation="nearest")
        axis.set_title(title)
        axis.set_axis_off()
    handles = [Patch(color=known.color, label=known.name) for known in classes]
    figure.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False)
    save(figure, Path(out), 120)


def shift_curves(plain: Path, augmented: Path, truth: Path, picture: Path) -> None:
    """Inception score of all shifts, by a model without and one with augmentation of the season."""
    days = float(json.loads(truth.read_text(encoding="utf-8"))["shift_days"])
    figure = Figure(figsize=(8.5, 4), layout="constrained")
    axis = figure.subplots()
    for report, color, name in (
        (plain, "#0b6b61", "model trained without augmentation"),
        (augmented, "#c8741a", "model trained with SHIFT_AUGMENTATION=60"),
    ):
        found = numbers_of(report)
        shifts, scores = np.array(found["shifts"]), np.array(found["scores"]["IS"])
        best = found["best"]["IS"]
        axis.plot(shifts, scores, color=color, label=f"{name}: best {best:+d} days")
        axis.plot(best, scores[shifts == best], "o", color=color)
    axis.axvline(days, color="#444444", linewidth=1, linestyle="--")
    axis.annotate(f"truth {days:+.0f}", (days, 0.03), (4, 0), ("data", "axes fraction"), "offset points")
    axis.set_xlabel("days added to the dates of region B")
    axis.set_ylabel("inception score (nats)")
    axis.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper left", frameon=False)
    save(figure, picture, 110)


def photograph(report: Path, picture: Path, width: int = 880, height: int = 880) -> None:
    """The top of a report as a browser shows it."""
    browser = os.environ.get("SITS_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if not browser:
        print(f"{picture}: left as it is, no Chromium on this computer")
        return
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "shot.png"
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        command += [f"--user-data-dir={folder}/profile", f"--window-size={width},{height}"]
        subprocess.run(
            [*command, f"--screenshot={shot}", report.resolve().as_uri()],
            check=True,
            capture_output=True,
            timeout=120,
        )
        shrink(shot, picture)


def tutorial(folder: str, pictures: str) -> None:
    """All pictures of the tutorial from the folder of its run."""
    run, out = Path(folder), Path(pictures)
    region = run / "demo" / "region_b"
    maps(
        *map(
            str, (region / "truth.tif", run / "model_a.safetensors", run / "before.tif", run / "before.html")
        ),
        *map(str, (run / "after.tif", run / "after.html", out / "adapt_maps.png")),
    )
    shift_curves(
        run / "shift.html", run / "shift_augmented.html", run / "demo" / "truth.json", out / "adapt_shift.png"
    )
    photograph(run / "adaptation.html", out / "adapt_report.png")


if __name__ == "__main__":
    {"tutorial": tutorial, "maps": maps}[sys.argv[1]](*sys.argv[2:])
