"""The machine's own ceiling, and what share of it a network reaches.

    python benchmarks/roofline.py [--device cuda]

Ceiling: the rate of float32 matrix products (on a card the best of float32, TF32 and bfloat16), all
threads, as PyTorch gives them (the best of oneDNN and the plain product, of large squares and of the
layers of PSE+LTAE in batches on a thread each), and the rate of copying 256 MiB, bytes read and written.
Work that needs F operations and moves B bytes (what is read as it comes, not what stays in the cache)
can't take less than max(F / product, B / copy); the share reached is this time over the measured one. A
multiplication and an addition are two operations.

Operations are those of the multiplied-out form that is run, not of the published one: of PSE+LTAE and the
satellite encoder counted from their hyperparameters, of other networks by PyTorch's counter while they run
(with oneDNN's operator, which it doesn't know by itself). Norms, ReLU and soft-max are left out, as usual.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import sits_engine  # noqa: F401 - first: it sets how the threads of torch wait
import torch
from sits_engine.device import Device, select, threads
from sits_engine.models import workers
from sits_engine.models.dense import affine
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

#: Sides of large products; on a graphics card four times these.
SIDES = (1024, 2048)
#: Rows of a batch of PSE+LTAE: 128 pixels on 24 dates; batches of one round.
ROWS, BATCHES = 128 * 24, 16
COPY_BYTES = 2**28


@dataclass(frozen=True)
class Ceiling:
    """What the machine can do.

    Attributes:
        product: float32 operations a second, the best that was found.
        processor: the same in a second of a processor: other programs disturb it less.
        layers: as `product`, in the layers of PSE+LTAE.
        copy: bytes a second, read and written.
    """

    product: float
    processor: float
    layers: float
    copy: float

    def share(self, rate: float, operations: float, moved: float) -> float:
        """Of the roofline, for `rate` things a second of `operations` and `moved` bytes each."""
        return rate * max(operations / self.product, moved / self.copy)

    def share_of_processor(self, rate: float, operations: float) -> float:
        """The same for `rate` things in a second of a processor."""
        return rate * operations / self.processor

    def words(self) -> str:
        """For people."""
        return (
            f"float32 products {self.product / 1e9:,.0f} GFLOP/s (in the layers of PSE+LTAE "
            f"{self.layers / 1e9:,.0f}), copy {self.copy / 1e9:,.1f} GB/s"
        )


def measure(device: Device, available: int, rounds: int = 5) -> Ceiling:
    """The ceiling of `device`, medians of `rounds`; the CPU with `available` threads."""
    torch.set_num_threads(available)
    forms: list[Callable[[], float]] = []
    with torch.no_grad():
        for side in SIDES if device.is_cpu else [4 * side for side in SIDES]:
            a, b = (torch.randn(side, side, device=device.torch) for _ in range(2))
            forms += [_product(a, b, affine), _product(a, b, torch.mm)]
            if not device.is_cpu:
                forms.append(_product(a.bfloat16(), b.bfloat16(), torch.mm))
        # TF32 where the card has it, as maps have it.
        torch.set_float32_matmul_precision("highest" if device.is_cpu else "high")
        products = [_rates(form, device, rounds) for form in forms]
        layers, layers_processor = _rates(_layers(device), device, rounds)
        source = torch.ones(COPY_BYTES // 4, device=device.torch)
        target = torch.empty_like(source)

        def copy() -> float:
            target.copy_(source)
            return 2.0 * COPY_BYTES

        moved, _ = _rates(copy, device, rounds)
    best, of_processor = (max(values) for values in zip(*products, (layers, layers_processor), strict=True))
    return Ceiling(best, of_processor, layers, moved)


def _product(a: Tensor, b: Tensor, multiply: Callable[..., Any]) -> Callable[[], float]:
    def work() -> float:
        multiply(a, b)
        return 2.0 * len(a) ** 3

    return work


def _layers(device: Device) -> Callable[[], float]:
    """Products of the widths of PSE+LTAE, one batch a thread as `Predictor` has them."""
    widths = (10, 32, 64, 128, 256)
    weights = [torch.randn(b, a, device=device.torch) for a, b in pairwise(widths)]
    x = torch.randn(ROWS, widths[0], device=device.torch)

    def batch(_: int) -> None:
        y = x
        for weight in weights:
            y = affine(y, weight)

    def work() -> float:
        workers.run(batch, range(BATCHES), parallel=device.is_cpu)
        return 2.0 * BATCHES * ROWS * sum(a * b for a, b in pairwise(widths))

    return work


def _rates(work: Callable[[], float], device: Device, rounds: int) -> tuple[float, float]:
    """What `work` says it did, a second and a second of a processor: medians of `rounds` after a trial."""
    work()
    settle(device)
    found = []
    for _ in range(rounds):
        began, processor = time.perf_counter(), time.process_time()
        done = work()
        settle(device)
        found.append((done / (time.perf_counter() - began), done / (time.process_time() - processor)))
    return statistics.median(a for a, _ in found), statistics.median(b for _, b in found)


def as_published() -> None:
    """Products in full float32, which what maps leaves otherwise on a card."""
    torch.set_float32_matmul_precision("highest")


def settle(device: Device) -> None:
    """Wait until the card has done what it was asked for; nothing on a CPU."""
    if device.torch.type == "cuda":
        torch.cuda.synchronize(device.torch)


def pseltae_operations(numbers: Mapping[str, Any], dates: int, pixels: int = 1) -> float:
    """Operations of the multiplied-out PSE+LTAE for a set.

    Args:
        numbers: hyperparameters of the card.
        dates: T.
        pixels: of the set; one pixel alone has no deviation, which halves the first layer of mlp2.
    """
    per_pixel = _chain([numbers["n_bands"], *numbers["mlp1"]])
    features = numbers["mlp1"][-1]
    pooling = 0 if pixels == 1 else 5 * features * pixels  # sum, difference, square, sum, scale
    first = features if pixels == 1 else 2 * features
    per_date = _chain([first, *numbers["mlp2"], numbers["d_model"]])
    attention = 2 * numbers["d_model"] * numbers["n_head"] + 2 * numbers["d_model"]
    head = _chain([numbers["d_model"], *numbers["mlp3"], *numbers["mlp4"], numbers["n_classes"]])
    return float(dates * (pixels * per_pixel + pooling + per_date + attention) + head)


def training_operations(numbers: Mapping[str, Any], dates: int, pixels: int) -> float:
    """Operations of a training step for a sample: forward, and gradients of weights and inputs."""
    forward = pseltae_operations(numbers, dates, pixels)
    return 3 * forward - dates * pixels * _chain([numbers["n_bands"], numbers["mlp1"][0]])


def encoder_operations(numbers: Mapping[str, Any], steps: int = 12) -> float:
    """Operations of the multiplied-out satellite encoder of TimeSenCLIP for a place (`place_encoder.cpp`).

    Args:
        numbers: hyperparameters of the card; the first layer is multiplied out, there are at least two.
        steps: T.
    """
    dim, heads, hidden = numbers["dim"], numbers["heads"], numbers["feedforward"]
    bands, tokens = numbers["n_bands"] * numbers["context"] ** 2, steps + 1
    rest = 2 * _chain([dim, hidden])
    embedding = _chain([bands, dim])
    # scores, then bands of what is seen; a head's share of the tokens is its weights themselves
    first = _chain([bands, 2 * dim]) + 2 * tokens * (dim + heads * bands)
    first += _chain([heads * (bands + tokens), dim]) + rest
    layer = _chain([dim, 3 * dim]) + 2 * tokens * 2 * dim + _chain([dim, dim]) + rest
    # one query; keys and values of the tokens themselves
    last = 4 * _chain([dim, dim]) + 2 * tokens * 2 * heads * dim + rest
    layers = numbers["depth"] - 2
    return float(tokens * (embedding + first + layers * layer) + last + _chain([dim, numbers["embedding"]]))


def _chain(widths: Sequence[int]) -> int:
    return sum(2 * a * b for a, b in pairwise(widths))


def counted(work: Callable[[], object]) -> float:
    """Operations of the products and convolutions that `work` runs on this thread."""
    own = {
        torch.ops.mkldnn._linear_pointwise: _linear_operations,
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_operations,
        torch.ops.aten.convolution: _convolution_operations,
    }
    work()  # what is tried out once a process doesn't count
    with torch.no_grad(), FlopCounterMode(display=False, custom_mapping=own) as counter:
        work()
    return float(counter.get_total_flops())


def _linear_operations(x: Sequence[int], weight: Sequence[int], *_: Any, out_shape: Any, **__: Any) -> int:
    """(..., a), (b, a)."""
    rows = 1
    for size in x[:-1]:
        rows *= size
    return 2 * rows * x[-1] * weight[0]


def _attention_operations(q: Sequence[int], k: Sequence[int], v: Sequence[int], *_: Any, **__: Any) -> int:
    """(B, H, L, d), (B, H, S, d), (B, H, S, e)."""
    batch, heads, length, width = q
    return 2 * batch * heads * length * k[-2] * (width + v[-1])


def _convolution_operations(
    x: Sequence[int],
    weight: Sequence[int],
    _bias: Any,
    stride: Sequence[int],
    padding: Sequence[int],
    _dilation: Any,
    transposed: bool,
    *_: Any,
    out_shape: Sequence[int],
    **__: Any,
) -> int:
    """(B, C, ...), (out, C, ...); products with the zeros around an image don't count: nobody makes them."""
    few, many = (x, out_shape) if transposed else (out_shape, x)
    total = 2 * x[0] * weight[0] * weight[1]
    for i in range(len(x) - 2):
        places = range(0, few[2 + i] * stride[i], stride[i])
        taps = range(-padding[i], weight[2 + i] - padding[i])
        total *= sum(0 <= place + tap < many[2 + i] for place in places for tap in taps)
    return total


def main() -> int:
    """Print the ceiling of this machine."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=threads())
    options = parser.parse_args()
    device = select(options.device)
    print(f"{device.label}: {measure(device, options.threads).words()}")
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "engine"))
    sys.exit(main())
