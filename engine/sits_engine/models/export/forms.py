"""What is exported of a network: from physical values and masks to probabilities, or to unit vectors.

Normalisation, temperature and what a map does with clouds are inside, so that whoever runs the file needs to
know nothing but the names, units and shapes of its inputs, which `Port` describes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from sits_engine.errors import InputError
from sits_engine.models import folded as pseltae_form
from sits_engine.models.card import ModelCard
from sits_engine.models.inference import present
from sits_engine.models.ltae import encode_positions
from sits_engine.models.pixel_set import pool_mean_std
from sits_engine.models.pseltae import PSELTAE
from sits_engine.models.segmentation.folding import folded
from sits_engine.models.segmentation.segmenter import SegmentationNetwork
from sits_engine.models.timesenclip.encoder import SatelliteEncoder
from sits_engine.models.timesenclip.steps import POSITIONS

#: Names of the axes that may have any length.
BATCH, DATES, PIXELS = "batch", "dates", "pixels"


@dataclass(frozen=True)
class Port:
    """An input or the output of an exported network.

    Attributes:
        name: in the file.
        data_type: 'float32', 'bool' or 'int64'.
        axes: what each axis is.
        shape: length of each axis, -1 where it is free.
        meaning: units and what stands there, in words.
    """

    name: str
    data_type: str
    axes: tuple[str, ...]
    shape: tuple[int, ...]
    meaning: str


class Form(nn.Module):
    """Base of the exported forms; `forward` takes the tensors of `inputs` in order and gives `output`.

    Attributes:
        tasks: what it is for, in the words of STAC's MLM extension.
        inputs, output: what goes in and what comes out.
        most_dates: upper bound of the axis 'dates', None where there is none.
        days: lowest and highest number that may stand in the input of the dates.
        batch: how many at a time suit a processor.
    """

    tasks: tuple[str, ...]
    batch: int
    inputs: tuple[Port, ...]
    output: Port
    most_dates: int | None = None
    days: tuple[int, int] = (-60, 425)

    mean: Tensor
    std: Tensor

    def __init__(self, card: ModelCard) -> None:
        super().__init__()
        self.card = card
        self.register_buffer("mean", torch.tensor([band.mean for band in card.bands]))
        self.register_buffer("std", torch.tensor([band.std for band in card.bands]))

    def plain(self, *inputs: Tensor) -> Tensor:
        """The same from the network as it was published, step by step: what the exported one must give."""
        raise NotImplementedError


class SetForm(Form):
    """PSE+LTAE, multiplied out (`models.folded`): sets of pixels, or single ones, -> probabilities.

    Args:
        module: without extra features.
        card: its card.
    """

    tasks: tuple[str, ...] = ("classification",)
    batch = 256

    def __init__(self, module: PSELTAE, card: ModelCard) -> None:
        super().__init__(card)
        if module.spatial_encoder.extra:
            raise InputError(
                "The network takes features of geometry beside pixels, which can't be exported.",
                "Train a model without them.",
            )
        self.hides_clouds = card.mask_dates and not module.reference
        # in a list: the published form is no part of what is exported
        self._published = [module]
        fold = pseltae_form.fold(module, self.mean, self.std, card.temperature)
        self.mlp1, self.mlp2, self.mlp3, self.decoder = (
            nn.ModuleList(_linear(pair) for pair in pairs)
            for pairs in (fold.mlp1, fold.mlp2, fold.mlp3, fold.decoder)
        )
        self.inconv, self.score, self.last = (_linear(pair) for pair in (fold.inconv, fold.score, fold.last))
        self.shift, self.heads = fold.shift, fold.expand.shape[1]
        bands = len(card.bands)
        clouds = "True where the pixel is real and clear at that date"
        days = card.date_convention
        if not self.hides_clouds:
            days += "; a date that repeats the one before is padding"
        self.inputs = (
            Port(
                "pixels",
                "float32",
                (BATCH, DATES, "bands", PIXELS),
                (-1, -1, bands, -1),
                "reflectance 0 to 1 (indices -1 to 1) of the pixels of a set; a single pixel is a set of one",
            ),
            Port("valid", "bool", (BATCH, DATES, PIXELS), (-1, -1, -1), clouds),
            Port("positions", "float32", (BATCH, DATES), (-1, -1), days),
        )
        self.output = Port(
            "probabilities",
            "float32",
            (BATCH, "class"),
            (-1, len(card.classes)),
            "of the classes of the card, in its order; zeros for a set that is never clear",
        )

    def forward(self, pixels: Tensor, valid: Tensor, positions: Tensor) -> Tensor:
        """See `inputs`."""
        x = torch.where(valid.unsqueeze(2), pixels, 0.0).transpose(2, 3)
        seen = valid.flatten(1).any(1, keepdim=True)
        if not self.hides_clouds:
            valid = present(valid, positions)
        dates = valid.any(2)
        for layer in self.mlp1:
            x = torch.relu(layer(x))
        x = pool_mean_std(x, valid)
        for layer in [*self.mlp2, self.inconv]:
            x = torch.relu(layer(x))
        x = x + encode_positions(positions + self.shift, x.shape[-1])
        scores = self.score(x).masked_fill(~dates.unsqueeze(2), torch.finfo(torch.float32).min)
        attention = torch.softmax(scores, 1)
        x = (attention.unsqueeze(3) * x.view(*x.shape[:2], self.heads, -1)).sum(1).flatten(1)
        for layer in [*self.mlp3, *self.decoder]:
            x = torch.relu(layer(x))
        return torch.softmax(self.last(x), 1) * seen.to(x.dtype)

    def plain(self, *inputs: Tensor) -> Tensor:
        """As the base."""
        pixels, valid, positions = inputs
        physical = pixels * valid.unsqueeze(2)
        mask = valid if self.hides_clouds else present(valid, positions)
        normal = (physical - self.mean[:, None]) / self.std[:, None]
        logits = self._published[0](normal, mask, positions, mask.any(2))
        probabilities = torch.softmax(logits / self.card.temperature, 1)
        return probabilities * valid.flatten(1).any(1, keepdim=True)


class WindowForm(Form):
    """A segmentation network, batch norms folded: a window of images -> probabilities of its pixels.

    Args:
        module: one of `registry.SEGMENTERS`.
        card: its card.
    """

    tasks: tuple[str, ...] = ("semantic-segmentation", "segmentation")
    batch = 4

    def __init__(self, module: SegmentationNetwork, card: ModelCard) -> None:
        super().__init__(card)
        self._published = [module]
        self.network = folded(module)
        self.most_dates = module.n_dates
        side, finer, bands = module.window, module.window * module.scale, len(card.bands)
        dates = -1 if module.n_dates > 1 else 1
        if module.scale > 1:
            self.tasks = (*WindowForm.tasks, "super-resolution")
        self.inputs = (
            Port(
                "images",
                "float32",
                (BATCH, DATES, "bands", "height", "width"),
                (-1, dates, bands, side, side),
                f"reflectance 0 to 1 (indices -1 to 1); at most {module.n_dates} dates, in the order of time",
            ),
            Port(
                "valid",
                "bool",
                (BATCH, DATES, "height", "width"),
                (-1, dates, side, side),
                "True where the pixel is clear at that date; a date without any is left out. "
                "Dates that fill up a batch are False and stand at the end",
            ),
            Port("positions", "float32", (BATCH, DATES), (-1, dates), card.date_convention),
        )
        self.output = Port(
            "probabilities",
            "float32",
            (BATCH, "class", "height", "width"),
            (-1, len(card.classes), finer, finer),
            "of the classes of the card, in its order"
            + (f"; {module.scale} times finer than the images" if module.scale > 1 else ""),
        )

    def forward(self, images: Tensor, valid: Tensor, positions: Tensor) -> Tensor:
        """See `inputs`."""
        normal = (images - self.mean[:, None, None]) / self.std[:, None, None]
        normal = torch.where(valid.unsqueeze(2), normal, 0.0)
        logits = self.network(normal, positions, valid.flatten(2).any(2))
        return torch.softmax(logits / self.card.temperature, 1)

    def plain(self, *inputs: Tensor) -> Tensor:
        """As the base."""
        images, valid, positions = inputs
        normal = (images - self.mean[:, None, None]) / self.std[:, None, None] * valid.unsqueeze(2)
        logits = self._published[0](normal, positions, valid.flatten(2).any(2))
        return torch.softmax(logits / self.card.temperature, 1)


class PlaceForm(Form):
    """TimeSenCLIP's satellite encoder: monthly composites of a place -> a unit vector in the space of CLIP.

    Args:
        module: the encoder.
        card: its card.
    """

    tasks: tuple[str, ...] = ("similarity-search",)
    batch = 256
    days = (0, POSITIONS - 1)
    table: Tensor

    def __init__(self, module: SatelliteEncoder, card: ModelCard) -> None:
        super().__init__(card)
        self.network = module
        self.register_buffer("table", module.positions().detach())
        side, bands = module.context, len(card.bands)
        self.inputs = (
            Port(
                "composites",
                "float32",
                (BATCH, DATES, "bands", "height", "width"),
                (-1, -1, bands, side, side),
                "median reflectance 0 to 1 of the clear dates of a month (of a quarter, of the year) around "
                "a place; pixels that are not clear take the value of the one in the middle",
            ),
            Port(
                "valid", "bool", (BATCH, DATES), (-1, -1), "True where there is a clear image of that month"
            ),
            Port(
                "months",
                "int64",
                (BATCH, DATES),
                (-1, -1),
                "0 to 11: January to December; 12 to 15: the quarters; 16: the whole year",
            ),
        )
        self.output = Port(
            "vectors",
            "float32",
            (BATCH, "embedding"),
            (-1, module.embedding),
            "length 1, to compare with CLIP's vectors of photos and texts; zeros where there is no image",
        )

    def forward(self, composites: Tensor, valid: Tensor, months: Tensor) -> Tensor:
        """See `inputs`."""
        normal = (composites - self.mean[:, None, None]) / self.std[:, None, None]
        normal = torch.where(valid[:, :, None, None, None], normal.clamp(0, 1), 0.0)
        found = self.network.encode(self.network.tokens(normal), self.table[months], valid)
        return functional.normalize(found, dim=1) * valid.any(1, keepdim=True).to(found.dtype)

    def plain(self, *inputs: Tensor) -> Tensor:
        """As the base, place by place with the months that it has: nothing to hide."""
        composites, valid, months = inputs
        out = composites.new_zeros(len(composites), self.network.embedding)
        for row, there in enumerate(valid):
            if bool(there.any()):
                x = (composites[row, there] - self.mean[:, None, None]) / self.std[:, None, None]
                found = self.network(x.clamp(0, 1)[None], months[row, there][None])
                out[row] = functional.normalize(found, dim=1)[0]
        return out


def form_of(module: nn.Module, card: ModelCard) -> Form:
    """The exported form of a network.

    Raises:
        InputError: a network that makes no maps.
    """
    if isinstance(module, PSELTAE):
        return SetForm(module, card)
    if isinstance(module, SegmentationNetwork):
        return WindowForm(module, card)
    if isinstance(module, SatelliteEncoder):
        return PlaceForm(module, card)
    raise InputError(
        f"A model of the kind '{card.architecture}' makes no maps, so there is nothing to export.",
        "Train a segmentation model on the masks that it drew, and export that one.",
    )


def _linear(pair: pseltae_form.Affine) -> nn.Linear:
    weight, bias = pair
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(bias)
    return layer
