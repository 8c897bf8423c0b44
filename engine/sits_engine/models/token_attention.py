"""`token_attention.cpp`: attention among few tokens (months of a place, dates of a window), on processors.

PyTorch's form is made for long sequences: on one thread it takes 2.9 times as long for 13 tokens, 1.7 to 2
times for 33 to 400. It also leaves heads before tokens, so that its result is copied before the next product.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from sits_engine.models import compiled

#: More tokens than this are left to PyTorch: keys of a head would leave the cache of a core.
MOST_TOKENS = 512


def attention(
    query: Tensor, key: Tensor, value: Tensor, hidden: Tensor | None = None, scale: float | None = None
) -> Tensor:
    """Soft-max of query and key, times value.

    Args:
        query: (B, H, Q, S).
        key: (B, H, L, S); H may be 1, for all heads.
        value: (B, H, L, W); likewise.
        hidden: (B, L) True where a token must not be seen; None: all are.
        scale: factor of the scores, None: 1 / sqrt(S).

    Returns:
        (B, Q, H, W), contiguous. Where all tokens are hidden it is zeros or, computed by PyTorch, NaN.
    """
    factor = query.shape[-1] ** -0.5 if scale is None else scale
    function = _function(query, key, value)
    if function is None:
        return _by_pytorch(query, key, value, hidden, factor)
    return _compute(function, query, key, value, hidden, factor)


def _by_pytorch(query: Tensor, key: Tensor, value: Tensor, hidden: Tensor | None, scale: float) -> Tensor:
    seen = None if hidden is None else ~hidden[:, None, None]
    key, value = (one.expand(-1, query.shape[1], -1, -1) for one in (key, value))
    found = functional.scaled_dot_product_attention(query, key, value, attn_mask=seen, scale=scale)
    return found.transpose(1, 2).contiguous()


def _compute(
    function: Any, query: Tensor, key: Tensor, value: Tensor, hidden: Tensor | None, scale: float
) -> Tensor:
    query, key, value = (one if one.stride(-1) == 1 else one.contiguous() for one in (query, key, value))
    b, heads, queries, size = query.shape
    out = query.new_empty(b, queries, heads, value.shape[-1])
    strides: list[int] = []
    for one in (query, key, value, out.transpose(1, 2)):
        sequence, head, row, _ = one.stride()
        strides += [sequence, head if one.shape[1] > 1 else 0, row]
    hide = None if hidden is None else hidden.contiguous()
    function(
        *(one.data_ptr() for one in (query, key, value, out)),
        (ctypes.c_int64 * 6)(b, heads, queries, key.shape[2], size, value.shape[-1]),
        (ctypes.c_int64 * 12)(*strides),
        None if hide is None else hide.data_ptr(),
        scale,
    )
    return out


def _function(query: Tensor, key: Tensor, value: Tensor) -> Any:
    """The compiled function, None where it can't or shouldn't compute these."""
    given = (query, key, value)
    if any(one.device.type != "cpu" or one.dtype != torch.float32 for one in given):
        return None
    if key.shape[2] > MOST_TOKENS or torch.compiler.is_exporting():
        return None
    if torch.is_grad_enabled() and any(one.requires_grad for one in given):
        return None
    found = load()
    return found[0] if found and value.shape[-1] % found[1] == 0 else None


@cache
def load() -> tuple[Any, int] | None:
    """Compile, load and try the function; it and what channels of values must be a multiple of."""
    pointer, numbers = ctypes.c_void_p, ctypes.POINTER(ctypes.c_int64)
    arguments = [*[pointer] * 4, numbers, numbers, pointer, ctypes.c_float]
    found = compiled.function("token_attention.cpp", "sits_attention", arguments, "sits_lanes")
    return found if found and _right(*found) else None


def _right(function: Any, lanes: int) -> bool:
    """True where it gives PyTorch's numbers for some sequences, with and without hidden tokens."""
    made = torch.Generator().manual_seed(0)
    query, key = (torch.randn(2, 3, 9, 5, generator=made) for _ in range(2))
    value = torch.randn(2, 1, 9, lanes, generator=made)
    hidden = torch.rand(2, 9, generator=made) < 0.4
    hidden[:, 0] = False
    for hide in (None, hidden):
        wanted = _by_pytorch(query, key, value, hide, 0.3)
        if not torch.allclose(_compute(function, query, key, value, hide, 0.3), wanted, 1e-3, 1e-4):
            return False
    return True
