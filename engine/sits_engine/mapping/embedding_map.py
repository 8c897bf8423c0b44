"""Maps from vectors of pixels in the space of words and photos: classes, similarities, ratings.

A satellite encoder makes a vector of every pixel, a head turns it into a few numbers, and the vectors of a
tile never exist together. Tiles, journal, sieve and files are those of crop maps (`pipeline`, `produce`). The
encoder may look at neighbours: a tile is read with a margin, and what lies beyond the images isn't clear.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sits_engine.learning.scenicness import expected
from sits_engine.learning.zeroshot import levelled
from sits_engine.mapping.classify import TileResult, nothing_of
from sits_engine.mapping.tiles import DEFAULT_TILE, tile_size_for
from sits_engine.series.types import Cube, Window

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
#: Similarities and ratings are kept in these steps: far below what they can tell, and files become smaller.
STEP = 2.0**-13
#: Answers of a tile (K numbers a pixel, float32, a few times over) may take this much (bytes).
MAX_ANSWER_BYTES = 64 * 2**20


class Embedder(Protocol):
    """The part of `models.photo_inference.EmbeddingPredictor` that a map needs."""

    @property
    def context(self) -> int: ...  # noqa: D102
    def predict_cube(  # noqa: D102
        self,
        values: npt.NDArray[np.generic],
        valid: Mask,
        scale: Floats,
        offset: Floats,
        months: npt.NDArray[np.integer[Any]],
        head: Callable[[Tensor], Tensor],
        *,
        margin: int = 0,
        wanted: Mask | None = None,
    ) -> Floats: ...


class Head(Protocol):
    """What becomes of the vectors of a tile."""

    @property
    def bands(self) -> int:
        """B numbers of a pixel in the file beside the classes."""

    def answers(self, vectors: Tensor) -> Tensor:
        """(n, dim) unit vectors -> (n, K), on the device of the vectors."""

    def result(self, answers: Floats, seen: Mask, beside: bool) -> TileResult:
        """(K, H, W) answers, (H, W) where they hold -> what the map holds; with B numbers if `beside`."""


class ClassHead:
    """The most similar class, its confidence, and the cosines of all classes.

    Args:
        classes: (K, dim) unit vectors.
        scale: of cosines in the soft-max of the confidence.
        factors: (K,) of `zeroshot.level_factors`: normalised scores instead of raw ones.
    """

    def __init__(self, classes: Floats, scale: float, factors: Floats | None = None) -> None:
        self.classes, self.scale, self.factors = classes, scale, factors

    @property
    def bands(self) -> int:
        """Classes."""
        return len(self.classes)

    def answers(self, vectors: Tensor) -> Tensor:
        """(n, K) cosines."""
        return vectors @ torch.as_tensor(self.classes, device=vectors.device).T

    def result(self, answers: Floats, seen: Mask, beside: bool) -> TileResult:
        """Classes 1..K and confidence in percent; beside: raw cosines."""
        kept = _kept(answers, seen) if beside else None
        if self.factors is not None:
            answers = np.asarray(levelled(answers, self.factors[:, None, None]), np.float32)
        best = answers.argmax(axis=0)
        # soft-max of the best one, class by class to save memory
        top = answers.max(axis=0)
        total = np.zeros_like(top)
        for one in answers:
            total += np.exp(self.scale * (one - top))
        percent = np.clip(np.rint(100 / total), 1, 100)
        classes = np.where(seen, best + 1, 0).astype(np.uint8)
        return TileResult(classes, np.where(seen, percent, 0).astype(np.uint8), kept)


class ValueHead:
    """One number of a pixel, which is no class: the base of the next two."""

    bands = 1

    def result(self, answers: Floats, seen: Mask, beside: bool) -> TileResult:
        """Class 1 where something was seen; beside: the numbers."""
        classes = seen.astype(np.uint8)
        return TileResult(classes, classes, _kept(answers, seen) if beside else None)


class SimilarityHead(ValueHead):
    """Cosine with one vector.

    Args:
        vector: (dim,) unit vector.
    """

    def __init__(self, vector: Floats) -> None:
        self.vector = vector

    def answers(self, vectors: Tensor) -> Tensor:
        """(n, 1) cosines."""
        return vectors @ torch.as_tensor(self.vector, device=vectors.device)[:, None]


class RatingHead(ValueHead):
    """Expected rating from described scenes.

    Args:
        prompts: (P, dim) unit vectors of the descriptions.
        ratings: (P,).
        scale: of cosines in the soft-max.
        voter: (P,) voter of each description for late ensembling; None for early.
    """

    def __init__(
        self, prompts: Floats, ratings: Floats, scale: float, voter: npt.NDArray[np.int64] | None
    ) -> None:
        self.prompts, self.ratings, self.scale = prompts, ratings, scale
        self.voter = () if voter is None else tuple(voter.tolist())

    def answers(self, vectors: Tensor) -> Tensor:
        """(n, 1) ratings."""
        cosines = vectors @ torch.as_tensor(self.prompts, device=vectors.device).T
        return expected(cosines, self.ratings, self.scale, self.voter)[:, None]


class EmbeddingTiles:
    """What the pipeline needs of a satellite encoder, a head and a series (`classify.TileModel`).

    Attributes:
        predictor: the encoder.
        head: what is made of its vectors.
        months: (T,) calendar month of each date of the series, 0..11.
    """

    scale = 1

    def __init__(self, predictor: Embedder, head: Head, months: npt.NDArray[np.integer[Any]]) -> None:
        self.predictor, self.head, self.months = predictor, head, months

    @property
    def margin(self) -> int:
        """Pixels around a tile that the encoder sees."""
        return self.predictor.context // 2

    def area(self, tile: Window) -> Window:
        """The tile with its margin, which may reach over the grid's edge."""
        m = self.margin
        return Window(tile.row - m, tile.col - m, tile.height + 2 * m, tile.width + 2 * m)

    def needed(self, tile: Window, inside: Mask | None) -> bool:
        """A pixel of the tile is wanted."""
        return inside is None or bool(inside.any())

    def nothing(self, tile: Window, want_probabilities: bool) -> TileResult:
        """Result of a tile that needs not be seen."""
        empty = nothing_of(tile)
        if not want_probabilities:
            return empty
        values = np.full((self.head.bands, tile.height, tile.width), np.nan, np.float32)
        return TileResult(empty.classes, empty.confidence, values)

    def seen(self, cube: Cube, inside: Mask | None) -> Mask:
        """(H, W) pixels of a tile that are wanted and clear at any date."""
        m, height, width = self.margin, cube.valid.shape[1], cube.valid.shape[2]
        seen = np.asarray(cube.valid[:, m : height - m, m : width - m].any(axis=0))
        return seen if inside is None else seen & inside

    def answers(self, cube: Cube, wanted: Mask, step: Callable[[int], None] | None = None) -> Floats:
        """(K, H, W) numbers of the head; zeros where not wanted.

        Args:
            cube: `area(tile)` of the series.
            wanted: (H, W), of `seen`.
            step: called after each batch with the pixels done; may raise to stop. In all, it gets H * W.
        """
        done = 0
        lock = threading.Lock()

        def head(vectors: Tensor) -> Tensor:
            nonlocal done
            found = self.head.answers(vectors)
            with lock:
                done += len(vectors)
            if step is not None:
                step(len(vectors))
            return found

        out = self.predictor.predict_cube(
            cube.values,
            cube.valid,
            cube.scale,
            cube.offset,
            self.months,
            head,
            margin=self.margin,
            wanted=wanted,
        )
        if step is not None:
            step(wanted.size - done)
        return out

    def classify(
        self,
        cube: Cube,
        tile: Window,
        inside: Mask | None,
        positions: npt.NDArray[np.int32],
        *,
        want_probabilities: bool = False,
        step: Callable[[int], None] | None = None,
    ) -> TileResult:
        """What the map holds of a tile; positions are not asked: the encoder counts in months."""
        seen = self.seen(cube, inside)
        return self.head.result(self.answers(cube, seen, step), seen, want_probabilities)


def embedding_tile_size(
    predictor: Embedder, dates: int, bands: int, answers: int, itemsize: int = 2, largest: int = 0
) -> int:
    """Side of a tile so that what is read for it and its answers stay small.

    Args:
        predictor: the encoder.
        dates, bands: of the series, as they are read.
        answers: K numbers of a pixel.
        itemsize: bytes of one value in the files.
        largest: side that is wished, 0 for the usual one.
    """
    side = tile_size_for(dates, bands, itemsize, largest or DEFAULT_TILE)
    while side >= 64 and side * side * answers * 4 * 3 > MAX_ANSWER_BYTES:
        side //= 2
    return side


def _kept(answers: Floats, seen: Mask) -> Floats:
    """(K, H, W) in steps of `STEP`, NaN where nothing was seen."""
    out = np.full(answers.shape, np.nan, np.float32)
    out[:, seen] = np.rint(answers[:, seen] / STEP) * STEP
    return out
