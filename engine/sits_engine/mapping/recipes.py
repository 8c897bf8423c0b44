"""How the model of a map is opened: plain data, so that the workers of a cluster do the same as the job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sits_engine.device import Device
from sits_engine.errors import InputError
from sits_engine.mapping.classify import PixelPredictor, TileModel
from sits_engine.mapping.embedding_map import EmbeddingTiles, Head
from sits_engine.mapping.segment_tiles import SegmentTiles
from sits_engine.models import registry
from sits_engine.models.inference import Predictor
from sits_engine.models.model_file import load_fast, load_model
from sits_engine.models.photo_inference import EmbeddingPredictor
from sits_engine.models.segment_inference import SegmentPredictor
from sits_engine.series.types import Grid

#: Receives a sentence for the user.
Notice = Callable[[str], None]


class Recipe(Protocol):
    """What else is needed beside the model file."""

    def open(self, path: Path, device: Device, grid: Grid, notice: Notice) -> PixelPredictor | TileModel:
        """The model as a map of this grid needs it."""


@dataclass(frozen=True)
class CropRecipe:
    """A model of pixels or of segments, as its card says.

    Attributes:
        overlap: percent of a window that the next one sees again (models of segments).
        batch_size: pixels computed at once, 0 for what suits the device.
        fast: the fast network in the model's file.
    """

    overlap: int
    batch_size: int
    fast: bool = False

    def predictor(self, path: Path, device: Device, notice: Notice) -> Predictor | SegmentPredictor:
        """The model itself.

        Raises:
            InputError: a model that makes no crop maps. ModelError: no model.
        """
        module, card = load_fast(path) if self.fast else load_model(path)
        if card.architecture == "exact":
            raise InputError(
                f"The model {path.name} tells which crops a window holds: it makes no maps.",
                "Train a segmentation model with its masks as LABELS, and map with that one.",
            )
        if card.architecture == "timesenclip":
            raise InputError(
                f"The model {path.name} learned from photos and has no classes of its own.",
                "Describe classes in words with 'Map classes from words'.",
            )
        if card.architecture in registry.SEGMENTERS:
            segments = SegmentPredictor(module, card, device, overlap=self.overlap / 100, notice=notice)
            if self.batch_size:
                segments.batch_windows = max(1, self.batch_size // segments.window**2)
            return segments
        predictor = Predictor(module, card, device, notice=notice)
        if self.batch_size:
            predictor.batch_pixels = self.batch_size
        return predictor

    def open(self, path: Path, device: Device, grid: Grid, notice: Notice) -> PixelPredictor | TileModel:
        """See `Recipe`."""
        predictor = self.predictor(path, device, notice)
        return SegmentTiles(predictor, grid) if isinstance(predictor, SegmentPredictor) else predictor


@dataclass(frozen=True)
class EmbeddingRecipe:
    """A satellite encoder and what is made of its vectors.

    Attributes:
        steps: 12 months, 4 quarters or 1 median of the year.
        head: turns vectors into numbers.
        months: (T,) calendar month of each date of the series, 0..11.
    """

    steps: int
    head: Head
    months: npt.NDArray[np.integer[Any]]

    def open(self, path: Path, device: Device, grid: Grid, notice: Notice) -> PixelPredictor | TileModel:
        """See `Recipe`."""
        predictor = EmbeddingPredictor.open(path, device, steps=self.steps, notice=notice)
        return EmbeddingTiles(predictor, self.head, self.months)
