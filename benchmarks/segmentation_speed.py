"""Segmentation: windows of a map a second of all networks, and windows of training of TSViT and UNet3D.

    python benchmarks/segmentation_speed.py [--rounds 3] [--network NAME] [--part map|training]
                                            [--threads N] [--json FILE]

Measure: the plain published form (`segmentation_plain.py`, `segmentation_plain_recurrent.py`) in eager
float32 with the same weights, with the batch and threads that suit it best; its input is normalised and put
together beforehand. The issue asks for 1.4 times as many windows for TSViT, and for no fewer for UNet3D.
Training of the other networks is measured where one is named.

Map: ours is `SegmentPredictor`, what `mapcrops` runs, from the numbers as they are read to probabilities, on
windows side by side (a map computes each place four times: windows overlap by a half). Training: a step of
cross-entropy and Adam as the job makes it, on crops drawn beforehand; a step of ours has 16 windows, the
job's default (TSViT goes through them in parts, as in the job), and in a second line 4.

Before anything is timed both forms must give the same numbers: logits, also where ours puts the patches of
TSViT in their right places, probabilities of a map, loss and gradients. All forms run in turn in every round;
a ratio is the median over rounds, and the published form is the batch and threads with the lowest median.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sits_engine  # noqa: F401 - first: it sets how the threads of torch wait
import torch
import torch.nn.functional as F
from adaptation_speed import interleaved, ratio
from network import BANDS, CPU, Work, on_threads
from roofline import as_published, settle
from segmentation_plain import DAYS, PlainTSViT, PlainUNet3D, published_input
from segmentation_plain_recurrent import PlainBiConvGRU, PlainUNet2DCLSTM, PlainUNet3Df
from sits_engine.device import Device, threads
from sits_engine.learning.segmentation.batches import Batch
from sits_engine.learning.segmentation.fit import known_cross_entropy
from sits_engine.learning.segmentation.parts import parts_for
from sits_engine.learning.segmentation.recipes import Recipe
from sits_engine.models.card import BandCard, ClassCard, ModelCard
from sits_engine.models.registry import build, segmentation_hyperparameters
from sits_engine.models.segment_inference import SegmentPredictor
from sits_engine.models.segmentation.patches import join
from torch import Tensor, nn

CLASSES, WINDOW, BATCH, RATE = 10, 24, 16, 1e-4
DATES = {"tsvit": 30, "unet3d": 16, "unet3df": 16, "unet2d_clstm": 16, "biconvgru": 16}
#: Networks whose training is measured if none is named.
TRAINED = ("tsvit", "unet3d")
PLAIN: Mapping[str, Callable[[int, int, int], nn.Module]] = {
    "unet3d": PlainUNet3D,
    "unet3df": PlainUNet3Df,
    "unet2d_clstm": PlainUNet2DCLSTM,
    "biconvgru": PlainBiConvGRU,
}
#: Batches that the published form may choose from. Large steps are tried with all threads only.
MAP_BATCHES, STEP_BATCHES = (1, 2, 4, 8), (2, 4, BATCH)
#: Windows of the map: down and across.
ROWS, COLS = 2, 4
#: Numbers may differ by rounding: of logits and probabilities, and of gradients beside the largest.
TOLERANCE, OF_GRADIENT = 1e-4, 1e-3


def calendar(dates: int) -> Tensor:
    """Days spread over the year; not the 19 that the published channel of days moves by one (float32)."""
    days = torch.arange(366)
    kept = days[torch.floor(days.float() / DAYS * DAYS) == days]
    return kept[torch.linspace(0, len(kept) - 1, dates).long()]


@dataclass
class Side:
    """A network in its plain form and in ours, with the same weights."""

    name: str
    plain: nn.Module
    ours: nn.Module
    card: ModelCard

    @property
    def dates(self) -> int:
        """Dates of a window."""
        return DATES[self.name]

    def windows(self, n: int) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
        """Random input of ours, and labels."""
        random = torch.Generator().manual_seed(n)
        images = torch.randn(n, self.dates, BANDS, WINDOW, WINDOW, generator=random)
        positions = calendar(self.dates).expand(n, -1)
        labels = torch.randint(CLASSES, (n, WINDOW, WINDOW), generator=random)
        return (images, positions, torch.ones(n, self.dates, dtype=torch.bool)), labels


def networks(name: str) -> Side:
    """Both forms of one of `DATES`, of standard width."""
    torch.manual_seed(0)
    numbers = segmentation_hyperparameters(name, BANDS, CLASSES, n_dates=DATES[name], window=WINDOW)
    plain: nn.Module
    if name == "tsvit":
        plain = PlainTSViT(BANDS, CLASSES, WINDOW, dim=128, depth=4, heads=4, head_dim=32)
    else:
        plain = PLAIN[name](BANDS, CLASSES, DATES[name])
    ours = build(name, numbers)
    ours.load_state_dict(plain.state_dict())
    card = ModelCard(
        architecture=name,
        hyperparameters=numbers,
        bands=[BandCard(name=f"B{i}", mean=0.2, std=0.1) for i in range(BANDS)],
        classes=[ClassCard(name=f"class {i}", color="#808080") for i in range(CLASSES)],
        season_year=2023,
        positions=[0.0],
    )
    return Side(name, plain.eval(), ours.eval(), card)


def image(side: Side, rows: int, cols: int) -> tuple[Any, ...]:
    """What `SegmentPredictor.predict_cube` takes: a clear image of rows x cols windows, as it is read."""
    shape = (side.dates, BANDS, rows * WINDOW, cols * WINDOW)
    values = np.random.default_rng(0).integers(1, 6000, shape).astype(np.uint16)
    scale, offset = np.full(shape[:2], 1e-4, np.float32), np.zeros(shape[:2], np.float32)
    positions = calendar(side.dates).numpy()
    return values, np.ones((shape[0], *shape[2:]), np.bool_), scale, offset, positions


def in_place(side: Side, logits: Tensor) -> Tensor:
    """Logits of the published form with the values of a patch at its place (UNet3D: as they are)."""
    if side.name != "tsvit":
        return logits
    return join(logits.reshape(*logits.shape[:2], -1, 4), (WINDOW, WINDOW))


def check(side: Side) -> dict[str, float]:
    """Largest differences of the two forms; AssertionError where they aren't rounding."""
    given, labels = side.windows(2)
    stack = published_input(*given[:2])
    reference = build(side.name, {**side.card.hyperparameters, "reference": True}).eval()
    reference.load_state_dict(side.plain.state_dict())
    values, valid, *others = image(side, 1, 1)
    normal = (torch.from_numpy(values.astype(np.float32))[None] * 1e-4 - 0.2) / 0.1
    with torch.inference_mode():
        logits = side.plain(stack)
        given_out = logits.log_softmax(1) if side.name == "biconvgru" else logits
        answer = in_place(side, side.plain(published_input(normal, torch.from_numpy(others[-1])[None])))
        mapped = SegmentPredictor(side.ours, side.card, CPU, overlap=0).predict_cube(values, valid, *others)
        found = {
            "logits, reference": (reference(*given) - given_out).abs().max(),
            "logits": (side.ours(*given) - in_place(side, logits)).abs().max(),
            "probabilities of a map": (torch.from_numpy(mapped) - answer[0].softmax(0)).abs().max(),
        }
    state = {name: value.clone() for name, value in side.plain.state_dict().items()}
    # Rounding makes gradients through max pooling and batch statistics jump by more than any bound: float64.
    # The states of our recurrent networks are float32, whatever goes in.
    kind = torch.float64 if side.name.startswith("unet3d") else torch.float32
    images, *rest = given
    stack = published_input(images.to(kind), rest[0])
    wanted = F.cross_entropy(in_place(side, side.plain.to(kind).train()(stack)), labels)
    loss = F.cross_entropy(side.ours.to(kind).train()(images.to(kind), *rest), labels)
    found["loss"] = (loss - wanted).abs()
    right = dict(side.plain.named_parameters())
    pairs = zip(
        torch.autograd.grad(loss, list(side.ours.parameters())),
        torch.autograd.grad(wanted, [right[name] for name, _ in side.ours.named_parameters()]),
        strict=True,
    )
    differences = [((a - b).abs().max(), b.abs().max()) for a, b in pairs]
    largest = max(size for _, size in differences)
    found["gradients beside the largest"] = max(difference for difference, _ in differences) / largest
    for module in (side.plain, side.ours):
        module.float().load_state_dict(state)  # running statistics of batch norm moved
    figures = {name: value.item() for name, value in found.items()}
    bounds = {name: OF_GRADIENT if "gradients" in name else TOLERANCE for name in figures}
    wrong = {name: value for name, value in figures.items() if not value < bounds[name]}
    if wrong:
        raise AssertionError(f"the forms of {side.name} differ: {wrong}")
    return figures


def map_forms(side: Side, available: int, device: Device = CPU) -> tuple[dict[str, Work], dict[str, Work]]:
    """Forms of the published network, and of ours: each labels the windows of an image."""
    number = ROWS * COLS
    side.plain.to(device.torch)

    def published(batch: int) -> Work:
        stack = published_input(*side.windows(batch)[0][:2]).to(device.torch)

        def work() -> int:
            side.plain.eval()
            as_published()
            with torch.inference_mode():
                for _ in range(number // batch):
                    torch.softmax(side.plain(stack), 1)
            settle(device)
            return number

        return work

    plain = {
        f"batch {batch}, {used} threads": on_threads(used, published(batch))
        for used in sorted({1, available})
        for batch in MAP_BATCHES
    }
    predictor = SegmentPredictor(side.ours, side.card, device, overlap=0)
    cube = image(side, ROWS, COLS)

    def ours() -> int:
        side.ours.eval()
        predictor.predict_cube(*cube)
        return number

    return plain, {"ours": on_threads(available, ours)}


def training_forms(side: Side, available: int) -> tuple[dict[str, Work], dict[str, Work]]:
    """Forms of the published step and of ours."""

    def published(batch: int) -> Work:
        given, labels = side.windows(batch)
        stack = published_input(*given[:2])
        optimizer = torch.optim.Adam(side.plain.parameters(), lr=RATE)

        def work() -> int:
            side.plain.train()
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(side.plain(stack), labels).backward()
            optimizer.step()
            return batch

        return work

    def ours(batch: int) -> Work:
        optimizer = Recipe(RATE, "stairs").optimizer(side.ours.parameters())
        given, labels = side.windows(batch)
        parts = parts_for(side.ours, CPU)

        def work() -> int:
            side.ours.train()
            optimizer.zero_grad(set_to_none=True)
            drawn = Batch(*given, labels)
            for part, weight in parts(drawn) if parts else [(drawn, 1.0)]:
                (known_cross_entropy(side.ours(*part.inputs), part.labels) * weight).backward()
            optimizer.step()
            return batch

        return work

    plain = {
        f"batch {batch}, {used} threads": on_threads(used, published(batch))
        for used in sorted({1, available})
        for batch in STEP_BATCHES
        if batch < BATCH or used == available
    }
    return plain, {
        "ours": on_threads(available, ours(BATCH)),
        "ours, batch 4": on_threads(available, ours(4)),
    }


def compare(what: str, plain: Mapping[str, Work], ours: Mapping[str, Work], rounds: int) -> dict[str, Any]:
    """Measure and print one table."""
    found = interleaved({**plain, **ours}, rounds)
    rates = {name: 1 / statistics.median(wall for wall, _ in seconds) for name, seconds in found.items()}
    how = max(plain, key=lambda name: rates[name])
    print(f"{what} (published form: {how})")
    print(f"  {'published form, eager':24s} {rates[how]:8.2f} windows/s")
    figures: dict[str, Any] = {"baseline": how, "per_second": rates}
    for name in ours:
        by_clock, by_processor = ratio(found[how], found[name])
        figures[name] = {"per_second": rates[name], "ratio": by_clock, "processor": by_processor}
        print(
            f"  {name:24s} {rates[name]:8.2f} windows/s   {by_clock:5.2f} x"
            f"   (processor seconds {by_processor:5.2f} x)",
            flush=True,
        )
    return figures


def main(arguments: list[str]) -> int:
    """Print the tables, and write the figures on wish."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--network", choices=list(DATES), help="only one of them")
    parser.add_argument("--part", choices=["map", "training"], help="only one of the two")
    parser.add_argument("--threads", type=int, default=threads())
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    results: dict[str, Any] = {}
    for name in [options.network] if options.network else list(DATES):
        side = networks(name)
        results[name] = {"differences": check(side)}
        largest = max(results[name]["differences"].values())
        about = f"{name}, {WINDOW} x {WINDOW} pixels, {DATES[name]} dates, {BANDS} bands, {CLASSES} classes"
        print(f"{about}: both forms give the same numbers (largest difference {largest:.0e})")
        for part, forms in (("map", map_forms), ("training", training_forms)):
            wanted = part == "map" or options.network or name in TRAINED
            if wanted and options.part in (None, part):
                made = forms(side, options.threads)
                results[name][part] = compare(f"{name}, {part}", *made, options.rounds)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
