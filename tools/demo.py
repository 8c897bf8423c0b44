"""`make demo`: from nothing to crop maps of two regions, through real `qgis_process`, on simulated data.

First act: a map of region A, where crops are known. Fails if it is clearly worse than what a random forest
makes of the same parcels and images. Second act: a map of region B, where they aren't. Fails if the adapted
model's map isn't better than the source model's.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import layout
import qgis_process

#: The network's macro-F1 on held-out blocks has to reach this share of the random forest's.
WANTED = 0.95


class Demo:
    """The steps of the demo in a folder of its own; each is timed."""

    def __init__(self, folder: Path, home: Path, stage: Path) -> None:
        self.folder = folder
        self.home = home
        folder.mkdir(parents=True, exist_ok=True)
        home.mkdir(parents=True, exist_ok=True)
        self.env = qgis_process.environment(folder / "profile", stage, SITS_QGIS_HOME=str(home))
        # uv made by `make` is found on the PATH; without it the plugin fetches its own.
        self.env["PATH"] = f"{layout.ROOT / 'build' / 'tools'}{os.pathsep}{self.env['PATH']}"
        self.times: list[tuple[str, float]] = []

    def algorithm(self, name: str, **values: object) -> None:
        """Run one algorithm in QGIS: of the plugin, or of another provider where the name says so."""
        full = name if ":" in name else f"sits:{name}"
        print(f"\n== {full} ==", flush=True)
        started = time.monotonic()
        qgis_process.run(full, values, self.env)
        self.times.append((full, time.monotonic() - started))

    def script(self, path: str, *arguments: object) -> None:
        """Run a script of this repository with the engine's Python."""
        print(f"\n== {path} ==", flush=True)
        started = time.monotonic()
        record = json.loads((self.home / "engine.json").read_text(encoding="utf-8"))
        command = [record["interpreter"], str(layout.ROOT / path), *map(str, arguments)]
        subprocess.run(command, env=self.env, check=True)
        self.times.append((path, time.monotonic() - started))


def macro_f1(report: Path) -> float:
    """Macro-F1 in the numbers beside an assessment report."""
    numbers = json.loads(report.with_name(f"{report.stem}_numbers.json").read_text(encoding="utf-8"))
    return float(numbers["macro_f1"])


def labelled_region(demo: Demo, size: int, effort: str) -> tuple[float, float]:
    """Region A: train, map, assess; macro-F1 on held-out blocks of the map and of the random forest's map."""
    out = demo.folder
    data = out / "data"
    series, model, crop_map = out / "region_a.json", out / "model.safetensors", out / "crop_map.tif"
    report, forest = out / "assessment.html", out / "forest_map.tif"
    demo.algorithm("setupengine", FLAVOUR="cpu")
    demo.algorithm("createdemodata", OUTPUT_FOLDER=data, SIZE=size)
    demo.algorithm(
        "buildtimeseries",
        INPUT_FOLDER=data / "region_a" / "images",
        OUTPUT=series,
        REPORT=out / "time_series.html",
    )
    demo.script("tools/demo_split.py", data / "region_a" / "parcels.gpkg", "crop", out)
    demo.algorithm(
        "trainsourcemodel",
        SERIES=series,
        PARCELS=out / "train.gpkg",
        FIELD="crop",
        EFFORT=effort,
        OUTPUT=model,
        REPORT=out / "training.html",
    )
    # Fields only: the model knows crops, and would call the forest and the town by the name of one.
    parcels = data / "region_a" / "parcels.gpkg"
    demo.algorithm(
        "mapcrops",
        SERIES=series,
        MODEL=model,
        REGION=parcels,
        PARCELS=parcels,
        OUTPUT=crop_map,
        OUTPUT_PARCELS=out / "crop_parcels.gpkg",
    )
    demo.algorithm("assessmap", MAP=crop_map, REFERENCE=out / "test.gpkg", FIELD="crop", REPORT=report)
    demo.script("benchmarks/forest.py", series, out / "train.gpkg", "crop", model, crop_map, forest)
    demo.algorithm(
        "assessmap",
        MAP=forest,
        REFERENCE=out / "test.gpkg",
        FIELD="crop",
        REPORT=out / "forest_assessment.html",
    )
    demo.script("tools/demo_picture.py", series, model, crop_map, out / "crop_map.png")
    return macro_f1(report), macro_f1(out / "forest_assessment.html")


def unlabelled_region(demo: Demo) -> tuple[float, float]:
    """Region B: adapt, map, assess; macro-F1 of the source model's map and of the adapted model's map.

    Adaptation gets outlines without a crop; the crops of B are read by the assessment alone.
    """
    out = demo.folder
    series, outlines = out / "region_b.json", out / "outlines_b.gpkg"
    source, adapted = out / "model.safetensors", out / "adapted.safetensors"
    parcels = out / "data" / "region_b" / "parcels.gpkg"
    demo.algorithm("buildtimeseries", INPUT_FOLDER=out / "data" / "region_b" / "images", OUTPUT=series)
    demo.algorithm("native:retainfields", INPUT=parcels, FIELDS="id", OUTPUT=outlines)
    demo.algorithm(
        "adapttoregion",
        MODEL=source,
        SERIES=out / "region_a.json",
        PARCELS=out / "train.gpkg",
        FIELD="crop",
        TARGET_SERIES=series,
        TARGET_PARCELS=outlines,
        OUTPUT=adapted,
        REPORT=out / "adaptation.html",
    )
    for model, name in ((source, "b_source"), (adapted, "b_adapted")):
        demo.algorithm(
            "mapcrops", SERIES=series, MODEL=model, REGION=outlines, OUTPUT=out / f"{name}_map.tif"
        )
        demo.algorithm(
            "assessmap",
            MAP=out / f"{name}_map.tif",
            REFERENCE=parcels,
            FIELD="crop",
            REPORT=out / f"{name}_assessment.html",
        )
    demo.script("tools/tutorial_pictures.py", "maps", *picture_of_b(out), out / "region_b.png")
    return macro_f1(out / "b_source_assessment.html"), macro_f1(out / "b_adapted_assessment.html")


def picture_of_b(out: Path) -> tuple[Path, ...]:
    """What the picture of region B is made of: truth, model, and each map with its report."""
    return (
        out / "data" / "region_b" / "truth.tif",
        out / "model.safetensors",
        *(out / f"b_{name}" for name in ("source_map.tif", "source_assessment.html")),
        *(out / f"b_{name}" for name in ("adapted_map.tif", "adapted_assessment.html")),
    )


def main() -> int:
    """Run the demo; 0 where the map holds what is promised."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=layout.ROOT / "build" / "demo")
    parser.add_argument(
        "--home", type=Path, default=layout.ROOT / "build" / "home", help="where the engine is made"
    )
    parser.add_argument("--stage", type=Path, default=layout.ROOT / "build" / "stage")
    parser.add_argument("--size", type=int, default=512, help="pixels a side of the simulated regions")
    parser.add_argument("--effort", default="standard", choices=("quick", "standard", "thorough"))
    options = parser.parse_args()
    started = time.monotonic()
    demo = Demo(options.folder.resolve(), options.home.resolve(), options.stage.resolve())
    try:
        network, forest = labelled_region(demo, options.size, options.effort)
        source, adapted = unlabelled_region(demo)
    except subprocess.CalledProcessError as error:
        print(
            f"\nThe demo stopped: {' '.join(error.cmd[:3])} ended with status {error.returncode}.",
            file=sys.stderr,
        )
        print(f"Logs of the engine: {options.home / 'logs'}", file=sys.stderr)
        return 1
    print("\n" + "\n".join(f"{name:28} {seconds:6.1f} s" for name, seconds in demo.times))
    print(f"{'all steps':28} {time.monotonic() - started:6.1f} s\n")
    out = demo.folder
    print(
        f"Macro-F1 on held-out blocks of region A: map {network:.3f}, random forest {forest:.3f}, "
        f"ratio {network / forest:.3f}\n"
        f"Macro-F1 in region B, whose labels only assess: source model {source:.3f}, "
        f"adapted model {adapted:.3f}"
    )
    for what, name in (
        ("Map of A", "crop_map.tif"),
        ("Its parcels", "crop_parcels.gpkg"),
        ("Its picture", "crop_map.png"),
        ("Its report", "assessment.html"),
        ("Report of the training", "training.html"),
        ("Report of the images", "time_series.html"),
        ("Model", "model.safetensors"),
        ("Map of B, source model", "b_source_map.tif"),
        ("Its report", "b_source_assessment.html"),
        ("Map of B, adapted model", "b_adapted_map.tif"),
        ("Its report", "b_adapted_assessment.html"),
        ("Picture of both", "region_b.png"),
        ("Report of adaptation", "adaptation.html"),
        ("Adapted model", "adapted.safetensors"),
    ):
        print(f"{what + ':':26}{out / name}")
    defects = []
    if network < WANTED * forest:
        defects.append(f"The map of region A is below {WANTED:.0%} of the random forest's macro-F1")
    if adapted <= source:
        defects.append("In region B the adapted model's map isn't better than the source model's")
    for defect in defects:
        print(f"\n{defect}: this is a defect.", file=sys.stderr)
    return 1 if defects else 0


if __name__ == "__main__":
    sys.exit(main())
