"""The network alone: pixels, parcels and training steps a second, against its plain published form.

    python benchmarks/network.py [--rounds 7] [--width standard] [--threads N] [--json FILE]

Baseline: `PSELTAE(reference=True)` run as it is written, eager float32, full attention with 128-wide
keys, batch norm as a layer of its own, all dates; it gets the batch size and number of threads that
suit it best (tried first). Ours: `Predictor` and `TrainingForm`, what the jobs run. All forms run in turn in
every round; a ratio is the median over rounds. 'clouds' are the same data with 40 % of the
observations masked, which the published form can't make use of; 'compiled' is what a C++ compiler makes once
(a third of a second, not counted; only where there is one): the network for single pixels, mlp1 and pooling
of parcels; training uses it wherever it is there.

Each line also gives the ratio of processor seconds, which other programs disturb less than the clock.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import sits_engine  # first: it sets how the threads of torch wait
import torch
from roofline import as_published, settle
from sits_engine.device import Device, threads
from sits_engine.learning.focal import focal_loss
from sits_engine.learning.schedule import adam
from sits_engine.learning.transforms import Collator, Sampling
from sits_engine.models import compiled
from sits_engine.models.card import BandCard, ClassCard, ModelCard
from sits_engine.models.inference import Predictor
from sits_engine.models.registry import build, pseltae_hyperparameters
from sits_engine.models.training_form import TrainingForm
from sits_engine.samples.pixel_sets import PixelSets, offsets_of
from torch import Tensor

BANDS, CLASSES, DATES = 10, 8, 24
TRAINING_DATES, SET, BATCH = 30, 64, 128
CLEAR_OF_CLOUDS = 0.6
CPU = Device(torch.device("cpu"), f"CPU, engine {sits_engine.__version__}")
BASELINE = "published form, eager"

#: What is measured: does a piece of work, knows how many things it did.
Work = Callable[[], int]


def measure(forms: Mapping[str, Work], rounds: int) -> dict[str, dict[str, float]]:
    """Things a second of each form, and the ratios to the baseline, medians over interleaved rounds."""
    for work in forms.values():
        work()
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in forms}
    for _ in range(rounds):
        for name, work in forms.items():
            wall, cpu = time.perf_counter(), time.process_time()
            number = work()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            rates[name].append((number / wall, number / cpu))
    base = rates[BASELINE]
    return {
        name: {
            "per_second": statistics.median(rate for rate, _ in found),
            "per_processor_second": statistics.median(rate for _, rate in found),
            "ratio": statistics.median(a[0] / b[0] for a, b in zip(found, base, strict=True)),
            "ratio_of_processor_seconds": statistics.median(
                a[1] / b[1] for a, b in zip(found, base, strict=True)
            ),
        }
        for name, found in rates.items()
    }


def best_of(make: Callable[[int, int], Work], batches: list[int], available: int) -> tuple[Work, str]:
    """The baseline with the batch size and threads that suit it best, and these in words."""
    found: tuple[float, Work, str] | None = None
    for number in sorted({1, available}):
        for batch in batches:
            work = make(batch, number)
            work()
            times = []
            for _ in range(3):
                start = time.perf_counter()
                done = work()
                times.append((time.perf_counter() - start) / done)
            if found is None or min(times) < found[0]:
                found = min(times), work, f"batch {batch}, {number} threads"
    assert found is not None
    return found[1], found[2]


def networks(width: str) -> tuple[torch.nn.Module, torch.nn.Module, ModelCard]:
    """The published form and ours with the same weights, and our card."""
    torch.manual_seed(0)
    plain = build("pseltae", pseltae_hyperparameters(BANDS, CLASSES, width=width, reference=True))
    numbers = pseltae_hyperparameters(BANDS, CLASSES, width=width)
    ours = build("pseltae", numbers)
    ours.load_state_dict(plain.state_dict())
    card = ModelCard(
        architecture="pseltae",
        hyperparameters=numbers,
        bands=[BandCard(name=f"B{i}", mean=0.2, std=0.1) for i in range(BANDS)],
        classes=[ClassCard(name=f"class {i}", color="#808080") for i in range(CLASSES)],
        season_year=2023,
        positions=[0.0],
    )
    return plain, ours, card


def samples(n: int, dates: int, clear: float) -> PixelSets:
    """Parcels of 64 pixels."""
    rng = np.random.default_rng(0)
    valid = np.repeat(rng.random((n, dates)) < clear, SET, 0)
    return PixelSets(
        bands=tuple(f"B{i}" for i in range(BANDS)),
        values=rng.random((n * SET, dates, BANDS), dtype=np.float32) * valid[..., None].astype(np.float32),
        valid=valid,
        offsets=offsets_of(np.full(n, SET)),
        positions=np.tile(np.arange(dates, dtype=np.int32) * 10, (n, 1)),
        labels=rng.integers(0, CLASSES, n),
        classes=tuple(f"class {i}" for i in range(CLASSES)),
        ids=np.arange(n).astype(str),
        xy=np.zeros((n, 2)),
        region=np.zeros(n, np.int16),
        blocks=np.zeros(n, np.int64),
    )


def plain_inference(
    module: torch.nn.Module, batch: int, pixels: int, repeats: int, number: int, device: Device = CPU
) -> Work:
    """The published form in eval mode on normalised input that is on the device, `repeats` batches."""
    module = module.to(device.torch)
    x = torch.randn(batch, DATES, BANDS, pixels, device=device.torch)
    mask = torch.ones(batch, DATES, pixels, device=device.torch)
    positions = torch.arange(DATES, device=device.torch).mul(10).expand(batch, -1)

    def work() -> int:
        torch.set_num_threads(number)
        as_published()
        with torch.inference_mode():
            for _ in range(repeats):
                torch.softmax(module(x, mask, positions), -1)
        settle(device)
        return batch * repeats

    return work


def on_threads(number: int, work: Work) -> Work:
    """`work` with PyTorch limited to `number` threads."""

    def limited() -> int:
        torch.set_num_threads(number)
        return work()

    return limited


def pixels(
    width: str, rounds: int, available: int, n: int = 8192, device: Device = CPU
) -> tuple[dict[str, Any], str]:
    """Pixels a second: from numbers as they are read to probabilities (ours), network only (published)."""
    plain, ours, card = networks(width)
    plain.eval()
    sizes = [128, 256, 512, 2048] if device.is_cpu else [2048, 16_384, 65_536]
    baseline, how = best_of(
        lambda batch, number: plain_inference(plain, batch, 1, max(1, sizes[-1] // batch), number, device),
        sizes,
        available,
    )
    predictors = {"ours": Predictor(ours, card, device), "ours, compiled": Predictor(ours, card, device)}
    # What a machine without a compiler has.
    predictors["ours"].__dict__["_pixel_kernel"] = None
    if predictors["ours, compiled"]._pixel_kernel is None:
        del predictors["ours, compiled"]
    rng = np.random.default_rng(0)
    values = rng.integers(1, 6000, (DATES, BANDS, n)).astype(np.uint16)
    scale, offset = np.full((DATES, BANDS), 1e-4, np.float32), np.zeros((DATES, BANDS), np.float32)
    positions = np.arange(DATES) * 10

    def ours_with(predictor: Predictor, valid: np.ndarray) -> Work:
        return on_threads(
            available, lambda: len(predictor.predict_pixels(values, valid, scale, offset, positions))
        )

    clear = np.ones((DATES, n), np.bool_)
    # Clouds are larger than a batch of neighbours on one line.
    clouds = np.repeat(rng.random((DATES, n // 512)) < CLEAR_OF_CLOUDS, 512, 1)
    forms = {BASELINE: baseline}
    for name, predictor in predictors.items():
        forms |= {name: ours_with(predictor, clear), f"{name}, clouds": ours_with(predictor, clouds)}
    return measure(forms, rounds), how


def parcels(
    width: str, rounds: int, available: int, n: int = 256, device: Device = CPU
) -> tuple[dict[str, Any], str]:
    """Parcels of 64 pixels a second."""
    plain, ours, card = networks(width)
    plain.eval()
    sizes = [8, 16, 32, 128] if device.is_cpu else [32, 256, 1024]
    baseline, how = best_of(
        lambda batch, number: plain_inference(plain, batch, SET, max(1, 64 // batch), number, device),
        sizes,
        available,
    )
    predictor = Predictor(ours, card, device)

    def ours_with(sets: PixelSets, compile_after: int) -> Work:
        def run() -> int:
            compiled.ROWS = compile_after
            return len(predictor.predict_sets(sets))

        return on_threads(available, run)

    clear, clouds = samples(n, DATES, 2.0), samples(n, DATES, CLEAR_OF_CLOUDS)
    never = sys.maxsize
    forms = {BASELINE: baseline, "ours": ours_with(clear, never), "ours, clouds": ours_with(clouds, never)}
    if device.is_cpu and compiled.load() is not None:
        forms |= {"ours, compiled": ours_with(clear, 0), "ours, compiled, clouds": ours_with(clouds, 0)}
    return measure(forms, rounds), how


def training(width: str, rounds: int, available: int, device: Device = CPU) -> tuple[dict[str, Any], str]:
    """Training samples a second: steps of 128 parcels, 30 dates, 64 pixels, batches drawn beforehand."""
    plain, ours, card = networks(width)
    plain, ours = plain.to(device.torch), ours.to(device.torch)

    def batch_of(clear: float) -> tuple[tuple[Tensor, ...], Tensor]:
        rule = Sampling(pixels=SET, dates=TRAINING_DATES, small_share=0)
        sets = samples(BATCH, TRAINING_DATES, clear)
        batch = Collator(sets, card.bands, rule)(np.arange(BATCH), np.random.default_rng(0))
        inputs = tuple(part.to(device.torch) for part in batch.inputs)
        return inputs, batch.labels.to(device.torch)

    def steps(
        module: torch.nn.Module, run: Callable[..., Tensor], given: Any, optimizer: Any, number: int
    ) -> Work:
        inputs, labels = given

        def work() -> int:
            torch.set_num_threads(number)
            module.train()
            optimizer.zero_grad(set_to_none=True)
            focal_loss(run(*inputs), labels).backward()
            optimizer.step()
            settle(device)
            return BATCH

        return work

    inputs, labels = batch_of(2.0)
    published = (inputs[0].contiguous(), inputs[1].float(), inputs[2]), labels
    optimizer = torch.optim.Adam(plain.parameters(), lr=1e-3, weight_decay=1e-4)
    baseline, how = best_of(
        lambda _, number: steps(plain, plain, published, optimizer, number), [BATCH], available
    )
    form, own = TrainingForm(ours), adam(ours)
    forms = {
        BASELINE: baseline,
        "ours": steps(ours, form, (inputs, labels), own, available),
        "ours, clouds": steps(ours, form, batch_of(CLEAR_OF_CLOUDS), own, available),
    }
    return measure(forms, rounds), how


def main(arguments: list[str]) -> int:
    """Print the table, and write the figures on wish."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--width", default="standard", choices=["standard", "small"])
    parser.add_argument("--threads", type=int, default=threads())
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    results: dict[str, Any] = {}
    for name, what, run in (
        ("pixels", f"Pixels a second, {DATES} dates", pixels),
        ("parcels", f"Parcels a second, {SET} pixels, {DATES} dates", parcels),
        (
            "training",
            f"Training samples a second, batch {BATCH}, {TRAINING_DATES} dates, {SET} pixels",
            training,
        ),
    ):
        found, how = run(options.width, options.rounds, options.threads)
        results[name] = {"baseline": how, **found}
        print(f"{what} (baseline: {how})")
        for form, figures in found.items():
            print(
                f"  {form:24s} {figures['per_second']:12,.0f}   {figures['ratio']:5.2f} x"
                f"   (processor seconds {figures['ratio_of_processor_seconds']:5.2f} x)",
                flush=True,
            )
    if options.json:
        options.json.write_text(json.dumps({"width": options.width, **results}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
