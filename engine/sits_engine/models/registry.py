"""From the words of a model card to a network. A new network adds one line to `ARCHITECTURES`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from sits_engine.errors import InputError, ModelError
from sits_engine.models.exact.classifier import ExactClassifier
from sits_engine.models.pseltae import PSELTAE
from sits_engine.models.segmentation.biconvgru import BiConvGRU
from sits_engine.models.segmentation.segmenter import SegmentationNetwork
from sits_engine.models.segmentation.tsvit import TSViT
from sits_engine.models.segmentation.unet2d_clstm import UNet2DCLSTM
from sits_engine.models.segmentation.unet3d import UNet3D, UNet3Df
from sits_engine.models.timesenclip.encoder import SatelliteEncoder

#: Networks that label every pixel of a window; the others judge a set of pixels.
SEGMENTERS: Mapping[str, Callable[..., SegmentationNetwork]] = {
    "tsvit": TSViT,
    "unet3d": UNet3D,
    "unet3df": UNet3Df,
    "unet2d_clstm": UNet2DCLSTM,
    "biconvgru": BiConvGRU,
}

ARCHITECTURES: Mapping[str, Callable[..., nn.Module]] = {
    "pseltae": PSELTAE,
    "exact": ExactClassifier,
    "timesenclip": SatelliteEncoder,
    **SEGMENTERS,
}

#: Ready-made sizes of PSE+LTAE. 'small' needs about 0.4 MFLOP a pixel with 24 dates instead of 2.4, 'fast',
#: the student of `learning.distill`, 0.2.
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
    "fast": {
        "mlp1": [32],
        "mlp2": [32],
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


#: Ready-made sizes of the segmentation networks. 'small' has a quarter of the channels, TSViT half the
#: width of a token (shared/spec/cscl.md section 9, "PASTIS24 small").
SEGMENTER_WIDTHS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "tsvit": {
        "standard": {
            "dim": 128,
            "temporal_depth": 4,
            "spatial_depth": 4,
            "heads": 4,
            "head_dim": 32,
            "mlp_ratio": 4,
        },
        "small": {
            "dim": 64,
            "temporal_depth": 4,
            "spatial_depth": 4,
            "heads": 4,
            "head_dim": 16,
            "mlp_ratio": 4,
        },
    },
    "unet3d": {"standard": {"features": 16}, "small": {"features": 4}},
    "unet3df": {"standard": {"features": 16}, "small": {"features": 4}},
    "unet2d_clstm": {"standard": {"features": 16}, "small": {"features": 4}},
    "biconvgru": {"standard": {"features": 64, "hidden": 256}, "small": {"features": 16, "hidden": 64}},
}
#: From this window on a patch of TSViT has 3 x 3 pixels instead of 2 x 2, as published for 48 pixels:
#: attention over space grows with the square of the number of patches.
WIDE_WINDOW = 36
#: The U-Nets halve height and width twice.
UNET_DIVISOR = 4


def segmentation_hyperparameters(
    architecture: str,
    n_bands: int,
    n_classes: int,
    *,
    n_dates: int,
    scale: int = 1,
    window: int = 24,
    width: str = "standard",
    reference: bool = False,
    **changes: Any,
) -> dict[str, Any]:
    """Hyperparameters for a card of a segmentation network.

    Args:
        architecture: one of `SEGMENTERS`.
        n_bands, n_classes: C (without the day) and K.
        n_dates: dates of a window, at most.
        scale: 1, 2 or 4: labels that many times finer than the images.
        window: rows and columns of a training window at image resolution.
        width: 'standard' (published) or 'small'.
        reference: keep known defects of the published code.
        changes: override the width's values.

    Raises:
        InputError: the network can't work on windows of that size.
    """
    patch = {"patch": tsvit_patch(window)} if architecture == "tsvit" else {}
    if architecture.startswith("unet") and window % UNET_DIVISOR:
        raise InputError(
            f"A window of {window} pixels doesn't suit the network '{architecture}', which halves it twice.",
            f"Choose a multiple of {UNET_DIVISOR}, for example {max(window // 4, 2) * 4}.",
        )
    return {
        "n_bands": n_bands,
        "n_classes": n_classes,
        "n_dates": n_dates,
        "window": window,
        "scale": scale,
        **SEGMENTER_WIDTHS[architecture][width],
        **patch,
        "reference": reference,
        **changes,
    }


def tsvit_patch(window: int) -> int:
    """Rows and columns of TSViT's patches for a window: 2, or 3 for a wide one or where 2 doesn't divide it.

    Raises:
        InputError: neither divides it.
    """
    for patch in (3, 2) if window >= WIDE_WINDOW else (2, 3):
        if window % patch == 0:
            return patch
    raise InputError(
        f"A window of {window} pixels can't be cut into the patches of TSViT.",
        f"Choose a multiple of 2 or 3, for example {max(window - 1, 4)}.",
    )


#: Ready-made sizes of Exact's classifier: 'standard' is the published one, 'small' the one for processors.
EXACT_WIDTHS: Mapping[str, Mapping[str, Any]] = {
    "standard": {
        "dim": 128,
        "temporal_depth": 8,
        "spatial_depth": 4,
        "heads": 4,
        "head_dim": 64,
        "mlp_ratio": 4,
    },
    "small": {
        "dim": 64,
        "temporal_depth": 2,
        "spatial_depth": 2,
        "heads": 2,
        "head_dim": 32,
        "mlp_ratio": 2,
    },
}


def exact_hyperparameters(
    n_bands: int,
    n_classes: int,
    *,
    window: int = 24,
    width: str = "standard",
    reference: bool = False,
    **changes: Any,
) -> dict[str, Any]:
    """Hyperparameters for a card with architecture 'exact'.

    Args:
        n_bands, n_classes: C (without the day) and K (without background).
        window: rows and columns of a training window.
        width: 'standard' (published) or 'small'.
        reference: the published form, with its residual.
        changes: override the width's values.

    Raises:
        InputError: the window can't be cut into patches.
    """
    return {
        "n_bands": n_bands,
        "n_classes": n_classes,
        "window": window,
        **EXACT_WIDTHS[width],
        "patch": tsvit_patch(window),
        "residual": "normed" if reference else "input",
        "reference": reference,
        **changes,
    }


#: Ready-made sizes of the satellite encoder: 'standard' is the published one, 'small' the one for processors
#: and hundreds of places.
PHOTO_WIDTHS: Mapping[str, Mapping[str, Any]] = {
    "standard": {"dim": 512, "depth": 6, "heads": 8, "feedforward": 256, "dropout": 0.2},
    "small": {"dim": 128, "depth": 3, "heads": 4, "feedforward": 128, "dropout": 0.2},
}


def timesenclip_hyperparameters(
    n_bands: int,
    *,
    embedding: int = 512,
    context: int = 1,
    width: str = "standard",
    reference: bool = False,
    **changes: Any,
) -> dict[str, Any]:
    """Hyperparameters for a card with architecture 'timesenclip'.

    Args:
        n_bands: C.
        embedding: length of CLIP's vectors.
        context: pixels along the side of the square that is seen, odd.
        width: 'standard' (published) or 'small'.
        reference: the released form at inference.
        changes: override the width's values.
    """
    return {
        "n_bands": n_bands,
        "embedding": embedding,
        "context": context,
        **PHOTO_WIDTHS[width],
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
