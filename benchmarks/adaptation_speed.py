"""Adapting to a region: what a shift estimate costs, and the training steps of TimeMatch a second.

    python benchmarks/adaptation_speed.py [--rounds 5] [--width standard] [--threads N] [--part shift|steps]
                                          [--json FILE]

Shift estimate: the probabilities of the same sets under 121 shifts, in units of one prediction of these sets
without a shift. Two measures: the plain published form in eager float32, with the batch size and threads that
suit it best, and `Predictor.predict_sets`, what our own jobs run. The issue asks for at most 10 of the first.

Steps: 128 source and 128 target samples of 64 pixels, the student on both, the teacher on the target's weak
view, focal losses, Adam, moving average. The published form does all of it with `PSELTAE(reference=True)` in
eager float32, batches of each region by themselves. The same tensors, drawn beforehand, and as confident a
teacher for both: all target samples are kept, which is the most work. The issue asks for twice as many steps.

All forms run in turn in every round; a ratio is the median over rounds. Batch sizes and threads of the plain
prediction are forms of their own, and the fastest of them is the measure.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import sits_engine  # noqa: F401 - first: it sets how the threads of torch wait
import torch
from network import (
    BANDS,
    BATCH,
    CLEAR_OF_CLOUDS,
    CPU,
    DATES,
    SET,
    TRAINING_DATES,
    Work,
    best_of,
    networks,
    on_threads,
    plain_inference,
    samples,
)
from sits_engine.device import threads
from sits_engine.learning.adaptation.options import AdaptOptions
from sits_engine.learning.adaptation.self_training import SelfTraining
from sits_engine.learning.adaptation.settings import AdaptSettings
from sits_engine.learning.adaptation.shift import ShiftTable, search_range
from sits_engine.learning.adaptation.views import Tally
from sits_engine.learning.focal import focal_loss
from sits_engine.learning.transforms import Batch, Collator, Sampling
from sits_engine.models import compiled
from sits_engine.models.inference import Predictor
from sits_engine.samples.pixel_sets import PixelSets

SHIFTS = search_range(60)
TABLE, ONCE = "121 shifts", "one prediction (Predictor)"
STEP_PLAIN = "published form, eager"


def interleaved(forms: Mapping[str, Work], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Seconds by the clock and of the processor for one thing, of each form in each round."""
    for work in forms.values():
        work()
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in forms}
    for _ in range(rounds):
        for name, work in forms.items():
            wall, cpu = time.perf_counter(), time.process_time()
            number = work()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            found[name].append((wall / number, cpu / number))
    return found


def ratio(a: list[tuple[float, float]], b: list[tuple[float, float]]) -> tuple[float, float]:
    """Median over the rounds of a / b, by the clock and by the processor."""
    pairs = list(zip(a, b, strict=True))
    return statistics.median(x[0] / y[0] for x, y in pairs), statistics.median(x[1] / y[1] for x, y in pairs)


def sets_of(n: int, pixels: int, clear: float) -> PixelSets:
    """`n` sets of `pixels` pixels of random numbers on one calendar."""
    rng = np.random.default_rng(0)
    whole = samples(n if pixels == SET else -(-n // SET), DATES, clear)
    if pixels == SET:
        return whole
    one = samples(n, 1, 2.0)
    valid = rng.random((n, DATES)) < clear
    values = whole.values.reshape(-1, DATES, BANDS)[:n] * valid[..., None].astype(np.float32)
    return PixelSets(
        bands=one.bands,
        values=values,
        valid=valid,
        offsets=np.arange(n + 1, dtype=np.int64),
        positions=np.tile(np.arange(DATES, dtype=np.int32) * 10, (n, 1)),
        labels=one.labels,
        classes=one.classes,
        ids=one.ids,
        xy=one.xy,
        region=one.region,
        blocks=one.blocks,
    )


def own_calendars(sets: PixelSets) -> PixelSets:
    """The same sets, each on days of its own, as when they come from many places."""
    rng = np.random.default_rng(1)
    days = np.sort(rng.permuted(np.tile(np.arange(300), (len(sets), 1)), axis=1)[:, :DATES], axis=1)
    return replace(sets, positions=days.astype(np.int32))


def shifts(width: str, rounds: int, available: int, pixels: int, n: int) -> dict[str, Any]:
    """What 121 shifts of the same sets cost."""
    plain, ours, card = networks(width)
    plain.eval()
    # Batches and threads of the published form take part in every round: a trial beforehand picks badly.
    published = {
        f"batch {batch}, {number} threads": plain_inference(plain, batch, pixels, max(1, n // batch), number)
        for number in sorted({1, available})
        for batch in ([4, 8, 16, 32] if pixels > 1 else [128, 256, 512])
    }
    predictor = Predictor(ours, card, CPU)
    clear, clouds = (sets_of(n, pixels, share) for share in (2.0, CLEAR_OF_CLOUDS))

    def once(sets: PixelSets, compile_after: int = sys.maxsize) -> Work:
        def run() -> int:
            compiled.ROWS = compile_after
            return len(predictor.predict_sets(sets))

        return on_threads(available, run)

    def table(sets: PixelSets) -> Work:
        made = ShiftTable(sets, card.bands, CPU)
        return on_threads(available, lambda: len(made.probabilities(ours, SHIFTS)))

    # What is measured, and the prediction by ours that it is compared with.
    forms = {**published, ONCE: once(clear), TABLE: table(clear)}
    against = {TABLE: ONCE}
    if pixels > 1 and compiled.load() is not None:
        forms[f"{ONCE}, compiled"] = once(clear, 0)
    for name, sets in (("clouds", clouds), ("each set its own days", own_calendars(clear))):
        forms |= {f"{ONCE}, {name}": once(sets), f"{TABLE}, {name}": table(sets)}
        against[f"{TABLE}, {name}"] = f"{ONCE}, {name}"
    found = interleaved(forms, rounds)
    how = min(published, key=lambda name: statistics.median(wall for wall, _ in found[name]))
    print(f"{len(SHIFTS)} shifts of sets of {pixels} pixels, {DATES} dates (published form: {how})")
    figures: dict[str, Any] = {"baseline": how}
    for name, other in against.items():
        by_plain, by_own = ratio(found[name], found[how]), ratio(found[name], found[other])
        rate = 1 / statistics.median(wall for wall, _ in found[name])
        figures[name] = {"sets_per_second": rate, "per_plain": by_plain, "per_predictor": by_own}
        print(
            f"  {name:36s} {rate:9,.0f} sets/s   cost of {by_plain[0]:5.2f} plain predictions"
            f" (processor {by_plain[1]:5.2f}), of {by_own[0]:5.2f} by Predictor (processor {by_own[1]:5.2f})",
            flush=True,
        )
    if f"{ONCE}, compiled" in forms:
        by_compiled = ratio(found[TABLE], found[f"{ONCE}, compiled"])
        figures[TABLE]["per_compiled_predictor"] = by_compiled
        print(f"  {TABLE:36s} cost of {by_compiled[0]:5.2f} by Predictor with a C++ compiler")
    return figures


class PublishedStep:
    """A step of TimeMatch as published: each region by itself, every layer as it is written."""

    def __init__(self, module: torch.nn.Module) -> None:
        self.student, self.teacher = module, copy.deepcopy(module).eval().requires_grad_(False)
        self.optimizer = torch.optim.Adam(module.parameters(), lr=1e-4, weight_decay=1e-4)

    def __call__(self, source: Batch, weak: Batch, strong: Batch, threshold: float) -> None:
        """One step; every target sample above the threshold counts."""
        with torch.no_grad():
            probabilities = torch.softmax(self.teacher(*weak.inputs), -1)
        confidence, labels = probabilities.max(1)
        keep = confidence > threshold
        self.student.train()
        self.optimizer.zero_grad()
        loss = focal_loss(self.student(*source.inputs), source.labels)
        target = self.student(*(x[keep] for x in strong.inputs))
        (loss + 2 * focal_loss(target, labels[keep])).backward()
        self.optimizer.step()
        with torch.no_grad():
            new = self.student.state_dict()
            for name, old in self.teacher.state_dict().items():
                old.copy_(0.9999 * old + (1 - 0.9999) * new[name])


def steps(width: str, rounds: int, available: int) -> dict[str, Any]:
    """Training steps of TimeMatch a second."""
    plain, ours, card = networks(width)
    # as in a run, where labels of the teacher count; a threshold of 0 keeps every sample of the target
    threshold = 0.0
    rule = Sampling(pixels=SET, dates=TRAINING_DATES, small_share=0)

    def training(clear: float) -> SelfTraining:
        source, target = (samples(BATCH, TRAINING_DATES, clear) for _ in range(2))
        settings = AdaptSettings(
            epochs=100,
            steps_per_epoch=100,
            batch_size=BATCH,
            learning_rate=1e-4,
            threshold=threshold,
            trade_off=2.0,
            stay=0.9999,
            norm="separate",
            warm_up=0,
            horizon=1.0,
            shift_augmentation=0,
            pixels_per_set=SET,
            dates_per_sample=TRAINING_DATES,
        )
        return SelfTraining(
            copy.deepcopy(ours),
            source,
            target,
            card.bands,
            AdaptOptions(),
            settings,
            None,
            CPU,
            mask_dates=True,
        )

    def batches(clear: float) -> tuple[Batch, Batch, Batch]:
        collate = Collator(samples(BATCH, TRAINING_DATES, clear), card.bands, rule)
        rng = np.random.default_rng(0)
        source, weak, strong = (collate(np.arange(BATCH), rng) for _ in range(3))
        return source, weak, strong

    def ours_with(clear: float) -> Work:
        made, given = training(clear), batches(clear)

        def work() -> int:
            made._step(*given, made.settings.trade_off, Tally())
            return 1

        return on_threads(available, work)

    def drawing(clear: float) -> Work:
        made, index = training(clear), np.arange(BATCH)
        rng = np.random.default_rng(0)

        def work() -> int:
            views = (made._source_view, made._weak, made._strong)
            made._step(*(view(index, rng) for view in views), made.settings.trade_off, Tally())
            return 1

        return on_threads(available, work)

    published = PublishedStep(plain)
    given = tuple(
        replace(batch, pixels=batch.pixels.contiguous(), pixel_mask=batch.pixel_mask.float())
        for batch in batches(2.0)
    )

    def as_published(_: int, number: int) -> Work:
        def work() -> int:
            published(*given, threshold)
            return 1

        return on_threads(number, work)

    baseline, how = best_of(as_published, [BATCH], available)
    forms = {
        STEP_PLAIN: baseline,
        "ours": ours_with(2.0),
        "ours, batches drawn as well": drawing(2.0),
        "ours, clouds": ours_with(CLEAR_OF_CLOUDS),
    }
    found = interleaved(forms, rounds)
    print(
        f"Training steps of TimeMatch a second, {BATCH} + {BATCH} samples, {SET} pixels, "
        f"{TRAINING_DATES} dates (published form: {how})"
    )
    figures: dict[str, Any] = {"baseline": how}
    for name in forms:
        by_plain = ratio(found[STEP_PLAIN], found[name])
        rate = 1 / statistics.median(wall for wall, _ in found[name])
        figures[name] = {"steps_per_second": rate, "ratio": by_plain}
        print(
            f"  {name:36s} {rate:9.2f} steps/s   {by_plain[0]:5.2f} x"
            f"   (processor seconds {by_plain[1]:5.2f} x)",
            flush=True,
        )
    return figures


def main(arguments: list[str]) -> int:
    """Print the tables, and write the figures on wish."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--width", default="standard", choices=["standard", "small"])
    parser.add_argument("--threads", type=int, default=threads())
    parser.add_argument("--part", choices=["shift", "steps"], help="only one of the two")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    results: dict[str, Any] = {"width": options.width}
    given = options.width, options.rounds, options.threads
    if options.part != "steps":
        results["parcels"] = shifts(*given, pixels=SET, n=256)
        results["pixels"] = shifts(*given, pixels=1, n=2048)
    if options.part != "shift":
        results["steps"] = steps(*given)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
