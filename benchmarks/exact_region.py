"""Masks from labels of windows (Exact) on the simulated region: do they come near labels of every pixel?

    PYTHONPATH=engine python benchmarks/exact_region.py [--seeds 3] [--parts masks segmentation ablation ...]

Region A of `sits demo` at default difficulty. Windows of 24 x 24 pixels, each ticked with the crops that
parcels put on more than 1 % of it; windows without any crop are ticked as such. No label of a pixel takes
part in training, thresholds or choice of weights. Blocks of land are held out for the segmentation's test.

`masks`: mIoU of the masks of the training windows, over 11 classes: the ten crops, and background (grassy
margins, forest, roads, buildings and water, which the simulation knows for every pixel). Beside it plain CAM
of the same network with the same threshold, masks that were not sharpened, and what the best threshold would
give ('oracle', chosen by labels of pixels, for comparison only). `segmentation`: UNet3Df small on these
masks, on those of plain CAM and on all pixels' labels, the same windows and steps, tested on held-out blocks.
`ablation`: masks without one part. `published`: masks with one of the published choices that ours leaves.

Everything is made in --out once; each finished run is kept there as JSON (masks as .npy), and a later call
adds what is missing.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import rasterio
import sits_engine  # noqa: F401  (before torch: sets how its threads wait)
import torch
from demo_region import demo_series
from sits_engine import device as devices
from sits_engine.context import JobContext
from sits_engine.learning.exact.affinity import AffinitySettings
from sits_engine.learning.exact.batches import BagCutter
from sits_engine.learning.exact.cam import CamSettings
from sits_engine.learning.exact.losses import LossSettings
from sits_engine.learning.exact.masks import masks_of, raw_maps
from sits_engine.learning.exact.options import ExactOptions
from sits_engine.learning.exact.prototypes import PUBLISHED, ClueSettings
from sits_engine.learning.exact.pseudo_labels import BACKGROUND_SCORE
from sits_engine.learning.exact.run import make_masks
from sits_engine.learning.exact.truth import confusion, scores_of
from sits_engine.learning.segmentation.batches import Cutter, Cutting, normalisation
from sits_engine.learning.segmentation.fit import StageOptions, finetune
from sits_engine.learning.segmentation.inference import predict_windows
from sits_engine.learning.segmentation.recipes import recipe
from sits_engine.learning.segmentation.validation import Validation
from sits_engine.models.card import ClassCard, ModelCard
from sits_engine.models.registry import build, segmentation_hyperparameters
from sits_engine.samples.bags import Bags, cut_bags
from sits_engine.samples.label_grid import lay_grid
from sits_engine.samples.label_prefill import Names, from_features
from sits_engine.samples.label_windows import LabelWindows
from sits_engine.samples.region import make_region
from sits_engine.samples.splits import split_sets
from sits_engine.samples.vectors import on_grid, read_labelled

Labels = npt.NDArray[np.int16]
SIZE = 24
#: What each row of the ablation changes: options, and network.
VARIANTS: dict[str, dict[str, Any]] = {
    "full": {},
    "no clues (plain CAM, affinity)": {"losses": {"contrast": 0.0}, "maps": "plain"},
    "no contrastive loss (prototypes move)": {"losses": {"contrast": 1e-9}},
    "no affinity propagation": {"losses": {"affinity": 0.0}, "affinity": False},
    "all dates weigh the same": {"network": {"date_temperature": 1e6}},
    "gradient prototypes": {"prototype_mode": "gradient"},
    "residual of the normed input": {"network": {"residual": "normed"}},
    "published network": {"network": {"residual": "normed", "reference": True}},
    "sure pixels weigh least": {"losses": {"clues": ClueSettings(sure_background=False)}},
    "weights squared": {"losses": {"clues": ClueSettings(power=2.0)}},
    "drawn assignment": {"losses": {"clues": ClueSettings(draw="gumbel")}},
    "slow first moves": {"losses": {"clues": ClueSettings(warm_up=False)}},
    "contrast over all classes": {"losses": {"clues": ClueSettings(over_present=False)}},
    "all published clues": {"losses": {"clues": PUBLISHED}},
    "all patches of absent classes": {"losses": {"clues": ClueSettings(absent_everywhere=True)}},
    "logit: mean of the map": {"losses": {"pooling": "mean"}},
}
#: Rows of `ablation`: those before are of `masks`, those after of `published`.
N_ABLATION = 6
#: How maps are scaled, in maps of one network: each window and class from 0 to 1 is published.
SCALINGS = ("window", "class", "none")


def region(folder: Path) -> tuple[Bags, Labels]:
    """Windows with ticks, and (N, 24, 24) the class of every pixel; background is the last number."""
    demo = folder / "demo"
    series = demo_series(demo, "a")
    known = on_grid(read_labelled(str(demo / "region_a" / "parcels.gpkg"), "crop"), series.grid, series.title)
    classes = tuple(sorted(set(known.frame["code"].astype(str))))
    grid, _ = lay_grid(make_region(series.grid, None, None), series.title, SIZE)
    ticks, _ = from_features(grid, known, Names(classes, {}), series.title)
    frame = gpd.GeoSeries(grid.polygons(), crs=series.grid.crs)
    ids = np.array([str(i) for i in range(len(grid))])
    bags = cut_bags(series, LabelWindows("simulated", classes, classes, ticks, frame, ids).usable(), SIZE)
    values = json.loads((demo / "truth.json").read_text("utf-8"))["classes"]
    place = np.full(256, len(bags.classes), np.int16)
    for one in values:
        if one["name"] in bags.classes:
            place[one["value"]] = bags.classes.index(one["name"])
    with rasterio.open(demo / "region_a" / "truth.tif") as image:
        truth = place[image.read(1)]
    where = zip(bags.windows.rows.tolist(), bags.windows.cols.tolist(), strict=True)
    return bags, np.stack([truth[row : row + SIZE, col : col + SIZE] for row, col in where])


def split(bags: Bags, seed: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Windows for training, and those of held-out blocks."""
    names = (*bags.classes, "none")
    first = np.where(bags.present.any(1), bags.present.argmax(1), len(bags.classes))
    side = split_sets(first, bags.windows.xy, names, kind="blocks", block_size=None, seed=seed).side
    return np.flatnonzero(side < 2), np.flatnonzero(side == 2)


def masks(bags: Bags, truth: Labels, variant: str, effort: str, seed: int) -> tuple[dict[str, Any], Labels]:
    """Scores of one network's masks, and (3, N, H, W): masks, those not sharpened, plain CAM."""
    changes = dict(VARIANTS[variant])
    losses = LossSettings(**changes.pop("losses", {}))
    options = ExactOptions(effort=effort, seed=seed, held_out=0.0, losses=losses, **changes)  # type: ignore[arg-type]
    began, device = time.process_time(), devices.select("cpu")
    made = make_masks(bags, options, device, JobContext())
    seconds = time.process_time() - began
    settings = made.card.hyperparameters
    patch, k = int(settings["patch"]), len(bags.classes)
    cutter = BagCutter(
        bags, made.card.bands, int(made.report.parameters["n_dates"]), patch, device.torch, turning=False
    )
    affinity = AffinitySettings() if options.affinity else None
    kinds = {"drawn": CamSettings(options.maps, affinity), "plain": CamSettings("plain", None)}
    raw = dict(
        zip(kinds, raw_maps(made.module, cutter, len(bags), list(kinds.values()), device), strict=True)
    )
    row: dict[str, Any] = {"variant": variant, "seed": seed, "cpu": seconds, "windows": len(bags)}
    row["epochs"] = [vars(epoch) for epoch in made.report.epochs]
    row["masks"] = scores_of(confusion(truth, made.masks.labels, k), background=True)
    kept = [made.masks.labels]
    for name, cam in raw.items():

        def scored(background: float, cam: torch.Tensor = cam) -> tuple[dict[str, float], Labels]:
            found = masks_of(cam, bags, patch, scaling="polygon", background=background).labels
            return scores_of(confusion(truth, found, k), background=True), found

        row[name], found = scored(BACKGROUND_SCORE)
        tries = {step / 20: scored(step / 20)[0] for step in range(18)}
        best = max(tries, key=lambda score: tries[score]["miou"])
        row[f"{name}, oracle"] = {"background": best, **tries[best]}
        kept.append(found)
        if name == "drawn":
            for scaling in SCALINGS:
                labels = masks_of(cam, bags, patch, scaling=scaling, background=BACKGROUND_SCORE).labels
                row[f"scaling {scaling}"] = scores_of(confusion(truth, labels, k), background=True)
    return row, np.stack(kept)


def segmentation(
    bags: Bags, labels: Labels, test: Bags, truth: Labels, steps: int, seed: int
) -> dict[str, float]:
    """Scores on held-out windows of a network that learned from these labels; the last weights."""
    names = [*bags.classes, "background"]
    device, window = devices.select("cpu"), SIZE
    windows = replace(bags.windows, labels=labels, classes=tuple(names))
    bands, dates = normalisation(windows), 8
    settings = segmentation_hyperparameters(
        "unet3df", len(bands), len(names), n_dates=dates, window=window, width="small"
    )
    torch.manual_seed(seed)
    module = build("unet3df", settings)
    cutter = Cutter(windows, bands, Cutting(window, dates), device.torch)
    options = StageOptions(
        epochs=steps // 20,
        steps_per_epoch=20,
        recipe=recipe("unet3df", "finetune", published=False),
        batch_size=8,
        patience=steps,
        seed=seed,
    )
    fitted = finetune(module, cutter, Validation(None, len(names), device), options, device, JobContext())
    card = ModelCard(
        architecture="unet3df",
        hyperparameters=settings,
        bands=bands,
        classes=[ClassCard(name=name, color="#808080") for name in names],
        season_year=2000,
        positions=[0.0],
    )
    found = predict_windows(fitted.module, card, test.windows, device).argmax(1).astype(np.int16)
    return scores_of(confusion(truth, found, len(bags.classes)), background=True)


def kept(path: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A finished run, or a new one."""
    if not path.exists():
        path.write_text(json.dumps(make(), indent=1), encoding="utf-8")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def cell(rows: list[dict[str, Any]], *names: str) -> str:
    """Mean and deviation over the seeds, in percent."""
    values = []
    for row in rows:
        value: Any = row
        for name in names:
            value = value[name]
        values.append(100 * float(value))
    spread = f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{np.mean(values):.1f}{spread}"


def main() -> None:
    """Run what is asked for, print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("build/segmentation"))
    parser.add_argument("--parts", nargs="+", default=["masks", "segmentation", "ablation"])
    parser.add_argument("--effort", default="standard", choices=("quick", "standard", "thorough"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=800, help="of the segmentation network")
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    bags, truth = region(chosen.out)
    folder = chosen.out / "exact"
    folder.mkdir(exist_ok=True)
    names = list(VARIANTS)
    variants = names[: N_ABLATION if "ablation" in chosen.parts else 1]
    if "published" in chosen.parts:
        variants += names[N_ABLATION:]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in variants}
    segmented: dict[str, list[dict[str, Any]]] = {"masks": [], "plain": [], "full": []}
    for seed in range(chosen.seeds):
        train, test = split(bags, seed)
        own, known = bags.subset(train), truth[train]
        for number, variant in enumerate(variants):
            stem = f"{chosen.effort}_{list(VARIANTS).index(variant)}_{seed}"

            def make(variant: str = variant, stem: str = stem) -> dict[str, Any]:
                row, drawn = masks(own, known, variant, chosen.effort, seed)  # noqa: B023
                np.save(folder / f"{stem}.npy", drawn)
                return row

            found[variant].append(kept(folder / f"{stem}.json", make))
            if number or "segmentation" not in chosen.parts:
                continue
            drawn = np.load(folder / f"{stem}.npy")
            for name, labels in (("masks", drawn[0]), ("plain", drawn[2]), ("full", known)):
                run = f"segmentation_{'' if name == 'full' else stem + '_'}{name}_{chosen.steps}_{seed}.json"

                def learn(labels: Labels = labels) -> dict[str, Any]:
                    return dict(
                        segmentation(own, labels, bags.subset(test), truth[test], chosen.steps, seed)  # noqa: B023
                    )

                segmented[name].append(kept(folder / run, learn))
        print(f"#### {seed + 1} seeds, {chosen.effort}\n")
        print(
            "| masks | mIoU | crops only | accuracy | not sharpened | oracle | plain CAM | oracle | CPU min |"
        )
        print("|---" * 9 + "|")
        for variant, rows in found.items():
            cells = [cell(rows, "masks", name) for name in ("miou", "crop_miou", "accuracy")]
            cells += [
                cell(rows, name, "miou") for name in ("drawn", "drawn, oracle", "plain", "plain, oracle")
            ]
            minutes = np.mean([row["cpu"] for row in rows]) / 60
            print(f"| {variant} | {' | '.join(cells)} | {minutes:.1f} |")
        if all(f"scaling {name}" in row for row in found["full"] for name in SCALINGS):
            scaled = (f"{name} {cell(found['full'], f'scaling {name}', 'miou')}" for name in SCALINGS)
            print(f"\nFull, not sharpened, with another scaling of the maps: {', '.join(scaled)}")
        if segmented["full"]:
            print("\n| segmentation learned from | mIoU | accuracy |\n|---|---|---|")
            for name, rows in segmented.items():
                print(f"| {name} | {cell(rows, 'miou')} | {cell(rows, 'accuracy')} |")
        print(flush=True)


if __name__ == "__main__":
    main()
