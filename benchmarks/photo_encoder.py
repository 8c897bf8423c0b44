"""Satellite encoder of TimeSenCLIP: places a second, against its plain published form.

    python benchmarks/photo_encoder.py [--rounds 7] [--threads N] [--json FILE]

Baseline: `SatelliteEncoder` as it is written, eager float32 in eval mode without gradients (where PyTorch
takes its own fast path of the transformer), published size (512 channels, 6 layers, 12 months, 10 bands); it
gets the batch and number of threads that suit it best (tried first), and input that is normalised beforehand.
Ours: `EmbeddingPredictor.embed`, what the jobs run, from physical values and validity to unit vectors. All
forms run in turn in every round; a ratio is the median over rounds. 'gaps' are the same places with 30 % of
the months missing, 'tile' is every pixel of 32 x 32 x 36 dates as a map has it, medians of months included;
the small network follows.

Before anything is timed both forms must give the same vectors. Goal: 1.5 times as many places a second.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import sits_engine  # noqa: F401 - first: it sets how the threads of torch wait
import torch
from network import BASELINE, CPU, Work, best_of, measure, on_threads
from roofline import as_published, settle
from sits_engine.device import Device, threads
from sits_engine.models.card import BandCard, ModelCard
from sits_engine.models.photo_inference import EmbeddingPredictor
from sits_engine.models.registry import build, timesenclip_hyperparameters
from sits_engine.models.timesenclip.encoder import SatelliteEncoder
from sits_engine.samples.composites import Composites
from torch.nn.functional import normalize

BANDS, PLACES, TILE, DATES = 10, 256, 32, 36
#: Share of the months that places with gaps lack.
MISSING = 0.3
BATCHES = [32, 64, 256]
#: Numbers of two vectors may differ by rounding; on a card products have fewer digits.
TOLERANCE, ON_A_CARD = 1e-4, 5e-3


def encoder(width: str) -> tuple[SatelliteEncoder, ModelCard]:
    """A network with random weights, positions and tokens, and its card."""
    torch.manual_seed(0)
    hyperparameters = timesenclip_hyperparameters(BANDS, width=width)
    module = build("timesenclip", hyperparameters).eval()
    assert isinstance(module, SatelliteEncoder)
    module.start_with_calendar()
    with torch.no_grad():
        module.time_token.normal_()
    card = ModelCard(
        architecture="timesenclip",
        hyperparameters=hyperparameters,
        bands=[BandCard(name=f"b{i}", mean=0.01 * i, std=0.4) for i in range(BANDS)],
        classes=[],
        season_year=2018,
        positions=[float(month) for month in range(12)],
    )
    return module, card


def places(missing: float) -> Composites:
    """Random composites; every place has its first month."""
    rng = np.random.default_rng(0)
    valid = rng.random((PLACES, 12)) >= missing
    valid[:, 0] = True
    values = rng.random((PLACES, 12, BANDS, 1, 1), dtype=np.float32) * valid[:, :, None, None, None]
    names = tuple(f"b{i}" for i in range(BANDS))
    return Composites(names, values.astype(np.float32), valid, np.zeros((PLACES, 2)), np.arange(PLACES))


def forms(width: str, available: int, device: Device = CPU) -> tuple[dict[str, Work], str]:
    """What is measured, by name, and batch and threads of the baseline in words."""
    module, card = encoder(width)
    predictor = EmbeddingPredictor(module, card, device)
    full, gaps = places(0.0), places(MISSING)
    mean = torch.tensor([band.mean for band in card.bands])[:, None, None]
    images = ((torch.from_numpy(full.values) - mean) / 0.4).clamp(0, 1)
    months = module.months_of(12)
    module.to(device.torch)
    images, months = images.to(device.torch), months.to(device.torch)

    def published(batch: int, number: int) -> Work:
        def work() -> int:
            as_published()
            with torch.no_grad():
                for start in range(0, PLACES, batch):
                    part = images[start : start + batch]
                    normalize(module(part, months.expand(len(part), -1)), dim=1)
            settle(device)
            return PLACES

        return on_threads(number, work)

    with torch.no_grad():
        for composites in (full, gaps):
            x = ((torch.from_numpy(composites.values) - mean) / 0.4).clamp(0, 1).to(device.torch)
            used = torch.from_numpy(composites.valid).to(device.torch)
            plain = normalize(module(x, months.expand(PLACES, -1), used), dim=1).cpu().numpy()
            off = float(np.abs(plain - predictor.embed(composites)).max())
            if not off < (TOLERANCE if device.is_cpu else ON_A_CARD):
                raise SystemExit(f"Both forms differ by {off:.2e}.")
            print(
                f"{width}: greatest difference of a vector's numbers {off:.1e}", file=sys.stderr, flush=True
            )

    rng = np.random.default_rng(1)
    values = rng.integers(0, 6000, (DATES, BANDS, TILE, TILE)).astype(np.uint16)
    clear = rng.random((DATES, TILE, TILE)) < 0.7
    scale = np.full((DATES, BANDS), 1e-4, np.float32)
    classes = normalize(torch.randn(predictor.dim, 8), dim=0)

    def tile() -> int:
        predictor.predict_cube(values, clear, scale, scale * 0, np.arange(DATES) // 3, lambda v: v @ classes)
        return TILE**2

    def embed(composites: Composites) -> Work:
        def work() -> int:
            predictor.embed(composites)
            return PLACES

        return work

    baseline, words = best_of(published, BATCHES, available)
    return {
        BASELINE: baseline,
        "ours": on_threads(available, embed(full)),
        "ours, gaps": on_threads(available, embed(gaps)),
        "ours, tile": on_threads(available, tile),
    }, words


def main(arguments: list[str]) -> int:
    """Run and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=threads())
    parser.add_argument("--width", choices=("standard", "small"), nargs="*", default=["standard", "small"])
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    found: dict[str, Any] = {}
    for width in given.width:
        work, words = forms(width, given.threads)
        rows = measure(work, given.rounds)
        found[width] = {"baseline": words, **rows}
        print(f"\n{width}, {given.threads} threads; published form with {words}")
        print(f"{'':24}{'places a second':>16}{'ratio':>8}{'of processor seconds':>22}")
        for name, row in rows.items():
            print(
                f"{name:24}{row['per_second']:16,.0f}{row['ratio']:8.2f}"
                f"{row['ratio_of_processor_seconds']:22.2f}",
                flush=True,
            )
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
