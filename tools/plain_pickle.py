"""Pickles of plain data, read without running anything from them.

A pickle is a program: reading one calls whatever it names. Here it can name nothing but NumPy's numbers and
arrays of numbers, and even those are made by functions of this file, not by NumPy's. Everything else is
refused by name before it is called.

Standard library and NumPy only; a tool of the repository that never ships in the plugin.
"""

from __future__ import annotations

import io
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np

#: Kinds of NumPy numbers that are read: truth, signed, unsigned, float, text.
KINDS = frozenset("biufU")


class Refused(ValueError):
    """The pickle holds something that is not plain data."""


class PlainType:
    """Stands for `numpy.dtype`: the letters of a type of numbers."""

    def __init__(self, code: Any, *_: Any) -> None:
        if not isinstance(code, str) or code[:1] not in KINDS or not code[1:].isdecimal():
            raise Refused(f"NumPy data of the type {code!r}; only numbers and text are plain data")
        self.code, self.order = code, "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] not in ("<", ">", "=", "|"):
            raise Refused(f"a byte order {state[1]!r}")
        self.order = state[1]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of numbers itself."""
        return np.dtype(self.order.replace("|", "=") + self.code)


class PlainArray:
    """Stands for `numpy.ndarray`: filled by its state, given back as a list."""

    def __init__(self) -> None:
        self.values: Any = []

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, fortran, content = state
        flat = _from_bytes(kind, content)
        if math.prod(shape) != len(flat):
            raise Refused(f"an array of shape {shape} with {len(flat)} values")
        self.values = flat.reshape(shape, order="F" if fortran else "C").tolist()


def plain_scalar(kind: Any, content: Any) -> Any:
    """One NumPy number as a number of Python."""
    flat = _from_bytes(kind, content)
    if len(flat) != 1:
        raise Refused(f"a number with {len(flat)} values")
    return flat[0].item()


def plain_array(*_: Any) -> PlainArray:
    """An array whose content follows."""
    return PlainArray()


def plain_from_buffer(content: Any, kind: Any, shape: Any, order: Any, *_: Any) -> PlainArray:
    """An array with its content, as pickles of protocol 5 have it."""
    if not isinstance(content, (bytes, bytearray)) or not isinstance(shape, tuple):
        raise Refused("NumPy data in an unusual form")
    array = PlainArray()
    array.__setstate__((1, shape, kind, order == "F", bytes(content)))
    return array


def _from_bytes(kind: Any, content: Any) -> np.ndarray[Any, np.dtype[Any]]:
    if not isinstance(kind, PlainType) or not isinstance(content, bytes):
        raise Refused("NumPy data in an unusual form")
    return np.frombuffer(content, kind.dtype)


#: All that a pickle may name, by the module of NumPy 1 and of NumPy 2.
ALLOWED: dict[tuple[str, str], Any] = {
    **{(f"numpy.{core}.multiarray", "scalar"): plain_scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "_reconstruct"): plain_array for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): plain_from_buffer for core in ("core", "_core")},
    ("numpy", "dtype"): PlainType,
    ("numpy", "ndarray"): PlainArray,
}


class PlainUnpickler(pickle.Unpickler):
    """Finds nothing but what `ALLOWED` names."""

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for a name; raises `Refused` for all others."""
        found = ALLOWED.get((module, name))
        if found is None:
            raise Refused(f"'{module}.{name}'")
        return found

    def persistent_load(self, pid: Any) -> Any:
        """References to things outside the pickle are not plain data."""
        raise Refused(f"a reference {pid!r} to something outside")


def load(path: Path) -> Any:
    """Dictionaries, lists, text, numbers, truth values and None of a pickle; tuples and arrays as lists.

    Raises:
        Refused: names what the pickle holds that is not plain data; nothing of it has been run.
    """
    try:
        return _plain(PlainUnpickler(io.BytesIO(path.read_bytes())).load())
    except Refused as error:
        raise Refused(
            f"{path} is refused: it holds {error}, which is not plain data. Nothing was run."
        ) from error
    except RecursionError as error:
        raise Refused(f"{path} is refused: its data contain themselves.") from error
    except Exception as error:  # a damaged pickle fails in many ways
        raise Refused(f"{path} is no pickle of plain data: {type(error).__name__}: {error}.") from error


def _plain(value: Any) -> Any:
    if value is None or type(value) in (str, int, float, bool):
        return value
    if isinstance(value, PlainArray):
        return value.values
    if type(value) in (list, tuple):
        return [_plain(one) for one in value]
    if type(value) is dict:
        wrong = [key for key in value if type(key) not in (str, int)]
        if wrong:
            raise Refused(f"the key {wrong[0]!r}")
        return {key: _plain(one) for key, one in value.items()}
    raise Refused(f"a value of the type {type(value).__name__}")
