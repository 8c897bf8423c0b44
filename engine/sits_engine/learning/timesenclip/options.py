"""What a user chooses about a satellite encoder that learns from photos, and what a run makes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from sits_engine.errors import InputError
from sits_engine.learning.effort import Effort, Width
from sits_engine.learning.processes import Processes
from sits_engine.learning.segmentation.recipes import Recipe
from sits_engine.learning.timesenclip.contrastive import QUEUE
from sits_engine.learning.timesenclip.masking import Masking
from sits_engine.models.registry import timesenclip_hyperparameters

#: (most epochs, fewest and most steps altogether); thorough has the published 200 epochs.
_LIMITS: dict[Effort, tuple[int, int, int]] = {
    "quick": (40, 400, 1_500),
    "standard": (100, 1_500, 8_000),
    "thorough": (200, 4_000, 1_000_000),
}
#: Highest rates: a small network that sees hundreds of places learns with more than the published 0.0001.
RATES: dict[Width, float] = {"small": 1e-3, "standard": 1e-4}
#: Places from which on the published width is worth its time on a graphics card.
MANY = 5_000
#: With fewer places nothing can be learned, or held out.
FEWEST = 20


@dataclass(frozen=True)
class PhotoOptions:
    """The user's choices; None leaves one to `settle`.

    Attributes:
        width: 'standard' is the published network.
        effort: how long to train.
        form: 'released' (ReLU, one layer behind the transformer) or 'paper' (GELU, two).
        masking: see `masking.draw`.
        published: as released: masking drawn once a batch, only past keys are negatives, positions start at
            zero.
        queue: past keys at most.
        pooling: of the photos of a place.
        normalisation: bands by percentiles of the training data, or by the published constants.
        split: 'blocks' of land, single 'places', or 'none' (no test, last weights).
        block_size: metres, None chooses.
        epochs, batch_size, learning_rate: of the training.
        seed: of everything.
        season_year: for the card.
        provenance, parameters: for card and report.
    """

    width: Width | None = None
    effort: Effort = "standard"
    form: Literal["released", "paper"] = "released"
    masking: Masking = "mixed"
    published: bool = False
    queue: int = QUEUE
    pooling: Literal["average", "attention"] = "average"
    normalisation: Literal["data", "published"] = "data"
    split: Literal["blocks", "places", "none"] = "blocks"
    block_size: float | None = None
    epochs: int | None = None
    batch_size: int = 256
    learning_rate: float | None = None
    seed: int = 1
    season_year: int = 1970
    provenance: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PhotoSettings:
    """What a run uses; names as in `PhotoOptions`.

    Attributes:
        patience: epochs without progress after which training stops.
        weight_decay: of AdamW.
        warm_up: share of the steps in which the rate rises (published: 10 of 200 epochs).
    """

    hyperparameters: dict[str, Any]
    epochs: int
    steps_per_epoch: int
    batch_size: int
    learning_rate: float
    queue: int
    patience: int
    weight_decay: float = 1e-6
    warm_up: float = 0.05

    @property
    def recipe(self) -> Recipe:
        """The paper's optimiser and schedule: AdamW, warm-up, half a cosine."""
        return Recipe(
            self.learning_rate, "cosine", "adamw", warm_up=self.warm_up, weight_decay=self.weight_decay
        )

    def as_json(self) -> dict[str, Any]:
        """Names as in the job, where it has them."""
        names = ("epochs", "steps_per_epoch", "batch_size", "learning_rate", "queue", "patience")
        plain: dict[str, Any] = {name: getattr(self, name) for name in names}
        plain |= {name: self.hyperparameters[name] for name in ("dim", "depth", "heads", "feedforward")}
        return {**plain, "weight_decay": self.weight_decay, "warm_up": self.warm_up}


def check_processes(published: bool, processes: Processes) -> None:
    """Only the form that isn't `published` can be shared.

    Raises:
        InputError: several processes would train the other: what it hides is that of a batch's first place.
    """
    if published and processes.size > 1:
        raise InputError("PUBLISHED trains in one process.", "Start it without torchrun.")


def settle(
    options: PhotoOptions, n_bands: int, context: int, embedding: int, n_train: int, *, on_processor: bool
) -> PhotoSettings:
    """Fill in what the user left open.

    Args:
        options: the choices.
        n_bands, context, embedding: of the network.
        n_train: places that are trained on.
        on_processor: no graphics card is used.
    """
    width: Width = options.width or ("small" if on_processor or n_train < MANY else "standard")
    changes: dict[str, Any] = {"activation": "gelu", "head": "mlp"} if options.form == "paper" else {}
    epochs, fewest, most = _LIMITS[options.effort]
    epochs = options.epochs or epochs
    # a place twice in a batch would teach nothing
    batch = min(options.batch_size, n_train)
    steps = max(1, n_train // batch)
    if options.epochs is None:
        steps = max(-(-fewest // epochs), min(-(-most // epochs), steps))
    # a ring longer than the other places would hold some of them several times
    queue = options.queue if options.published else min(options.queue, n_train - batch)
    return PhotoSettings(
        hyperparameters=timesenclip_hyperparameters(
            n_bands, embedding=embedding, context=context, width=width, **changes
        ),
        epochs=epochs,
        steps_per_epoch=steps,
        batch_size=batch,
        learning_rate=options.learning_rate or RATES[width],
        queue=queue,
        patience=max(10, epochs // 4),
    )
