"""Description of a model, from its card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sits_engine.models.card import FastCard, ModelCard
from sits_engine.report import words
from sits_engine.report.fast import FIGURES
from sits_engine.report.page import Column, Figure, Page, Section, Table, Tile, write_page
from sits_engine.report.plots import profiles
from sits_engine.samples.known_places import KEY


def write_model_report(path: Path, card: ModelCard, name: str) -> Path:
    """Describe the model `name` (its file name); the card as JSON goes beside it.

    Returns:
        Path of the JSON file.

    Raises:
        EngineError: OUTPUT_NOT_WRITABLE.
    """
    return write_page(path, model_page(card, name), card.model_dump())


def model_page(card: ModelCard, name: str) -> Page:
    """The page: sentences, classes, bands, dates, profiles, scores, provenance."""
    tiles = [
        Tile(str(len(card.classes)), "classes", words.listing(card.class_names, 3)),
        Tile(str(len(card.bands)), "bands", words.listing(card.band_names, 10)),
        Tile(str(len(card.positions)), "training dates", _season(card)),
    ]
    macro = card.scores.get("macro_f1")
    if isinstance(macro, (int, float)):
        tiles.append(Tile(words.score(float(macro)), "macro-F1", "on its own test parcels"))
    classes = Table(
        [Column("Class"), Column("value in maps", True), Column("codes of the labels")],
        [[c.name, str(i), words.listing(c.codes, 8)] for i, c in enumerate(card.classes, start=1)],
        colors=[c.color for c in card.classes],
    )
    bands = Table(
        [Column("Band"), Column("mean", True), Column("standard deviation", True)],
        [[b.name, f"{b.mean:.4f}", f"{b.std:.4f}"] for b in card.bands],
        "Physical values: reflectance 0 to 1, indices -1 to 1. The network sees (value - mean) / deviation.",
    )
    sections = [Section("What it tells apart and what it needs", [classes, bands], beside=True)]
    curves = _profiles(card)
    if curves is not None:
        sections.append(curves)
    if card.fast is not None:
        sections.append(_fast(card.fast))
    scores = {k: v for k, v in card.scores.items() if isinstance(v, (int, float)) and not isinstance(v, bool)}
    if scores:
        rows = [[key.replace("_", " "), words.score(float(value), 3)] for key, value in scores.items()]
        sections.append(Section("Scores", [Table([Column("score"), Column("value", True)], rows)]))
    return Page(
        kind="Model description",
        title=name,
        sentences=sentences(card),
        tiles=tiles,
        sections=sections,
        provenance={
            "Training": words.facts(_short(card.provenance)),
            "Network": words.facts(
                {
                    "architecture": card.architecture,
                    **card.hyperparameters,
                    "masked dates": "left out of the attention" if card.mask_dates else "seen like any other",
                    "temperature": card.temperature,
                    "day positions": card.date_convention,
                    "format": card.format,
                    "SHA-256 of the tensors": card.tensors_sha256,
                }
            ),
        },
    )


def _fast(fast: FastCard) -> Section:
    """What the file's fast network is and how it compares."""
    rows = [[text, words.score(fast.scores[key], 3)] for key, text in FIGURES.items() if key in fast.scores]
    if "pixels" in fast.scores:
        rows.append(["single pixels that were compared", words.count(fast.scores["pixels"])])
    rows.append(["temperature", words.score(fast.temperature, 3)])
    table = Table([Column("fast network"), Column("value", True)], rows)
    text = "A small network that learned to answer as the model does: Map crops with FAST uses it."
    return Section("The fast network", [table], [text])


def _short(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Without the positions of thousands of places."""
    seen = provenance.get(KEY)
    return {**provenance, KEY: seen.get("count") if isinstance(seen, dict) else None}


def sentences(card: ModelCard) -> list[str]:
    """What it does, what it needs, and how well it did."""
    out = [
        f"This model names one of {len(card.classes)} classes for a parcel or a pixel from its satellite "
        f"image time series.",
        f"It needs the bands {words.listing(card.band_names, 12)}; a series that lacks one of them can't be "
        "mapped with it.",
    ]
    if card.positions:
        out.append(
            f"It was trained on {len(card.positions)} dates, {_season(card)}; it expects the same part of "
            "the season, not the same days."
        )
    accuracy = card.scores.get("accuracy")
    if isinstance(accuracy, (int, float)) and np.isfinite(accuracy):
        out.append(
            f"On its own test parcels it was right for {words.of_hundred(float(accuracy))}; in other "
            "regions and years expect less until it has been measured there."
        )
    else:
        out.append("Its card holds no test scores, so its accuracy is unknown.")
    return out


def _season(card: ModelCard) -> str:
    if not card.positions:
        return "dates unknown"
    first, last = (words.day(p, card.season_year) for p in (min(card.positions), max(card.positions)))
    return f"{first} to {last}"


def _profiles(card: ModelCard) -> Section | None:
    """Profiles in the card: {'positions': T, 'bands': C, 'mean': K x T x C, None where unknown}."""
    stored: dict[str, Any] = card.profiles
    if not {"positions", "bands", "mean"} <= set(stored):
        return None
    positions = np.asarray(stored["positions"], dtype=float)
    bands = [str(band) for band in stored["bands"]]
    mean = np.array(stored["mean"], dtype=float)  # None becomes NaN
    if mean.shape != (len(card.classes), len(positions), len(bands)) or not np.isfinite(mean).any():
        return None
    label, _ = profiles.index_of(bands, mean)
    picture = profiles.class_profiles(
        "profiles",
        card.class_names,
        [c.color for c in card.classes],
        positions,
        bands,
        mean,
        int(stored.get("season_year", card.season_year)),
    )
    caption = f"Mean {label} over the clear pixels of the training parcels; the other classes in grey."
    return Section(
        f"{label} of each class in its training data",
        [Figure(picture, f"Mean {label} of each class over the season.", caption)],
    )
