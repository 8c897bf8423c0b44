"""Networks without values: their shapes are asked for before a file's tensors are taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

#: Functions that draw initial values into a tensor, their first argument.
DRAWS = {
    Tensor.normal_,
    Tensor.uniform_,
    *(function for name, function in vars(nn.init).items() if name.endswith("_") and callable(function)),
}


class _NoValues(TorchFunctionMode):
    """Drawing does nothing: on tensors without memory it would import PyTorch's compiler, for a second."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in DRAWS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def blank(make: Callable[[], nn.Module]) -> nn.Module:
    """The network that `make` builds, with parameters that have shapes and no memory."""
    with torch.device("meta"), _NoValues():
        return make()
