"""Does CSCL pre-training help, and does super-resolution? Measured on the simulated region, without any map.

    PYTHONPATH=engine python benchmarks/segmentation_pairs.py --part cscl [--networks unet3df unet2d_clstm]
    PYTHONPATH=engine python benchmarks/segmentation_pairs.py --part super [--networks unet3df]

`cscl`: one network with and without pre-training, the same number of optimiser steps on all sides (those
of the pre-training are taken from the fine-tuning), the same first weights, batches of the same size. Scores
on windows of held-out blocks, a split of its own for each seed. `--labels truth` has every class of land,
roads and margins too; `--labels parcels` only crops, and there pre-training runs as published (unlabelled
land is one class) and without unlabelled pixels.

`super`: labels are the simulated truth, every class of land at 10 and at 5 m: with parcels alone most
borders (roads, margins) would not count. A network of scale 2, against one of scale 1 whose probabilities are
enlarged (bilinear), both scored against the truth at 5 m.

Region A of `sits demo` at default difficulty is made in --out once; each finished run is kept there as JSON,
and a later call adds what is missing. The settings are part of the file's name.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import sits_engine  # noqa: F401  (before torch: sets how its threads wait)
import torch
import torch.nn.functional as F
from demo_region import demo_series
from sits_engine import device as devices
from sits_engine.context import JobContext
from sits_engine.learning.segmentation.batches import Cutter, Cutting, normalisation
from sits_engine.learning.segmentation.fit import ContrastOptions, StageOptions, finetune, pretrain
from sits_engine.learning.segmentation.inference import predict_windows
from sits_engine.learning.segmentation.recipes import recipe
from sits_engine.learning.segmentation.scores import Tally
from sits_engine.learning.segmentation.validation import Validation
from sits_engine.models.card import ClassCard, ModelCard
from sits_engine.models.registry import build, segmentation_hyperparameters
from sits_engine.samples.splits import split_sets
from sits_engine.samples.window_grid import WindowOptions, WindowSources, gather_windows
from sits_engine.samples.windows import WindowSet

#: Sides of the table of CSCL; the last is the same as the second where everything is labelled.
SIDES = {
    "from scratch": None,
    "CSCL": ContrastOptions(),
    "CSCL, unlabelled left out": ContrastOptions(mask_unlabelled=True),
}
#: Scores of the tables.
SHOWN = ("miou", "boundary_miou", "interior_miou", "boundary_f1_1px", "boundary_f1_2px")


@dataclass(frozen=True)
class Setting:
    """What both sides share."""

    width: str
    window: int
    n_dates: int
    batch: int
    steps: int
    share: float
    labels: str
    epoch: int = 20

    def name(self) -> str:
        """Part of the files' names."""
        share = round(100 * self.share)
        return (
            f"{self.labels}_{self.width}_w{self.window}_t{self.n_dates}_b{self.batch}_s{self.steps}_p{share}"
        )


def region(folder: Path, window: int, scale: int, *, truth: bool = False) -> WindowSet:
    """Windows of the demo's region A, labelled by its parcels or by its whole truth."""
    store = folder / f"{'truth' if truth else 'windows'}_{window}_x{scale}.zarr"
    if store.exists():
        return WindowSet.load(store)
    demo = folder / "demo"
    series = demo_series(demo, "a")
    own = demo / "region_a"
    raster = own / ("truth.tif" if scale == 1 else "truth_5m.tif")
    labels = (str(raster), None) if truth else (str(own / "parcels.gpkg"), "crop")
    sources = WindowSources([series], [labels[0]], labels[1])
    found, _ = gather_windows(sources, WindowOptions(size=window, scale=scale, min_labelled=0.2))
    found.save(store)
    return found


def most_common(windows: WindowSet) -> npt.NDArray[np.int64]:
    """(N,) the class with most pixels: blocks are split so that each side gets all classes."""
    k = len(windows.classes)
    return np.array([np.bincount(one[one >= 0], minlength=k).argmax() for one in windows.labels])


def split(windows: WindowSet, seed: int) -> npt.NDArray[np.int64]:
    """(N,) 0 train, 1 validation, 2 test; whole blocks."""
    common = most_common(windows)
    return split_sets(common, windows.xy, windows.classes, kind="blocks", block_size=None, seed=seed).side


class Run:
    """One seed: split, normalisation, training and scores."""

    def __init__(self, windows: WindowSet, side: npt.NDArray[np.int64], setting: Setting, seed: int) -> None:
        self.windows, self.setting, self.seed = windows, setting, seed
        self.device, self.ctx = devices.select("auto"), JobContext()
        self.parts = [windows.subset(np.flatnonzero(side == s)) for s in range(3)]
        self.bands = normalisation(self.parts[0])

    def train(
        self, architecture: str, cscl: ContrastOptions | None = None
    ) -> tuple[torch.nn.Module, ModelCard]:
        """Both stages; the steps of the first are taken from the second."""
        s = self.setting
        settings = segmentation_hyperparameters(
            architecture,
            len(self.bands),
            len(self.windows.classes),
            n_dates=s.n_dates,
            scale=self.windows.scale,
            window=s.window,
            width=s.width,
        )
        torch.manual_seed(self.seed)
        module = build(architecture, settings).to(self.device.torch)
        cutting = Cutting(s.window, s.n_dates)
        train, held = (Cutter(part, self.bands, cutting, self.device.torch) for part in self.parts[:2])
        validation = Validation(held, len(self.windows.classes), self.device)
        first = round(s.share * s.steps / s.epoch) if cscl else 0
        if cscl and first:
            options = self._stage(architecture, "pretrain", first)
            pretrain(module, train, validation, cscl, options, self.device, self.ctx)
        options = self._stage(architecture, "finetune", s.steps // s.epoch - first)
        fitted = finetune(module, train, validation, options, self.device, self.ctx)
        card = ModelCard(
            architecture=architecture,
            hyperparameters=settings,
            bands=self.bands,
            classes=[ClassCard(name=name, color="#808080") for name in self.windows.classes],
            season_year=2000,
            positions=sorted({float(day) for day in np.unique(self.windows.positions)}),
        )
        return fitted.module, card

    def _stage(self, architecture: str, stage: Any, epochs: int) -> StageOptions:
        return StageOptions(
            epochs=epochs,
            steps_per_epoch=self.setting.epoch,
            recipe=recipe(architecture, stage, published=False),
            batch_size=self.setting.batch,
            patience=epochs,
            seed=self.seed,
        )

    def scores(
        self, module: torch.nn.Module, card: ModelCard, truth: npt.NDArray[np.int16], enlarge: int = 1
    ) -> dict[str, float]:
        """On the test side; `truth` may be `enlarge` times finer than what the network answers."""
        found = torch.from_numpy(predict_windows(module, card, self.parts[2], self.device))
        if enlarge > 1:
            found = F.interpolate(found, scale_factor=enlarge, mode="bilinear", align_corners=False)
        tally = Tally(len(self.windows.classes))
        tally.add(truth, found.argmax(1).numpy())
        return tally.as_scores()


def cscl(folder: Path, setting: Setting, architecture: str, seed: int) -> list[dict[str, Any]]:
    """The sides of `SIDES`."""
    windows = region(folder, setting.window, 1, truth=setting.labels == "truth")
    run = Run(windows, split(windows, seed), setting, seed)
    rows = []
    for name, contrast in list(SIDES.items())[: 2 if setting.labels == "truth" else 3]:
        began = time.process_time()
        module, card = run.train(architecture, contrast)
        scores = run.scores(module, card, run.parts[2].labels)
        rows.append({"side": name, "cpu": time.process_time() - began, **scores})
    return rows


def super_resolution(folder: Path, setting: Setting, architecture: str, seed: int) -> list[dict[str, Any]]:
    """Scale 1 enlarged, and scale 2."""
    rows = []
    windows = [region(folder, setting.window, scale, truth=True) for scale in (1, 2)]
    places = [np.stack([one.region, one.rows, one.cols]) for one in windows]
    if not np.array_equal(places[0], places[1]):
        raise SystemExit("the two sets don't hold the same windows: delete them and run again")
    # one split: the finer labels may have another most common class
    side = split(windows[0], seed)
    coarse, fine = (Run(one, side, setting, seed) for one in windows)
    for name, run, enlarge in (("scale 1, enlarged", coarse, 2), ("scale 2", fine, 1)):
        began = time.process_time()
        module, card = run.train(architecture)
        scores = run.scores(module, card, fine.parts[2].labels, enlarge)
        rows.append({"side": name, "cpu": time.process_time() - began, **scores})
    return rows


def table(title: str, found: list[list[dict[str, Any]]]) -> list[str]:
    """Markdown: mean and deviation of each side over the seeds; differences to the first side with theirs."""
    out = [f"#### {title}, {len(found)} seeds", "", "| side | " + " | ".join(SHOWN) + " | CPU min |"]
    out.append("|---" * (len(SHOWN) + 2) + "|")
    values = np.array([[[100 * row[name] for name in SHOWN] for row in rows] for rows in found])
    minutes = np.array([[row["cpu"] / 60 for row in rows] for rows in found])
    spread = values.std(axis=0, ddof=1) if len(found) > 1 else np.zeros(values.shape[1:])
    for i, row in enumerate(found[0]):
        cells = [f"{m:.1f} ± {s:.1f}" for m, s in zip(values[:, i].mean(0), spread[i], strict=True)]
        out.append(f"| {row['side']} | {' | '.join(cells)} | {minutes[:, i].mean():.1f} |")
    for i, row in enumerate(found[0][1:], start=1):
        gain = values[:, i] - values[:, 0]
        spread = gain.std(axis=0, ddof=1) if len(found) > 1 else np.zeros(gain.shape[1])
        cells = [f"{m:+.1f} ± {s:.1f}" for m, s in zip(gain.mean(0), spread, strict=True)]
        out.append(f"| {row['side']}: difference | {' | '.join(cells)} | |")
    return [*out, ""]


def main() -> None:
    """Run what is asked for, print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", choices=("cscl", "super"), default="cscl")
    parser.add_argument("--out", type=Path, default=Path("build/segmentation"))
    parser.add_argument("--networks", nargs="+", default=["unet3df", "unet2d_clstm"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--width", default="small", choices=("standard", "small"))
    parser.add_argument("--window", type=int, default=24)
    parser.add_argument("--dates", type=int, default=8)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=1600)
    parser.add_argument("--share", type=float, default=0.25, help="of the steps for pre-training")
    parser.add_argument("--labels", default="truth", choices=("truth", "parcels"), help="of the part cscl")
    parser.add_argument("--threads", type=int, default=0, help="of PyTorch; 0: all")
    chosen = parser.parse_args()
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    chosen.out.mkdir(parents=True, exist_ok=True)
    labels = "truth" if chosen.part == "super" else chosen.labels
    setting = Setting(
        chosen.width, chosen.window, chosen.dates, chosen.batch, chosen.steps, chosen.share, labels
    )
    work = {"cscl": cscl, "super": super_resolution}[chosen.part]
    for seed in range(chosen.seeds):
        for architecture in chosen.networks:
            kept = chosen.out / f"{chosen.part}_{architecture}_{setting.name()}_{seed}.json"
            if not kept.exists():
                kept.write_text(json.dumps(work(chosen.out, setting, architecture, seed)), encoding="utf-8")
    for architecture in chosen.networks:
        files = sorted(chosen.out.glob(f"{chosen.part}_{architecture}_{setting.name()}_*.json"))
        found = [json.loads(path.read_text(encoding="utf-8")) for path in files]
        print("\n".join(table(f"{architecture}, {setting.name()}", found)), flush=True)


if __name__ == "__main__":
    main()
