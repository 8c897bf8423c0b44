"""`pixel_network.cpp`: the whole network on single pixels, where a C++ compiler is at hand.

Whether it is used depends on the machine and the network alone, never on how much there is to do: all tiles
of a map, computed today or after an interruption, are computed in the same way.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sits_engine.models import compiled, workers
from sits_engine.models import folded as form

Floats = npt.NDArray[np.float32]
#: Numbers that it reads as they are.
KINDS = {np.dtype(np.uint16): 0, np.dtype(np.int16): 1, np.dtype(np.float32): 2}
#: Weights of the layers that each date goes through ('standard' has 47,000): they must stay in the cache of
#: a core.
MOST_WEIGHTS = 2**17
#: Pixels of a call: enough for its cost, few enough to share the work among threads. It takes them by 48.
PIXELS, STEP = 1536, 48


@dataclass(frozen=True)
class PixelKernel:
    """One multiplied-out network, packed for the compiled function.

    Attributes:
        function: `sits_pixels`.
        folded: the network.
        shape, weights: the same as the function takes them.
    """

    function: Any
    folded: form.Folded
    shape: npt.NDArray[np.int64]
    weights: Floats

    def predict(
        self,
        values: npt.NDArray[np.generic],
        valid: npt.NDArray[np.bool_],
        scale: Floats,
        offset: Floats,
        positions: npt.NDArray[np.generic],
        out: Floats,
    ) -> None:
        """Probabilities of single pixels, on as many threads as PyTorch may use.

        Args:
            values, valid, scale, offset, positions: as `Predictor.predict_pixels` takes them, of a kind that
                it `suits`.
            out: (N, K) float32, contiguous: receives them; zeros for a pixel without any valid date.
        """
        days = torch.from_numpy(np.asarray(positions, np.float32))
        calendar = form.calendar(self.folded, days).contiguous().numpy()
        scale, offset = (np.ascontiguousarray(a, np.float32) for a in (scale, offset))
        item = values.itemsize

        size = workers.part_size(len(out), PIXELS, STEP, torch.get_num_threads())

        def classify(start: int) -> None:
            part = slice(start, start + size)
            v, ok, p = _adjoining(values[:, :, part]), _adjoining(valid[:, part]), out[part]
            self.function(
                v.ctypes.data,
                KINDS[v.dtype],
                v.strides[0] // item,
                v.strides[1] // item,
                ok.ctypes.data,
                ok.strides[0],
                v.shape[2],
                v.shape[0],
                *(a.ctypes.data for a in (scale, offset, calendar, self.shape, self.weights, p)),
            )

        workers.run(classify, range(0, len(out), size))


def suits(values: npt.NDArray[np.generic]) -> bool:
    """True where the function knows numbers of this kind."""
    return values.dtype in KINDS


def _adjoining(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array, copied where its last dimension doesn't lie together (chosen pixels often don't)."""
    whole = all(stride % array.itemsize == 0 for stride in array.strides)
    return array if whole and array.strides[-1] == array.itemsize else np.ascontiguousarray(array)


def kernel_of(folded: form.Folded) -> PixelKernel | None:
    """The compiled form of a network, where it is small enough and there is a compiler."""
    before = [*folded.mlp1, folded.pixel_mlp2, *folded.mlp2[1:], folded.inconv]
    if sum(weight.numel() for weight, _ in [*before, folded.score]) > MOST_WEIGHTS:
        return None
    found = load()
    return None if found is None else _pack(*found, folded)


def _pack(function: Any, tile: int, folded: form.Folded) -> PixelKernel:
    before = [*folded.mlp1, folded.pixel_mlp2, *folded.mlp2[1:], folded.inconv]
    after = [*folded.mlp3, *folded.decoder]
    shape = [
        len(before),
        before[0][0].shape[1],
        *(len(bias) for _, bias in before),
        len(folded.score[1]),
        len(after),
        len(before[-1][1]),
        *(len(bias) for _, bias in after),
        len(folded.last[1]),
    ]
    parts: list[Floats] = []
    for weight, bias in [*before, folded.score, *after, folded.last]:
        outputs, inputs = weight.shape
        more = -outputs % tile
        blocks = np.pad(weight.cpu().numpy(), ((0, more), (0, 0))).reshape(-1, tile, inputs)
        parts += [blocks.transpose(0, 2, 1).ravel(), np.pad(bias.cpu().numpy(), (0, more))]
    weights = np.concatenate(parts, dtype=np.float32)
    return PixelKernel(function, folded, np.array(shape, np.int64), weights)


@cache
def load() -> tuple[Any, int] | None:
    """Compile, load and try the function; it and the outputs of a block."""
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    arguments = [pointer, *[number] * 3, pointer, *[number] * 3, *[pointer] * 6]
    found = compiled.function("pixel_network.cpp", "sits_pixels", arguments, "sits_tile")
    return found if found and _right(*found) else None


def _right(function: Any, tile: int) -> bool:
    """True where it gives the numbers of the plain form for some pixels, one of them without a date."""
    made = torch.Generator().manual_seed(0)

    def layer(outputs: int, inputs: int) -> form.Affine:
        # Small, so that no probability is all or nothing.
        weight = torch.randn(outputs, inputs, generator=made) * 0.5
        return weight, torch.randn(outputs, generator=made) * 0.5

    network = form.Folded(
        mlp1=(layer(9, 3),),
        mlp2=(layer(8, 18),),
        pixel_mlp2=layer(8, 9),
        inconv=layer(6, 8),
        score=layer(2, 6),
        mlp3=(layer(5, 6),),
        decoder=(layer(7, 5),),
        last=layer(4, 7),
        expand=torch.eye(2).repeat_interleave(3, 0),
    )
    values = torch.randn(5, 3, 70, generator=made)
    valid = torch.rand(5, 70, generator=made) < 0.6
    valid[:, 7] = False
    scale, offset = torch.full((5, 3), 0.5), torch.full((5, 3), 0.1)
    positions = np.arange(5) * 20
    rows = (values.transpose(1, 2) * 0.5 + 0.1).reshape(-1, 3)
    x = form.sequence_of_pixels(network, rows).view(5, 70, -1)
    days = form.calendar(network, torch.from_numpy(positions))
    wanted = torch.softmax(form.logits(network, x, days, valid), 1) * valid.any(0).unsqueeze(1)
    found = np.empty((70, 4), np.float32)
    v, ok, a, b = (x.numpy() for x in (values, valid, scale, offset))
    _pack(function, tile, network).predict(v, ok, a, b, positions, found)
    return bool(np.allclose(found, wanted.numpy(), 1e-3, 1e-4))
