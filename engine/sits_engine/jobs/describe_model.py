"""What a model file knows: bands, classes, dates, provenance, scores."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from sits_engine.context import JobContext
from sits_engine.jobs.base import Job, JobResult, claim_outputs, existing
from sits_engine.models.card import FastCard, ModelCard


class DescribeModel(Job):
    """Print the card of a model; opening a model can't run code, whoever made it."""

    title: ClassVar[str] = "Describe model"

    model: Path = Field(description="model (.safetensors)")
    output_html: Path | None = Field(None, description="the same as a page (.html), its numbers beside it")

    def run(self, ctx: JobContext) -> JobResult:
        """Read the card, print it, and write the page if one is asked for."""
        from sits_engine.models.model_file import load_model

        existing(self.model, "Model")
        if self.output_html is not None:
            from sits_engine.outputs import numbers_beside

            pages = (self.output_html, numbers_beside(self.output_html))
            claim_outputs(pages, (self.model,))
        ctx.progress(0.1, "Reading the model")
        # the whole file, not the card alone: its checksum tells whether the weights are the card's
        _, card = load_model(self.model)
        for line in description(card):
            ctx.info(line)
        outputs = {}
        if self.output_html is not None:
            from sits_engine.report.model import write_model_report

            write_model_report(self.output_html, card, self.model.name)
            outputs["output_html"] = str(self.output_html)
        ctx.progress(1.0, "Done")
        return JobResult(outputs=outputs, scores=_scores(card))


def description(card: ModelCard) -> Iterator[str]:
    """The card as lines for people."""
    size = ", ".join(
        f"{k} {v}" for k, v in card.hyperparameters.items() if k.startswith(("mlp", "d_", "n_h"))
    )
    yield f"Network: {card.architecture} ({size})"
    yield f"Bands ({len(card.bands)}): {', '.join(card.band_names)}"
    yield f"Classes ({len(card.classes)}):"
    f1 = card.scores.get("per_class_f1") or {}
    for number, one in enumerate(card.classes, start=1):
        codes = "" if one.codes in ([], [one.name]) else f", codes {', '.join(one.codes)}"
        score = f1.get(one.name) if isinstance(f1, dict) else None
        tested = f", F1 {score:.3f}" if isinstance(score, (int, float)) else ""
        yield f"  {number} {one.name} ({one.color}{codes}{tested})"
    span = f"{_day(card, min)} to {_day(card, max)}"
    yield f"Dates: {len(card.positions)}, {span}, counted as {card.date_convention}"
    clouds = "left out" if card.mask_dates else "used like any other (published behaviour)"
    yield f"Clouded dates are {clouds}. Confidence is divided by temperature {card.temperature:.3f}."
    yield from _provenance(card.provenance)
    scores = {k: v for k, v in card.scores.items() if isinstance(v, (int, float))}
    if scores:
        yield "Scores on held-out samples: " + ", ".join(
            f"{name.replace('_', ' ')} {value:.3f}" for name, value in scores.items()
        )
    if card.fast is not None:
        yield from _fast(card.fast)
    yield f"SHA-256 of the weights: {card.tensors_sha256}"


def _fast(fast: FastCard) -> Iterator[str]:
    """What the fast network gives up against its teacher, a line a figure."""
    from sits_engine.report.fast import FIGURES

    yield "Holds a fast network for maps of pixels (FAST):"
    figures = {text: fast.scores[key] for key, text in FIGURES.items() if key in fast.scores}
    for text, value in figures.items():
        yield f"  {text}: {value:.3f}"
    if "pixels" in fast.scores:
        yield f"  single pixels that were compared: {fast.scores['pixels']}"
    if not figures:
        yield "  not measured"


def _day(card: ModelCard, which: Any) -> str:
    """First or last training date as day and month of the season year; no date without positions."""
    if not card.positions:
        return "none"
    first = datetime.date(card.season_year, 1, 1)
    return (first + datetime.timedelta(days=round(which(card.positions)))).isoformat()


def _adapted(facts: dict[str, Any]) -> Iterator[str]:
    """What an adapted model was adapted from, where to, with which shift; see `jobs.adapt_to_region`."""
    old, new = facts.get("from"), facts.get("to")
    if not isinstance(old, dict) or not isinstance(new, dict):
        return
    days, verdict = facts.get("shift_days"), facts.get("verdict")
    shift = f", shift {days:+d} days" if isinstance(days, int) else ""
    yield (
        f"Adapted from {old.get('title')} (model {old.get('model')}) to {new.get('title')} by "
        f"{facts.get('method')}{shift}; judged without labels: {verdict}"
    )


def _provenance(facts: dict[str, Any]) -> Iterator[str]:
    if isinstance(facts.get("adapted"), dict):
        yield from _adapted(facts["adapted"])
    for one in facts.get("series") or []:
        if isinstance(one, dict):
            season = f"{len(one.get('dates') or [])} dates, season {one.get('season_year')}"
            yield f"Images: {one.get('title')} ({one.get('file')}), {season}"
    for key, what in (
        ("parcels", "Parcels"),
        ("labelled_series", "Labelled series"),
        ("field", "Class field"),
        ("parcels_used", "Parcels used"),
        ("seed", "Seed"),
        ("engine", "Engine"),
        ("created", "Made"),
    ):
        value = facts.get(key)
        if value not in (None, "", []):
            yield f"{what}: {', '.join(map(str, value)) if isinstance(value, list) else value}"


def _scores(card: ModelCard) -> dict[str, Any]:
    plain = {k: v for k, v in card.scores.items() if isinstance(v, (int, float))}
    return {
        **plain,
        "architecture": card.architecture,
        "bands": ", ".join(card.band_names),
        "classes": ", ".join(card.class_names),
        "n_bands": len(card.bands),
        "n_classes": len(card.classes),
        "dates": len(card.positions),
        "season_year": card.season_year,
        "temperature": card.temperature,
        "tensors_sha256": card.tensors_sha256,
        "fast": card.fast is not None,
    }
