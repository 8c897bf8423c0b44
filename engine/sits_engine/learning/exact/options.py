"""What a user chooses about masks from labels of windows, and what a run makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sits_engine.errors import InputError
from sits_engine.learning.effort import Effort, Width
from sits_engine.learning.exact.affinity import AffinitySettings
from sits_engine.learning.exact.cam import CamSettings
from sits_engine.learning.exact.losses import LossSettings
from sits_engine.learning.exact.pseudo_labels import BACKGROUND_SCORE
from sits_engine.models.registry import exact_hyperparameters
from sits_engine.samples.bags import Bags

#: (epochs, fewest and most steps altogether). Thorough has the published 20 epochs of 36,400 windows as most.
_LIMITS: dict[Effort, tuple[int, int, int]] = {
    "quick": (12, 150, 600),
    "standard": (40, 600, 2_000),
    "thorough": (60, 2_000, 15_000),
}
#: Dates that the network sees, spread evenly over the season: time and memory grow with their number.
DATES: dict[Width, int] = {"small": 16, "standard": 60}
#: Highest learning rate (published for standard).
RATES: dict[Width, float] = {"small": 2e-3, "standard": 1e-3}
#: Pixels along a side of a patch: a map has one score a patch.
PATCH = 2


@dataclass(frozen=True)
class ExactOptions:
    """What the user chose; None leaves it to `settle`.

    Attributes:
        width: of the network; None: small on a processor, standard on a graphics card.
        effort: how long to train.
        n_dates: dates that the network sees.
        prototype_mode: 'momentum' or 'gradient' (`models.exact.clues.MODES`).
        maps: 'clues' (prototypes) or 'plain' (maps of the network, for comparison).
        affinity: propagation, in training and in maps.
        threshold: score of the background; None: the fixed default of the kind of map.
        refine: sharpen masks (`refine.RefineSettings`).
        least_confidence: pixels with less are left unlabelled.
        background: 'class' gives pixels without a ticked class a class of their own, 'unlabelled' leaves
            them out.
        held_out: share of polygons that are not trained on, for the curve only.
        turning: flip and turn windows in training.
        epochs, batch_size, learning_rate: of the training.
        losses: weights of the parts; for studies.
        network: further hyperparameters of the network; for studies.
        mask_clouds: whether the windows were gathered without clouded pixels.
        seed: same seed on a CPU, same masks.
        season_year: that positions count from.
        pixel_size: metres.
        provenance, parameters: for card and report.
    """

    width: Width | None = None
    effort: Effort = "standard"
    n_dates: int | None = None
    prototype_mode: Literal["momentum", "gradient"] = "momentum"
    maps: Literal["clues", "plain"] = "clues"
    affinity: bool = True
    threshold: float | None = None
    refine: bool = True
    least_confidence: float = 0.0
    background: Literal["class", "unlabelled"] = "class"
    held_out: float = 0.1
    turning: bool = True
    epochs: int | None = None
    batch_size: int = 8
    learning_rate: float | None = None
    losses: LossSettings = field(default_factory=LossSettings)
    network: Mapping[str, Any] = field(default_factory=dict)
    mask_clouds: bool = True
    seed: int = 1
    season_year: int = 1970
    pixel_size: float | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ExactSettings:
    """What a run uses.

    Attributes:
        hyperparameters: of the network.
        n_dates: dates of a window at most.
        epochs, steps_per_epoch, batch_size, learning_rate: of the training.
        warm_up: share of the steps in which the rate rises (published: 3 of 20 epochs).
        contrast_from: share of the steps before the contrastive loss starts (published: step 4000 of about
            15,000); a fixed step would never come with few windows.
        losses, cam: see there.
        background: score of the background.
    """

    hyperparameters: dict[str, Any]
    n_dates: int
    epochs: int
    steps_per_epoch: int
    batch_size: int
    learning_rate: float
    losses: LossSettings
    cam: CamSettings
    background: float
    warm_up: float = 0.15
    contrast_from: float = 0.27

    def as_json(self) -> dict[str, Any]:
        """Names as in the job, where it has them."""
        names = ("epochs", "steps_per_epoch", "batch_size", "learning_rate", "n_dates", "warm_up")
        plain: dict[str, Any] = {name: getattr(self, name) for name in names}
        plain["contrast_from"] = self.contrast_from
        plain["threshold"] = self.background
        plain["scaling"] = self.cam.scaling
        return plain


def settle(options: ExactOptions, bags: Bags, n_train: int, *, on_processor: bool) -> ExactSettings:
    """Fill in what the user left open.

    Args:
        options: the choices.
        bags: windows and ticks.
        n_train: windows that are trained on.
        on_processor: no graphics card is used.

    Raises:
        InputError: the windows don't suit the network.
    """
    width: Width = options.width or ("small" if on_processor else "standard")
    side = bags.windows.size[0]
    if side % PATCH:
        raise InputError(
            f"WINDOW is {side} pixels; the network sees patches of {PATCH} x {PATCH} pixels.",
            f"Choose a multiple of {PATCH}, for example {side + PATCH - side % PATCH}.",
        )
    epochs, fewest, most = _LIMITS[options.effort]
    epochs = options.epochs or epochs
    steps = max(1, -(-n_train // options.batch_size))
    if options.epochs is None:
        steps = max(-(-fewest // epochs), min(-(-most // epochs), steps))
    dates = options.n_dates or DATES[width]
    hyperparameters = exact_hyperparameters(
        len(bags.windows.bands),
        len(bags.classes),
        window=side,
        width=width,
        **{"patch": PATCH, "prototype_mode": options.prototype_mode, **options.network},
    )
    losses = options.losses
    return ExactSettings(
        hyperparameters=hyperparameters,
        n_dates=min(dates, bags.windows.values.shape[1]),
        epochs=epochs,
        steps_per_epoch=steps,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate or RATES[width],
        losses=losses,
        cam=CamSettings(options.maps, AffinitySettings() if options.affinity else None),
        background=BACKGROUND_SCORE if options.threshold is None else options.threshold,
    )
