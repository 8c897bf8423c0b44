"""Methods of adaptation over seeds on a pair of regions whose crops are both known."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from torch import nn

from sits_engine.context import JobContext
from sits_engine.device import Device
from sits_engine.errors import InputError
from sits_engine.learning import scores as scoring
from sits_engine.learning.adaptation.options import SHIFTING, AdaptOptions, Method
from sits_engine.learning.adaptation.run import adapt
from sits_engine.learning.adaptation.summary import ComparisonReportData, ComparisonRow
from sits_engine.learning.calibration import fit_temperature
from sits_engine.learning.run import Network, RunOptions, predict, train_network
from sits_engine.models.card import ClassCard, ModelCard
from sits_engine.models.inference import Predictor
from sits_engine.samples.pixel_sets import PixelSets
from sits_engine.samples.splits import split_sets

#: Share of a seed's time for the two bounds, for the progress.
BOUNDS = 0.2
Sides = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]


def compare(
    source: PixelSets,
    target: PixelSets,
    methods: Sequence[Method],
    seeds: Sequence[int],
    *,
    train: RunOptions,
    options: AdaptOptions,
    device: Device,
    ctx: JobContext,
    sides: Sides | None = None,
    titles: tuple[str, str] = ("source", "target"),
    start: float = 0.0,
    end: float = 1.0,
) -> ComparisonReportData:
    """Train a source model a seed, adapt it by each method, score all on the target's test side.

    Adaptation sees the target's train and validation sides without labels; the bound 'target' is trained
    on the train side with labels.

    Args:
        source, target: labelled sets with the same classes and bands.
        methods: keys of `options.METHODS`.
        seeds: of the splits (where `sides` is None), the source models and the adaptations.
        train: how the two bounds are trained.
        options: how to adapt; method and seed are set here.
        sides: (N,) 0 train, 1 validation, 2 test of source and target; None: spatial blocks by seed.
        titles: of source and target.
        start, end: share of the whole job, for the progress.

    Raises:
        InputError: classes or bands differ, or a side is empty.
    """
    if source.classes != target.classes or source.bands != target.bands:
        raise InputError(
            f"Source ({', '.join(source.classes)}; {', '.join(source.bands)}) and target "
            f"({', '.join(target.classes)}; {', '.join(target.bands)}) differ in classes or bands.",
            "Give a class table that maps both to the same classes, and choose common BANDS.",
        )
    rows: list[ComparisonRow] = []
    counts: dict[str, int] = {}
    support = np.zeros(len(source.classes), np.int64)
    for number, seed in enumerate(seeds):
        begin = start + (end - start) * number / len(seeds)
        stop = start + (end - start) * (number + 1) / len(seeds)
        one = _OneSeed(source, target, seed, sides, train, options, device, ctx, titles)
        rows += one.bounds(begin, begin + BOUNDS * (stop - begin))
        for i, method in enumerate(methods):
            share = (1 - BOUNDS) * (stop - begin) / max(1, len(methods))
            at = begin + BOUNDS * (stop - begin) + i * share
            rows.append(one.run(method, at, at + share))
        counts = counts or one.counts
        support += np.bincount(one.test.labels, minlength=len(support))
    order = {name: i for i, name in enumerate(("source", *methods, "target"))}
    notes = []
    if sides is None and len(seeds) > 1:
        notes.append(
            f"Each of the {len(seeds)} seeds has a split of its own; the numbers of test samples are sums."
        )
    return ComparisonReportData(
        title=f"Methods of adaptation: {titles[0]} to {titles[1]}",
        source_title=titles[0],
        target_title=titles[1],
        classes=list(source.classes),
        support=support.tolist(),
        rows=sorted(rows, key=lambda row: (order[row.method], row.seed)),
        counts=counts,
        notes=notes,
    )


class _OneSeed:
    """Splits, source model and scores of one seed."""

    def __init__(
        self,
        source: PixelSets,
        target: PixelSets,
        seed: int,
        sides: Sides | None,
        train: RunOptions,
        options: AdaptOptions,
        device: Device,
        ctx: JobContext,
        titles: tuple[str, str],
    ) -> None:
        self.seed, self.titles, self.device, self.ctx = seed, titles, device, ctx
        self.train, self.options = replace(train, seed=seed), replace(options, seed=seed)
        of_source, of_target = sides or tuple(
            split_sets(
                sets.labels, sets.xy, sets.classes, kind=train.split, block_size=train.block_size, seed=seed
            ).side
            for sets in (source, target)
        )
        self.source = [source.subset(of_source == side) for side in range(3)]
        self.target = [target.subset(of_target == side) for side in range(3)]
        self.unlabelled, self.test = target.subset(of_target < 2), self.target[2]
        self.counts = {
            "source_train": len(self.source[0]),
            "source_validation": len(self.source[1]),
            "target_train": len(self.unlabelled),
            "target_test": len(self.test),
        }
        for name, count in self.counts.items():
            if not count:
                raise InputError(
                    f"No samples are left for '{name.replace('_', ' ')}'.",
                    "Give more samples, or smaller blocks.",
                )

    def bounds(self, start: float, end: float) -> list[ComparisonRow]:
        """Source model without adaptation, and a model trained on the target."""
        half = (start + end) / 2
        words = f"seed {self.seed} on {self.device.label}"
        own = self._train(self.source, start, half, f"Training the source model, {words}")
        self.module, self.card = own
        best = self._train(self.target, half, end, f"Training on the target, {words}")
        return [
            self._row("source", *own, None, float("nan")),
            self._row("target", *best, None, float("nan")),
        ]

    def run(self, method: Method, start: float, end: float) -> ComparisonRow:
        """One adaptation."""
        began = time.monotonic()
        hidden = replace(self.unlabelled, labels=np.full(len(self.unlabelled), -1, np.int64))
        options = replace(self.options, method=method)
        found = adapt(
            self.module,
            self.card,
            self.source[0],
            hidden,
            options,
            self.device,
            self.ctx,
            start=start,
            end=end,
            titles=self.titles,
        )
        seconds = time.monotonic() - began
        shift = found.report.shift if method in SHIFTING else None
        row = self._row(method, found.module, found.card, shift, seconds)
        verdict = found.report.verdict
        return replace(row, verdict=verdict.word, measures=verdict.measures)

    def _train(
        self, parts: list[PixelSets], start: float, end: float, phase: str
    ) -> tuple[nn.Module, ModelCard]:
        progress = self.ctx.part(start, end, phase)
        network = train_network(parts[0], parts[1], self.train, self.device, self.ctx, progress)
        card = _card(network, parts[0], self.train)
        if len(parts[1]):
            predictor = Predictor(network.fitted.module, card, self.device)
            temperature = fit_temperature(predict(predictor, parts[1]), parts[1].labels)
            card = card.model_copy(update={"temperature": temperature})
        return network.fitted.module.cpu(), card

    def _row(
        self, method: str, module: nn.Module, card: ModelCard, shift: int | None, seconds: float
    ) -> ComparisonRow:
        predictor = Predictor(module, card, self.device)
        confusion = scoring.confusion_of(
            self.test.labels, predict(predictor, self.test).argmax(1), len(card.classes)
        )
        module.cpu()
        return ComparisonRow(
            method=method,
            seed=self.seed,
            macro_f1=scoring.macro_f1(confusion),
            accuracy=scoring.accuracy(confusion),
            per_class=scoring.f1_where_known(confusion),
            shift=shift,
            seconds=seconds,
        )


def _card(network: Network, sets: PixelSets, options: RunOptions) -> ModelCard:
    return ModelCard(
        architecture="pseltae",
        hyperparameters=network.hyperparameters,
        bands=network.bands,
        classes=[ClassCard(name=name, color="#808080") for name in sets.classes],
        season_year=options.season_year,
        positions=sorted({float(day) for day in np.unique(sets.positions)}),
        mask_dates=options.mask_clouds,
    )
