"""One whole adaptation: find the shift, train, compare the model before and after, judge."""

from __future__ import annotations

import copy
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from sits_engine import __version__
from sits_engine.context import JobContext
from sits_engine.device import Device
from sits_engine.errors import InputError, ModelError
from sits_engine.learning import scores as scoring
from sits_engine.learning.adaptation import normalization
from sits_engine.learning.adaptation.alignment import Alignment
from sits_engine.learning.adaptation.mark import run_mark
from sits_engine.learning.adaptation.options import METHODS, SELF_TRAINING, SHIFTING, AdaptOptions
from sits_engine.learning.adaptation.self_training import Search, SelfTraining
from sits_engine.learning.adaptation.settings import AdaptSettings, settle
from sits_engine.learning.adaptation.shift import ShiftTable, curves_of, search_range
from sits_engine.learning.adaptation.summary import (
    AdaptationReportData,
    AdaptEpoch,
    LabelledCheck,
    ShiftCurves,
)
from sits_engine.learning.adaptation.verdict import judge
from sits_engine.learning.adaptation.views import Tally
from sits_engine.learning.checkpoint import Checkpoint, keeping, resumed
from sits_engine.learning.divergence import check_loss
from sits_engine.learning.held_out import class_profiles
from sits_engine.learning.run import predict
from sits_engine.learning.transforms import Collator, Sampling
from sits_engine.models.card import ModelCard
from sits_engine.models.inference import Predictor
from sits_engine.models.pseltae import PSELTAE
from sits_engine.models.registry import build
from sits_engine.samples.pixel_sets import PixelSets

#: Bootstrap samples behind the interval of the shift.
RESAMPLES = 50
#: Settings that mean nothing where no teacher makes pseudo labels.
TEACHER = ("norm", "stay", "ema", "start", "warm_up", "distance_of_features")
Floats = npt.NDArray[np.float32]


@dataclass
class AdaptationResult:
    """The adapted network, its card, and all that the report says."""

    module: nn.Module
    card: ModelCard
    report: AdaptationReportData


def adapt(
    module: nn.Module,
    card: ModelCard,
    source: PixelSets,
    target: PixelSets,
    options: AdaptOptions,
    device: Device,
    ctx: JobContext,
    *,
    start: float = 0.0,
    end: float = 1.0,
    titles: tuple[str, str] = ("source", "target"),
    checkpoint: Path | None = None,
) -> AdaptationResult:
    """Adapt a model to the target. No label of the target is used but for `LabelledCheck`, at the end.

    Args:
        module, card: the source model; it is not changed.
        source: labelled sets, classes and bands those of the card, in its order.
        target: sets with the card's bands; labels -1, or classes of the card for the report only.
        options: see `AdaptOptions`.
        start, end: share of the whole job that this is, for the progress.
        titles: of source and target, for people.
        checkpoint: file that holds the state after each epoch; a run with the same inputs goes on from it.

    Raises:
        InputError: source without labels, other bands or classes than the model's, too few samples, or the
            training diverges.
        ModelError: not a PSE+LTAE model, or one with geometric features.
        Cancelled: somebody asked to stop; the checkpoint holds the last epoch.
    """
    network = _checked(module, card, source, target)
    module = copy.deepcopy(network).to(device.torch).eval()
    unlabelled = replace(target, labels=np.full(len(target), -1, np.int64), classes=tuple(card.class_names))
    table = ShiftTable(unlabelled, card.bands, device, mask_dates=card.mask_dates, seed=options.seed)
    shifts = search_range(max(options.max_shift, abs(options.shift or 0)))
    found = start + (end - start) * 0.08
    p = table.probabilities(module, shifts, ctx.part(start, found, "Looking for the temporal shift"))
    curves = curves_of(p, shifts, estimator=options.first_estimator, resamples=RESAMPLES, seed=options.seed)
    shift = _known_shift(options, curves)
    began = with_shift(network, card, shift) if _built_in(options) else network
    # only training with pseudo labels asks whose batch statistics to use
    teaches = options.method in SELF_TRAINING
    apart = _distance(began, card, source, unlabelled, shift, options, device) if teaches else 0.0
    settings = settle(options, source, target, cpu=device.is_cpu, near=apart < normalization.NEAR)
    before = _predict(network, card, unlabelled, device, ctx)
    shifted = _predict(network, card, _moved(unlabelled, shift), device, ctx) if shift else before
    rows: list[AdaptEpoch] = []
    adapted: nn.Module
    if options.method == "shift":
        adapted = with_shift(network, card, shift)
    else:
        student = copy.deepcopy(began).to(device.torch).eval()
        trainer = _trainer(student, card, source, unlabelled, options, settings, shift, p, shifts, device)
        state = (
            None
            if checkpoint is None
            else Checkpoint(
                checkpoint,
                run_mark(network, card, source, unlabelled, asdict(options)),
            )
        )
        progress = ctx.part(found, start + 0.95 * (end - start), f"Adapting on {device.label}")
        rows = _train(trainer, state, card, unlabelled, shifted.argmax(1), settings, device, ctx, progress)
        adapted = trainer.result.cpu().eval().requires_grad_(True)
        if isinstance(trainer, SelfTraining) and trainer.search is not None:
            used = -(trainer.search.source or 0)
            if used != shift:  # the first epoch estimates again, with the other estimator
                shift, shifted = used, _predict(network, card, _moved(unlabelled, used), device, ctx)
    made = _card(card, adapted, unlabelled)
    ctx.progress(start + 0.96 * (end - start), "Comparing the model before and after")
    after = _predict(adapted, made, unlabelled, device, ctx)
    chosen = {**asdict(options), **settings.as_json(), "distance_of_features": round(apart, 3)}
    if not teaches:
        chosen = {name: value for name, value in chosen.items() if name not in TEACHER}
    report = _report(
        card, source, target, options, chosen, curves, shift, rows, titles, before, shifted, after
    )
    return AdaptationResult(adapted, made, report)


def with_shift(module: PSELTAE, card: ModelCard, shift: int) -> PSELTAE:
    """The same network, with days added to every position that it is given."""
    own = {**card.hyperparameters, "shift": int(card.hyperparameters.get("shift", 0)) + shift}
    moved = build(card.architecture, own)
    moved.load_state_dict(module.state_dict())
    if not isinstance(moved, PSELTAE):
        raise TypeError(type(moved).__name__)
    return moved.eval()


def _checked(module: nn.Module, card: ModelCard, source: PixelSets, target: PixelSets) -> PSELTAE:
    if not isinstance(module, PSELTAE) or module.spatial_encoder.extra:
        raise ModelError(
            f"A model of the kind '{card.architecture}' can't be adapted: only PSE+LTAE without geometric "
            "features can.",
            "Train a source model with Train source model, and adapt that.",
        )
    if len(source) == 0 or source.labels.min() < 0:
        raise InputError(
            "The source samples have no labels of the model's classes.",
            "Give the parcels and the field that the model was trained with.",
        )
    if list(source.classes) != card.class_names:
        raise InputError(
            f"The source's classes are {', '.join(source.classes)}, the model's "
            f"{', '.join(card.class_names)}.",
            "Give the samples that the model was trained with.",
        )
    for name, sets in (("source", source), ("target", target)):
        if list(sets.bands) != card.band_names:
            raise InputError(
                f"The {name}'s bands are {', '.join(sets.bands)}, the model's {', '.join(card.band_names)}.",
                "Give a series with the model's bands.",
            )
    return module


def _known_shift(options: AdaptOptions, curves: ShiftCurves) -> int:
    if options.method not in SHIFTING:
        return 0
    return curves.shift if options.shift is None else options.shift


def _built_in(options: AdaptOptions) -> bool:
    """Whether student and teacher start with the shift built in."""
    return options.method == "timematch" and options.start == "shifted"


def _distance(
    network: PSELTAE,
    card: ModelCard,
    source: PixelSets,
    target: PixelSets,
    shift: int,
    options: AdaptOptions,
    device: Device,
) -> float:
    """How far the target's features lie from the source's for the network that training starts from."""
    view = Sampling(
        pixels=options.pixels_per_set or 64, dates=None, small_share=0.0, mask_dates=card.mask_dates
    )
    source = _moved(source, -shift) if _built_in(options) else source
    a, b = (Collator(sets, card.bands, view) for sets in (source, target))
    return normalization.distance(network, a, b, device, options.seed)


def _trainer(
    network: PSELTAE,
    card: ModelCard,
    source: PixelSets,
    target: PixelSets,
    options: AdaptOptions,
    settings: AdaptSettings,
    shift: int,
    p: torch.Tensor,
    shifts: npt.NDArray[np.int64],
    device: Device,
) -> SelfTraining | Alignment:
    if options.method not in SELF_TRAINING:
        return Alignment(
            network, source, target, card.bands, options, settings, device, mask_dates=card.mask_dates
        )
    search = None
    if options.method == "timematch":
        classes = torch.bincount(p[:, int(np.searchsorted(shifts, shift))].argmax(-1), minlength=p.shape[2])
        shares = classes / classes.sum()
        search = (
            Search.built_into(shift, shares)
            if _built_in(options)
            else Search.begin(shift, options.max_shift, shares, fixed=options.shift is not None)
        )
    return SelfTraining(
        network, source, target, card.bands, options, settings, search, device, mask_dates=card.mask_dates
    )


def _train(
    trainer: SelfTraining | Alignment,
    checkpoint: Checkpoint | None,
    card: ModelCard,
    target: PixelSets,
    first: npt.NDArray[np.int64],
    settings: AdaptSettings,
    device: Device,
    ctx: JobContext,
    progress: Callable[[float], None],
) -> list[AdaptEpoch]:
    """All epochs, from the one after the checkpoint on.

    Args:
        first: (N,) classes of the target by the source model with its shift.
    """
    search = trainer.search if isinstance(trainer, SelfTraining) else None
    rows: list[AdaptEpoch] = []
    facts = resumed(checkpoint, trainer.parts, trainer.optimizer, trainer.schedule, ctx=ctx)
    if facts is not None:
        rows = [AdaptEpoch(**row) for row in facts["rows"]]
        if search is not None:
            search.restore(facts["search"])
    with keeping(checkpoint, rows):
        for number in range(len(rows) + 1, settings.epochs + 1):
            begun = (number - 1) / settings.epochs
            tally = trainer.epoch(number, ctx, lambda f, b=begun: progress(b + f / settings.epochs))  # type: ignore[misc]
            now = _predict(trainer.result, card, target, device, ctx).argmax(1)
            rate = float(trainer.optimizer.param_groups[0]["lr"])
            row = _epoch_row(number, tally, search, float((now == first).mean()), rate, len(card.classes))
            check_loss([row.source_loss, row.target_loss], number, "The adaptation")
            rows.append(row)
            for name in ("source_loss", "target_loss", "confidence", "agreement"):
                ctx.metric(name, getattr(row, name), number)
            ctx.metric("pseudo_label_share", row.pseudo_labels / max(1, row.pseudo_seen), number)
            ctx.metric("shift_days", row.shift, number)
            if checkpoint is not None:
                state = search.as_json() if search else None
                saved = {"rows": [asdict(one) for one in rows], "search": state}
                checkpoint.save(trainer.parts, trainer.optimizer, trainer.schedule, saved)
    return rows


def _epoch_row(
    number: int, tally: Tally, search: Search | None, agreement: float, rate: float, n_classes: int
) -> AdaptEpoch:
    return AdaptEpoch(
        epoch=number,
        shift=0 if search is None else search.days,
        source_loss=float(torch.stack(tally.source_loss).mean()),
        target_loss=float(torch.stack(tally.target_loss).mean()),
        pseudo_labels=int(torch.stack(tally.kept).sum()),
        pseudo_seen=tally.seen,
        confidence=float(torch.stack(tally.confidence).mean()),
        class_shares=[float(v) for v in tally.shares(n_classes)],
        agreement=agreement,
        learning_rate=rate,
    )


def _card(card: ModelCard, adapted: nn.Module, target: PixelSets) -> ModelCard:
    """The card of the adapted model: dates of the target; who it was adapted from is said by the job."""
    update: dict[str, Any] = {
        "positions": sorted({float(day) for day in np.unique(target.positions)}),
        "scores": {},
    }
    if isinstance(adapted, PSELTAE) and adapted.temporal_encoder.shift != card.hyperparameters.get(
        "shift", 0
    ):
        update["hyperparameters"] = {**card.hyperparameters, "shift": adapted.temporal_encoder.shift}
    return card.model_copy(update=update)


def _moved(sets: PixelSets, shift: int) -> PixelSets:
    return replace(sets, positions=sets.positions + np.int32(shift))


def _predict(module: nn.Module, card: ModelCard, sets: PixelSets, device: Device, ctx: JobContext) -> Floats:
    predictor = Predictor(copy.deepcopy(module), card, device)
    return predict(predictor, sets, lambda fraction: ctx.check_cancelled())


def _report(
    card: ModelCard,
    source: PixelSets,
    target: PixelSets,
    options: AdaptOptions,
    parameters: dict[str, Any],
    curves: ShiftCurves,
    shift: int,
    rows: list[AdaptEpoch],
    titles: tuple[str, str],
    before: Floats,
    shifted: Floats,
    after: Floats,
) -> AdaptationReportData:
    k = len(card.classes)
    old, new = before.argmax(1), after.argmax(1)
    named = replace(target, labels=shifted.argmax(1).astype(np.int64), classes=tuple(card.class_names))
    shares = [np.bincount(labels, minlength=k) / max(1, len(labels)) for labels in (source.labels, old, new)]
    return AdaptationReportData(
        title=f"{METHODS[options.method]}: {titles[0]} to {titles[1]}",
        method=options.method,
        classes=card.class_names,
        colors=[one.color for one in card.classes],
        source_title=titles[0],
        target_title=titles[1],
        curves=curves,
        shift=shift,
        epochs=rows,
        source_profiles=class_profiles(source, card.season_year),
        target_profiles=class_profiles(named, card.season_year),
        shares_source=shares[0],
        shares_before=shares[1],
        shares_after=shares[2],
        changes=scoring.confusion_of(old, new, k),
        xy=target.xy,
        before=old,
        after=new,
        confidence_before=before.max(1),
        confidence_after=after.max(1),
        verdict=judge(target, options.method, curves, shift, before, shifted, after),
        labelled=_check(target, {"source": old, "shifted": shifted.argmax(1), "adapted": new}, k),
        provenance={
            "engine": __version__,
            "python": platform.python_version(),
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        },
        parameters=parameters,
    )


def _check(
    target: PixelSets, answers: dict[str, npt.NDArray[np.int64]], n_classes: int
) -> LabelledCheck | None:
    """Scores on labels given for the report; None without any."""
    known = target.labels >= 0
    if not known.any():
        return None
    scores, per_class = {}, {}
    for name, answer in answers.items():
        confusion = scoring.confusion_of(target.labels[known], answer[known], n_classes)
        scores[name] = {"macro_f1": scoring.macro_f1(confusion), "accuracy": scoring.accuracy(confusion)}
        per_class[name] = scoring.f1_where_known(confusion)
    return LabelledCheck(int(known.sum()), int((~known).sum()) if target.classes else 0, scores, per_class)
