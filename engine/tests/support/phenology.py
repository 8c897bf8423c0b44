"""Two regions with the same crops, the one earlier than the other, and a small model of the first."""

from __future__ import annotations

import copy
import functools

import numpy as np
import torch

from sits_engine.context import JobContext
from sits_engine.device import Device
from sits_engine.learning.supervised import FitOptions, fit, normalisation
from sits_engine.learning.transforms import Sampling
from sits_engine.models.card import BandCard, ClassCard, ModelCard
from sits_engine.models.pseltae import PSELTAE
from sits_engine.models.registry import build
from sits_engine.samples.pixel_sets import PixelSets, offsets_of

CPU = Device(torch.device("cpu"), "CPU")
CLASSES = ("barley", "grass", "maize", "wheat")
#: Days of the peaks of each class: two crops that overlap, one all year, one with two seasons.
PEAKS = ((110,), (175,), (215,), (130, 245))


def region(n=80, *, earlier=0, dates=14, seed=0, noise=0.03, clear=1.0, first=60, last=300) -> PixelSets:
    """Sets of 1 to 3 pixels; all that grows does so `earlier` days earlier. Each set has its own dates."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % len(CLASSES)
    sizes = rng.integers(1, 4, n)
    owner = np.repeat(np.arange(n), sizes)
    positions = np.sort(
        np.stack([rng.choice(np.arange(first, last), dates, replace=False) for _ in range(n)])
    )
    green = np.zeros((n, dates))
    for i, k in enumerate(labels):
        for peak in PEAKS[k]:
            green[i] += np.exp(-0.5 * ((positions[i] + earlier - peak - rng.normal(0, 3)) / 22) ** 2)
    clean = np.stack([0.1 + 0.4 * green, 0.3 - 0.2 * green], -1)[owner]
    valid = rng.random(clean.shape[:2]) < clear
    values = (clean + rng.normal(0, noise, clean.shape)) * valid[:, :, None]
    return PixelSets(
        bands=("red", "nir"),
        values=values.astype(np.float32),
        valid=valid,
        offsets=offsets_of(sizes),
        positions=positions.astype(np.int32),
        labels=labels.astype(np.int64),
        classes=CLASSES,
        ids=np.array([str(i) for i in range(n)]),
        xy=np.stack([10 + 0.02 * (np.arange(n) % 9), 50 + 0.02 * (np.arange(n) // 9)], -1),
        region=np.zeros(n, np.int16),
        blocks=np.arange(n, dtype=np.int64) // 10,
    )


def tiny(bands=2, classes=4, **changes) -> dict:
    """Hyperparameters of a network that trains in seconds."""
    widths = {"mlp1": [8, 8], "mlp2": [16], "n_head": 4, "d_k": 4, "d_model": 32, "mlp3": [16], "mlp4": [8]}
    return {"n_bands": bands, "n_classes": classes, **widths, **changes}


def card_of(bands: list[BandCard], **changes) -> ModelCard:
    """The card of such a network."""
    return ModelCard(
        architecture="pseltae",
        hyperparameters=tiny(),
        bands=bands,
        classes=[ClassCard(name=name, color="#00ff00") for name in CLASSES],
        season_year=2020,
        positions=[0.0, 10.0],
        **changes,
    )


def trained(sets: PixelSets, *, epochs=6, steps=25, **changes) -> tuple[PSELTAE, ModelCard]:
    """A model of `sets`, without shift augmentation."""
    bands = normalisation(sets, "standard")
    options = FitOptions(
        epochs=epochs,
        steps_per_epoch=steps,
        sampling=Sampling(pixels=3, dates=10, small_share=0.0),
        batch_size=64,
        learning_rate=5e-3,
        weight_decay=1e-4,
        gamma=1.0,
        patience=epochs,
        seed=0,
    )
    module = fit(lambda: build("pseltae", tiny()), sets, sets, bands, options, CPU, JobContext()).module
    return module.eval(), card_of(bands, **changes)


@functools.cache
def _source() -> tuple[PixelSets, PSELTAE, ModelCard]:
    sets = region(300, seed=1)
    return sets, *trained(sets)


def source_model() -> tuple[PixelSets, PSELTAE, ModelCard]:
    """Source samples, a model of them and its card; trained once, own copies."""
    sets, module, card = _source()
    return sets, copy.deepcopy(module), card
