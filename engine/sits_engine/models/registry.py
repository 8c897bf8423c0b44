"""From the words of a model card to a network. A new network adds one line to `ARCHITECTURES`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from sits_engine.errors import ModelError
from sits_engine.models.pseltae import PSELTAE

ARCHITECTURES: Mapping[str, Callable[..., nn.Module]] = {"pseltae": PSELTAE}

#: Ready-made sizes of PSE+LTAE. 'small' needs about 0.4 MFLOP a pixel with 24 dates instead of 2.4
#: and is as fast as boosted trees on a CPU (shared/design/performance.md).
WIDTHS: Mapping[str, Mapping[str, Any]] = {
    "standard": {
        "mlp1": [32, 64],
        "mlp2": [128],
        "n_head": 16,
        "d_k": 8,
        "d_model": 256,
        "mlp3": [128],
        "mlp4": [64, 32],
    },
    "small": {
        "mlp1": [32, 32],
        "mlp2": [64],
        "n_head": 8,
        "d_k": 8,
        "d_model": 64,
        "mlp3": [64],
        "mlp4": [32],
    },
}


def pseltae_hyperparameters(
    n_bands: int, n_classes: int, *, width: str = "standard", reference: bool = False, **changes: Any
) -> dict[str, Any]:
    """Hyperparameters for a card with architecture 'pseltae'; `changes` override the width's values."""
    return {
        "n_bands": n_bands,
        "n_classes": n_classes,
        **WIDTHS[width],
        "reference": reference,
        **changes,
    }


def build(architecture: str, hyperparameters: Mapping[str, Any]) -> nn.Module:
    """Make the network that a card names, with fresh weights.

    Raises:
        ModelError: the architecture is unknown, or its hyperparameters don't fit.
    """
    maker = ARCHITECTURES.get(architecture)
    if maker is None:
        known = ", ".join(sorted(ARCHITECTURES))
        raise ModelError(
            f"The model uses the network '{architecture}', which this engine doesn't know (known: {known}).",
            "Update SITS for QGIS, or choose another model.",
        )
    try:
        return maker(**hyperparameters)
    except (TypeError, ValueError, IndexError, RuntimeError) as error:
        raise ModelError(
            f"The model card describes a network that can't be built: {error}.",
            "The file was changed or damaged: get it again from where it came from.",
        ) from error
