"""What a user chooses about a segmentation model, and what a run makes of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from sits_engine.errors import InputError
from sits_engine.learning.effort import Effort, Width
from sits_engine.learning.segmentation.fit import ContrastOptions, StageOptions
from sits_engine.learning.segmentation.flips import Turning
from sits_engine.learning.segmentation.recipes import recipe
from sits_engine.models.registry import segmentation_hyperparameters
from sits_engine.samples.classes import ClassTable
from sits_engine.samples.windows import WindowSet

#: (most epochs, fewest and most steps an epoch). Thorough has the published number of epochs (France).
_LIMITS: dict[Effort, tuple[int, int, int]] = {
    "quick": (12, 8, 20),
    "standard": (30, 12, 40),
    "thorough": (50, 20, 400),
}
#: Dates that a network is given by default: the published numbers, or all where there are fewer.
DATES = {"tsvit": 60}
OTHER_DATES = 16
#: Largest crop by default (published, France); windows may be larger.
LARGEST_CROP = 48


@dataclass(frozen=True)
class SegmentOptions:
    """What the user chose; None leaves it to `settle`.

    Attributes:
        architecture: a name of `models.registry.SEGMENTERS`.
        width: of the network.
        effort: how long to train.
        table: codes to classes; None: each code is a class.
        min_pixels: classes with fewer labelled pixels are dropped.
        n_dates: dates that the network is given.
        window: side of a crop in pixels of the images, at most that of the windows.
        turning: symmetries of crops in training.
        cscl: pre-train; `cscl_*` are its options (see `fit.ContrastOptions`), epochs None: as many as of
            fine-tuning (published).
        split: 'inside' cuts parts out of windows, 'regions' keeps whole ones together, 'folds' takes those
            that the windows come with.
        block_size: metres.
        folds: of each region, where it has one; with those for validation and test.
        epochs, steps_per_epoch, batch_size, learning_rate: of both stages.
        published: optimiser and rates as published (`recipes.recipe`).
        reference: the network with its published defects.
        mask_clouds: whether the windows were gathered without clouded pixels; maps are then, too.
        seed: same seed on a CPU, same model.
        season_year: that positions count from; of the first region.
        season_years: of each region, for dates of pictures; without, pictures tell the day of the year.
        regions: names of regions for the titles of pictures; empty ones tell nothing.
        pixel_size: metres of a pixel of the images.
        provenance, parameters: for card and report.
    """

    architecture: str = "tsvit"
    width: Width | None = None
    effort: Effort = "standard"
    table: ClassTable | None = None
    min_pixels: int = 100
    n_dates: int | None = None
    window: int | None = None
    turning: Turning = "all"
    cscl: bool = False
    cscl_epochs: int | None = None
    cscl_kernel: int = 3
    cscl_dilation: int = 1
    cscl_mask: bool = False
    split: Literal["blocks", "inside", "regions", "folds"] = "blocks"
    block_size: float | None = None
    folds: tuple[int, ...] = ()
    validation_fold: int = 4
    test_fold: int = 5
    epochs: int | None = None
    steps_per_epoch: int | None = None
    batch_size: int = 8
    learning_rate: float | None = None
    published: bool = False
    reference: bool = False
    mask_clouds: bool = True
    seed: int = 0
    season_year: int = 1970
    season_years: tuple[int | None, ...] = ()
    regions: tuple[str, ...] = ()
    pixel_size: float | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SegmentSettings:
    """What a run uses."""

    architecture: str
    hyperparameters: dict[str, Any]
    epochs: int
    cscl_epochs: int
    steps_per_epoch: int
    batch_size: int
    patience: int
    window: int
    n_dates: int
    finetune: StageOptions
    pretrain: StageOptions
    contrast: ContrastOptions

    def as_json(self) -> dict[str, Any]:
        """Names as in the job, where it has them."""
        names = ("architecture", "epochs", "cscl_epochs", "steps_per_epoch", "patience", "window", "n_dates")
        plain = {name: getattr(self, name) for name in names}
        plain["learning_rate"] = self.finetune.recipe.learning_rate
        plain["recipe"] = asdict(self.finetune.recipe)
        if self.cscl_epochs:
            plain["cscl"] = {**asdict(self.contrast), "recipe": asdict(self.pretrain.recipe)}
        return plain


def settle(options: SegmentOptions, train: WindowSet, usable: int, *, hidden: bool) -> SegmentSettings:
    """Fill in what the user left open.

    An epoch sees each training window about once, within the limits of the effort.

    Args:
        options: the choices.
        train: windows with their classes.
        usable: training windows with labels.
        hidden: some labels of windows belong to other sides.

    Raises:
        InputError: the window is larger than those given, or doesn't suit the network.
    """
    most, fewest, top = _LIMITS[options.effort]
    epochs = options.epochs or most
    steps = options.steps_per_epoch or min(top, max(fewest, -(-usable // options.batch_size)))
    dates = options.n_dates or min(DATES.get(options.architecture, OTHER_DATES), train.values.shape[1])
    hyperparameters = _network(options, train, dates)
    cscl_epochs = (options.cscl_epochs or epochs) if options.cscl else 0
    patience = max(6, epochs // 3)

    def stage(name: Literal["pretrain", "finetune"], n: int) -> StageOptions:
        chosen = recipe(options.architecture, name, published=options.published, rate=options.learning_rate)
        return StageOptions(n, steps, chosen, options.batch_size, patience, options.seed)

    return SegmentSettings(
        architecture=options.architecture,
        hyperparameters=hyperparameters,
        epochs=epochs,
        cscl_epochs=cscl_epochs,
        steps_per_epoch=steps,
        batch_size=options.batch_size,
        patience=patience,
        window=int(hyperparameters["window"]),
        n_dates=dates,
        finetune=stage("finetune", epochs),
        pretrain=stage("pretrain", cscl_epochs),
        contrast=ContrastOptions(
            kernel=options.cscl_kernel,
            dilation=options.cscl_dilation,
            mask_unlabelled=options.cscl_mask,
            hidden=hidden,
        ),
    )


def _network(options: SegmentOptions, train: WindowSet, dates: int) -> dict[str, Any]:
    """Hyperparameters; where the user left the crop open, the largest that suits the network."""
    largest = min(train.size)
    if options.window and options.window > largest:
        raise InputError(
            f"WINDOW is {options.window} pixels; the windows are {train.size[0]} x {train.size[1]}.",
            f"Choose at most {largest}.",
        )

    def made(window: int) -> dict[str, Any]:
        return segmentation_hyperparameters(
            options.architecture,
            len(train.bands),
            len(train.classes),
            n_dates=dates,
            scale=train.scale,
            window=window,
            width=options.width or "standard",
            reference=options.reference,
        )

    if options.window:
        return made(options.window)
    for window in range(min(largest, LARGEST_CROP), 3, -1):
        try:
            return made(window)
        except InputError:
            continue
    raise InputError(
        f"Windows of {train.size[0]} x {train.size[1]} pixels are too small for {options.architecture}.",
        "Choose a larger WINDOW, 24 for example.",
    )
