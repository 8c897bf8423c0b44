"""The C++ files of this folder, compiled and loaded; `set_pooling.cpp` and its trial.

A library is made for the processor at hand, so it is never taken to another. It is tried on a few numbers
first; where anything fails the plain operators do the work.
"""

from __future__ import annotations

import ctypes
import logging
import os
import subprocess  # nosec B404
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sits_engine.models.compiler import compilers

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Pool = Callable[..., tuple[Floats, Floats]]

HERE = Path(__file__).parent
#: Pixels times dates after which compiling pays.
ROWS = 2**22

log = logging.getLogger("sits_engine")

_lock = Lock()
_rows = 0


@dataclass(frozen=True)
class Kernel:
    """The compiled function.

    Attributes:
        block: the widths of all layers must be multiples of this.
        function: `sits_pool`.
    """

    block: int
    function: Any

    def pool(
        self,
        layers: Sequence[tuple[Floats, Floats]],
        values: Floats,
        valid: npt.NDArray[np.bool_],
        bounds: Ints,
        counts: Ints,
    ) -> tuple[Floats, Floats]:
        """Means and sums of squared differences from them, (G, F) each, for the pairs of `counts.nonzero()`.

        Args:
            layers: weight (b, a) and bias (b,) of each.
            values: (P, T, C) float32; valid: (P, T).
            bounds: (n, 2) first pixel of each set and the one behind its last.
            counts: (n, T) valid pixels of each set and date.
        """
        weights = np.concatenate([part for w, b in layers for part in (w.T.ravel(), b)], dtype=np.float32)
        widths = np.array([values.shape[2], *(len(b) for _, b in layers)], np.int64)
        if not suits(values, valid):
            raise ValueError("the compiled function takes contiguous float32 and bool arrays")
        bounds = np.ascontiguousarray(bounds, np.int64)
        counts = np.ascontiguousarray(counts, np.int64)
        mean = np.empty((np.count_nonzero(counts), int(widths[-1])), np.float32)
        spread = np.empty_like(mean)
        sizes = (*counts.shape, len(layers))
        given = [values, valid, bounds, counts, *sizes[:2], widths, sizes[2], weights, mean, spread]
        self.function(*(a.ctypes.data if isinstance(a, np.ndarray) else a for a in given))
        return mean, spread


def suits(values: npt.NDArray[np.generic], valid: npt.NDArray[np.generic]) -> bool:
    """True where the compiled function can read the arrays as they are."""
    kinds = values.dtype == np.float32 and valid.dtype == np.bool_
    return kinds and values.flags.c_contiguous and valid.flags.c_contiguous


def kernel(rows: int, widths: Sequence[int]) -> Kernel | None:
    """The compiled function, once enough rows were asked for; None before, and where there is none.

    Args:
        rows: pixels times dates that are about to be computed.
        widths: of the layers.
    """
    global _rows
    with _lock:
        _rows += rows
        found = load() if _rows >= ROWS else None
    return found if found and not any(width % found.block for width in widths) else None


class Maker(NamedTuple):
    """A compiler, and the instructions that it has used, with its own words for its version."""

    compiler: str
    instructions: str


def build(source: str) -> ctypes.CDLL | None:
    """A C++ file of this folder, compiled and loaded; None where that can't be done."""
    found = compilers()
    named = os.environ.get("CXX", "")
    if not found and named.lower() not in ("", "none"):
        _say(named, FileNotFoundError("there is no such program (CXX)"))
    for compiler in found:
        try:
            # A library that was loaded needs its file no longer (Windows doesn't delete it: it stays).
            with tempfile.TemporaryDirectory(prefix="sits-", ignore_cleanup_errors=True) as folder:
                library = ctypes.CDLL(str(compiler.library(HERE / source, Path(folder))))
            library.sits_instructions.restype = ctypes.c_char_p
            made[source] = Maker(compiler.name, library.sits_instructions().decode())
            return library
        except (OSError, subprocess.SubprocessError) as error:
            _say(compiler.name, error)
    return None


def function(source: str, name: str, arguments: Sequence[Any], multiple: str) -> tuple[Any, int] | None:
    """A function of a C++ file of this folder, and what widths must be a multiple of; None as `build`.

    Args:
        source: the file.
        name: of the function, which returns nothing.
        arguments: their types.
        multiple: name of the function that tells the other number.
    """
    library = build(source)
    if library is None:
        return None
    found = getattr(library, name)
    found.restype = None
    found.argtypes = arguments
    return found, int(getattr(library, multiple)())


#: Why compilers don't work, by their names; and what made the library of each source in this process.
failures: dict[str, str] = {}
made: dict[str, Maker] = {}


def trouble() -> str:
    """Why nothing could be compiled in this process; '' where nothing was tried, or something could be."""
    return "" if made else "; ".join(f"{name}: {reason}" for name, reason in failures.items())


def _say(name: str, error: Exception) -> None:
    """Log why a compiler doesn't work, once a process."""
    said = getattr(error, "stderr", None) or b""
    reason = said.decode(errors="replace").strip() or str(error)
    if name not in failures:
        log.warning("The C++ compiler %s doesn't work: %s", name, reason[:2000])
    failures[name] = reason.splitlines()[0][:300]


@cache
def load() -> Kernel | None:
    """Compile, load and try the pooling of whole sets."""
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    arguments = [*[pointer] * 4, *[number] * 2, pointer, number, *[pointer] * 3]
    found = function("set_pooling.cpp", "sits_pool", arguments, "sits_block")
    if found is None:
        return None
    made = Kernel(found[1], found[0])
    return made if _right(made) else None


def _right(made: Kernel) -> bool:
    """True where the function gives the right numbers for two sets, one with a missing pixel."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(70, 2, 3)).astype(np.float32)
    valid = np.ones((70, 2), np.bool_)
    valid[1, 0] = False
    bounds = np.array([[0, 3], [3, 70]])
    counts = np.array([[2, 3], [67, 67]])
    layers = [
        (rng.normal(size=(made.block, a)).astype(np.float32), rng.normal(size=made.block).astype(np.float32))
        for a in (3, made.block)
    ]
    mean, spread = made.pool(layers, values, valid, bounds, counts)
    for pair, (i, t) in enumerate(np.ndindex(2, 2)):
        start, end = bounds[i]
        h = values[start:end, t][valid[start:end, t]]
        for w, b in layers:
            h = np.maximum(h @ w.T + b, 0)
        expected = (h.mean(0), np.square(h - h.mean(0)).sum(0))
        if not all(
            np.allclose(a[pair], e, 1e-3, 1e-3) for a, e in zip((mean, spread), expected, strict=True)
        ):
            return False
    return True
