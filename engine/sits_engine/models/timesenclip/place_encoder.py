"""`place_encoder.cpp`: the multiplied-out satellite encoder up to its head, where a C++ compiler is at hand.

A lane of a vector is a place, so that norms, scores and soft-max need no sums across vectors; what a few
tokens give stays in the cache of a core, and weights are fetched before they are needed. Whether it is used
depends on the machine and the network alone.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, cast

import torch
from torch import Tensor

from sits_engine.models import compiled
from sits_engine.models.blank import blank
from sits_engine.models.timesenclip.encoder import SatelliteEncoder
from sits_engine.models.timesenclip.folded import Folded, Layer, Pair, class_token, encode, fold, head

#: (B, T, F) images, (B, T) mask or None -> (B, embedding), as `folded.encode`.
Encode = Callable[[Tensor, Tensor | None], Tensor]


@dataclass(frozen=True)
class PlaceEncoder:
    """One network for given steps, packed for the compiled function.

    Attributes:
        function: `sits_encode`.
        shape, eps, weights: as the function takes them.
        dim: numbers of the class token.
    """

    function: Any
    shape: Any
    eps: float
    weights: Tensor
    dim: int

    def class_token(self, images: Tensor, mask: Tensor | None) -> Tensor:
        """What all layers make of the class token.

        Args:
            images: (B, T, F) float32 on the processor, normalised.
            mask: (B, T) True where used; None: all.

        Returns:
            (B, dim).
        """
        given = images.contiguous()
        used = None if mask is None else mask.contiguous()
        out = images.new_empty(len(images), self.dim)
        self.function(
            given.data_ptr(),
            None if used is None else used.data_ptr(),
            len(given),
            self.shape,
            self.eps,
            self.weights.data_ptr(),
            out.data_ptr(),
        )
        return out


def encoder_of(folded: Folded) -> Encode:
    """`folded.encode` of one network, compiled where that can be done."""
    made = place_encoder_of(folded)
    if made is None:
        return partial(encode, folded)
    return lambda images, mask: head(folded, made.class_token(images, mask))


def place_encoder_of(folded: Folded) -> PlaceEncoder | None:
    """The compiled form of a network on a processor, where its widths suit and there is a compiler."""
    found = load() if folded.embedding.device.type == "cpu" else None
    return None if found is None else _pack(*found, folded)


def _pack(function: Any, tile: int, folded: Folded) -> PlaceEncoder | None:
    dim, bands = folded.embedding.shape
    tokens, heads = len(folded.token), folded.heads
    hidden = len(folded.layers[0].first[1])
    if dim // heads % tile or hidden % tile:
        return None
    parts = [_product(tile, folded.embedding), folded.token.ravel()]
    for number, layer in enumerate(folded.layers):
        if number == len(folded.layers) - 1:
            parts += _last(tile, layer, heads)
        elif number == 0 and folded.first is not None:
            columns, (out, bias) = folded.first.qk, folded.first.out
            kept = out.view(dim, heads, -1)[:, :, : bands + tokens]
            parts += [_product(tile, columns[:, :bands]), columns[:, bands : bands + tokens].T.ravel()]
            parts += _rest(tile, layer, (kept.flatten(1), bias))
        else:
            parts += [_product(tile, *layer.qkv), *_rest(tile, layer, layer.out)]
    shape = (tokens - 1, bands, dim, heads, hidden, len(folded.layers))
    flags = (folded.first is not None, folded.activation == "gelu")
    return PlaceEncoder(
        function, (ctypes.c_int64 * 8)(*shape, *flags), folded.layers[0].eps, torch.cat(parts), dim
    )


def _product(tile: int, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Blocks of `tile` outputs, (inputs, tile) each, then the biases."""
    outputs, inputs = weight.shape
    blocks = weight.reshape(-1, tile, inputs).transpose(1, 2).ravel()
    return torch.cat([blocks, weight.new_zeros(outputs) if bias is None else bias])


def _rest(tile: int, layer: Layer, out: Pair) -> list[Tensor]:
    seen, first, second = (_product(tile, *pair) for pair in (out, layer.first, layer.second))
    return [seen, *layer.norm1, first, second, *layer.norm2]


def _last(tile: int, layer: Layer, heads: int) -> list[Tensor]:
    weight, bias = layer.qkv
    dim = weight.shape[1]
    keys, values = (weight[i * dim : (i + 1) * dim].view(heads, -1, dim) for i in (1, 2))
    return [
        _product(tile, weight[:dim], bias[:dim]),
        *(_product(tile, key.T) for key in keys),
        *(_product(tile, *one) for one in zip(values, bias[2 * dim :].view(heads, -1), strict=True)),
        *_rest(tile, layer, layer.out),
    ]


@cache
def load() -> tuple[Any, int] | None:
    """Compile, load and try the function; it and the outputs of a block."""
    pointer, numbers = ctypes.c_void_p, ctypes.POINTER(ctypes.c_int64)
    arguments = [pointer, pointer, ctypes.c_int64, numbers, ctypes.c_float, pointer, pointer]
    found = compiled.function("place_encoder.cpp", "sits_encode", arguments, "sits_tile")
    return found if found and _right(*found) else None


@torch.no_grad()
def _right(function: Any, tile: int) -> bool:
    """True where it gives the numbers of the plain operators for some places, months of some missing."""
    made = torch.Generator().manual_seed(0)
    sizes: dict[str, Any] = {
        "dim": 4 * tile,
        "depth": 3,
        "heads": 2,
        "feedforward": tile,
        "activation": "gelu",
    }
    # Without the values that a network begins with: those would be drawn from the numbers of a training.
    empty = blank(lambda: SatelliteEncoder(n_bands=3, embedding=4, **sizes)).to_empty(device="cpu")
    module = cast(SatelliteEncoder, empty)
    for parameter in module.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=made) * 0.3)
    network = fold(module, module.months_of(12)[:4])
    images, mask = torch.rand(37, 4, 3, generator=made), torch.rand(37, 4, generator=made) < 0.7
    packed = _pack(function, tile, network)
    wanted = class_token(network, images, mask)
    return packed is not None and torch.allclose(packed.class_token(images, mask), wanted, 1e-3, 1e-3)
