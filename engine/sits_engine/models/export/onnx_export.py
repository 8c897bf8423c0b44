"""The network as an ONNX file with its card, checked against PyTorch before it appears."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import platform
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sits_engine import outputs
from sits_engine.errors import InputError, ModelError
from sits_engine.models.card import FORMAT, ModelCard
from sits_engine.models.export.forms import BATCH, DATES, PIXELS, Form, form_of
from sits_engine.models.model_file import CARD_KEY, CARD_SHA_KEY

#: Version of ONNX's operators; read by ONNX Runtime from 1.14, OpenVINO and TensorRT of 2023.
OPSET = 18
#: Key of the inputs and outputs in the metadata, beside the card's.
PORTS_KEY = "sits_onnx"
#: Largest difference between a number of the exported network and of PyTorch's (probabilities, or parts of a
#: vector of length 1). Rounding in float32 gives 1e-6 to 1e-5.
TOLERANCE = 1e-4
#: (batch, dates, pixels of a set) of the network's trace, and of the inputs that are tried.
TRACED = (2, 3, 3)
TRIED = ((2, 3, 3), (1, 1, 1), (5, 7, 2), (3, 24, 8))


@dataclasses.dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        form: inputs and output.
        parameters: number of weights of the network as trained.
        opset: of the operators.
        difference: the largest one between ONNX Runtime and PyTorch.
        tries: inputs that were compared.
    """

    form: Form
    parameters: int
    opset: int
    difference: float
    tries: int


def export_onnx(
    path: Path, module: nn.Module, card: ModelCard, tick: Callable[[float], None] = lambda share: None
) -> Exported:
    """Write `module` as ONNX to `path`, if ONNX Runtime gives the numbers of PyTorch; else no file.

    Args:
        path: ends with .onnx.
        module: the network that the card describes, in eval mode, on the CPU.
        card: its card; goes into the metadata as in a model file.
        tick: called with the done share; may raise to stop.

    Raises:
        InputError: a network that makes no maps, or no ONNX Runtime on this computer.
        ModelError: the exported network gives other numbers than PyTorch's.
    """
    session_of = _runtime()
    form = form_of(module, card).eval()
    program = _traced(form)
    tick(0.5)
    with outputs.atomic(Path(path)) as temporary:
        model = program.model
        for node in model.graph.all_nodes():
            # where in which file on this computer the operator was called
            node.metadata_props.clear()
        text = card.model_copy(update={"format": FORMAT, "fast": None}).model_dump_json(exclude={"fast"})
        model.producer_name = "SITS for QGIS"
        model.metadata_props[CARD_KEY] = text
        model.metadata_props[CARD_SHA_KEY] = hashlib.sha256(text.encode()).hexdigest()
        model.metadata_props[PORTS_KEY] = json.dumps(ports(form))
        program.save(temporary)
        tick(0.6)
        # from memory: Windows doesn't rename a file that is open
        session = session_of(temporary.read_bytes())
        worst = 0.0
        for number, sizes in enumerate(TRIED, start=1):
            worst = max(worst, _difference(session, form, example(form, sizes, seed=number)))
            tick(0.6 + 0.4 * number / len(TRIED))
        if not worst <= TOLERANCE:
            raise ModelError(
                f"The exported network gives other numbers than PyTorch's: they differ by up to {worst:.2g}, "
                f"allowed are {TOLERANCE:g}. No file was written.",
                "This is a defect of SITS for QGIS or of ONNX Runtime: please send the log file with a bug "
                "report.",
                difference=worst,
            )
    count = sum(one.numel() for one in module.parameters())
    return Exported(form, count, OPSET, worst, len(TRIED))


def ports(form: Form) -> dict[str, Any]:
    """Names, types, shapes and meaning of inputs and output, as stored in the file."""
    return {
        "opset": OPSET,
        "inputs": [dataclasses.asdict(port) for port in form.inputs],
        "outputs": [dataclasses.asdict(form.output)],
        "most_dates": form.most_dates,
    }


def example(form: Form, sizes: tuple[int, int, int], seed: int) -> tuple[Tensor, ...]:
    """Random inputs: values like those of the training, a third of the pixels clouded, some dates wholly.

    The first of a batch is wholly clear, the last of several has no clear date at all.

    Args:
        form: whose inputs.
        sizes: batch, dates (at most `most_dates` are taken) and pixels of a set.
        seed: the same seed gives the same numbers.
    """
    random = torch.Generator().manual_seed(seed)
    batch, dates, pixels = sizes
    dates = min(dates, form.most_dates or dates)
    free = {BATCH: batch, DATES: dates, PIXELS: pixels}
    given = []
    for port in form.inputs:
        shape = [
            free[axis] if length < 0 else length for axis, length in zip(port.axes, port.shape, strict=True)
        ]
        if port.data_type == "bool":
            clear = torch.rand(shape, generator=random) < 0.67
            some = torch.rand(shape[:2], generator=random) < 0.75
            clear &= some.view(*shape[:2], *[1] * (len(shape) - 2))
            clear[0] = True
            if batch > 1:
                clear[-1] = False
            given.append(clear)
        elif port.axes == (BATCH, DATES):
            low, high = form.days
            # no day twice where that can be: published forms take it for padding
            span = high + 1 - low
            rows = [torch.randperm(max(span, dates), generator=random)[:dates] for _ in range(batch)]
            days = (torch.stack(rows) % span + low).sort(1).values
            given.append(days if port.data_type == "int64" else days.float())
        else:
            normal = torch.randn(shape, generator=random).movedim(2, -1)
            given.append((normal * form.std + form.mean).movedim(-1, 2).contiguous())
    return tuple(given)


def _difference(session: Any, form: Form, given: Sequence[Tensor]) -> float:
    """The largest one between ONNX Runtime and PyTorch; infinite where a number is none."""
    numbers = {port.name: x.numpy() for port, x in zip(form.inputs, given, strict=True)}
    found = torch.from_numpy(session.run([form.output.name], numbers)[0])
    with torch.no_grad():
        wanted = form.plain(*given)
    if found.shape != wanted.shape or not bool(torch.isfinite(found).all()):
        return float("inf")
    return float((found - wanted).abs().max())


def _traced(form: Form) -> Any:
    """The network as PyTorch's exporter sees it (torch.onnx.ONNXProgram)."""
    free = {
        BATCH: torch.export.Dim("batch", min=1),
        # of one date the axis is not free, and no bounds are asked for
        DATES: torch.export.Dim("dates", min=1, max=form.most_dates if form.most_dates != 1 else None),
        PIXELS: torch.export.Dim("pixels", min=1),
    }
    shapes = tuple(
        {place: free[port.axes[place]] for place, length in enumerate(port.shape) if length < 0}
        for port in form.inputs
    )
    with _quiet():
        # dynamo: the older exporter writes the lengths of the trace into the file in many places
        return torch.onnx.export(
            form,
            example(form, TRACED, 0),
            dynamo=True,
            opset_version=OPSET,
            input_names=[port.name for port in form.inputs],
            output_names=[form.output.name],
            dynamic_shapes=shapes,
            verbose=False,
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's warnings, which are for PyTorch's developers, and the encoder's fast path."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript")]
    levels = [one.level for one in loggers]
    fast = torch.backends.mha.get_fastpath_enabled()
    # one operator for a whole transformer layer, which no other program knows
    torch.backends.mha.set_fastpath_enabled(False)
    for one in loggers:
        one.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for one, level in zip(loggers, levels, strict=True):
            one.setLevel(level)


def _runtime() -> Callable[[bytes], Any]:
    """What opens the content of an ONNX file for inference.

    Raises:
        InputError: there is no ONNX Runtime.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"Exporting needs ONNX Runtime, which checks the file, and onnxscript; {error.name} is not there "
            f"({platform.system()}, {platform.machine()}).",
            "Export on Windows, macOS or Linux with an x86-64 processor; the file runs anywhere.",
        ) from error

    def opened(content: bytes) -> Any:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    return opened
