"""From the parameter layout of the published code of Exact to ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from sits_engine.models.segmentation.published import from_published

#: Published names of the prototypes, and ours.
PROTOTYPES = {"fg_proto": "clues.foreground", "bg_proto": "clues.background"}
#: A constant of the affinity propagation that the published state dict holds.
KERNEL = "taap_module.kernel"


def classifier_from_published(
    state: Mapping[str, Tensor], config: Mapping[str, Any], *, n_updates: int = 0
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Convert a published classifier (Exact_cls).

    Args:
        state: its state dict, with or without 'module.' before the names.
        config: the published MODEL section: num_channels (with the day), num_classes, img_res, ...
        n_updates: how often its prototypes were moved; only further training in our form uses it.

    Returns:
        hyperparameters for `registry.build`, with `reference` set and residual 'normed', and the state dict.

    Raises:
        ModelError: the config lacks an entry.
    """
    plain = {name.removeprefix("module."): value for name, value in state.items()}
    prototypes = {new: plain[old] for old, new in PROTOTYPES.items()}
    patch_head = {name: value for name, value in plain.items() if name.startswith("patch_head.")}
    aside = {*PROTOTYPES, *patch_head, KERNEL}
    rest = {name: value for name, value in plain.items() if name not in aside}
    hyper, renamed = from_published("tsvit_classifier", rest, config)
    counts = {
        f"{name}_updates": values.new_full(values.shape[:2], n_updates).long()
        for name, values in prototypes.items()
    }
    n_prototypes = prototypes["clues.foreground"].shape[1]
    hyper = {**hyper, "n_prototypes": n_prototypes, "residual": "normed"}
    return hyper, {**renamed, **patch_head, **prototypes, **counts}


def segmenter_from_published(
    state: Mapping[str, Tensor], config: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Convert the published network of the second stage (TSViT_seg): a 'tsvit' with residual 'both'.

    Arguments and result as `classifier_from_published`.
    """
    hyper, renamed = from_published("tsvit", state, config)
    return {**hyper, "residual": "both"}, renamed
