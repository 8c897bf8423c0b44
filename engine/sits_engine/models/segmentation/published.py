"""From the parameter layout of the published code (DeepSatModels) to ours, and how large the network is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from sits_engine.errors import ModelError

#: Names of a published layout (pattern, replacement), in order; the first match of a rule is replaced.
Rules = Sequence[tuple[str, str]]

_UNET3D: Rules = (
    (r"^final\.", "head.conv."),
    (r"^fn\.", "head.dates."),
    (r"^(en3|en4|center_in|center_out|dc4|trans3|dc3)\.", r"trunk.\1."),
)
_UNET3DF: Rules = (
    (r"^backbone\.final\.", "final.conv."),
    (r"^backbone\.fn\.", "final.dates."),
    (r"^backbone\.", "trunk."),
    (r"^conv_out_x2\.", "enlarge.0."),
    (r"^conv_out_x4\.", "enlarge.1."),
    (r"^linear_out\.", "head."),
)
_TSVIT: Rules = (
    (r"^to_patch_embedding\.1\.", "temporal.patch_embedding."),
    (r"^to_temporal_embedding_input\.", "temporal.day_embedding."),
    (r"^temporal_token$", "temporal.class_tokens"),
    (r"^temporal_transformer\.", "temporal.transformer."),
    (r"^space_pos_embedding$", "patch_positions.table"),
    (r"^space_transformer\.", "spatial."),
    (r"^mlp_head\.", "pixels."),
    (r"\.layers\.(\d+)\.0\.norm\.", r".layers.\1.attention_norm."),
    (r"\.layers\.(\d+)\.0\.fn\.to_qkv\.", r".layers.\1.qkv."),
    (r"\.layers\.(\d+)\.0\.fn\.to_out\.0\.", r".layers.\1.project."),
    (r"\.layers\.(\d+)\.1\.norm\.", r".layers.\1.mlp_norm."),
    (r"\.layers\.(\d+)\.1\.fn\.net\.0\.", r".layers.\1.mlp.0."),
    (r"\.layers\.(\d+)\.1\.fn\.net\.3\.", r".layers.\1.mlp.2."),
)
_SIMILARITY: Rules = (
    (r"^key_conv\.", "key."),
    (r"^query_conv\.", "query."),
    (r"^rel_h$", "row_position"),
    (r"^rel_w$", "column_position"),
)
#: Prefix of the similarity head in a published state dict.
SIMILARITY = "attn_sim."


def from_published(
    architecture: str, state: Mapping[str, Tensor], config: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Convert a published network.

    Args:
        architecture: 'unet3d', 'unet3df', 'tsvit' or 'tsvit_classifier' (no segmenter: `TSViTClassifier`).
        state: its state dict; entries of the similarity head are left out (`similarity_from_published`).
        config: the published MODEL section: num_channels (with the day), num_classes, max_seq_len, ...

    Returns:
        hyperparameters for `registry.build`, with `reference` set, and the state dict for the module that
        it builds. After pre-training there is no class head: then load with strict=False.

    Raises:
        ModelError: no such architecture, or the config lacks an entry.
    """
    try:
        return _CONVERTERS[architecture](dict(state), config)
    except KeyError as error:
        raise ModelError(
            f"The published network '{architecture}' can't be converted: {error} is missing.",
            f"Known are {', '.join(sorted(_CONVERTERS))}; the config must be the published MODEL section.",
        ) from error


def similarity_from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The similarity head of a published state dict (names with or without 'attn_sim.')."""
    names = [name for name in state if name.startswith(SIMILARITY)]
    own = {name.removeprefix(SIMILARITY): state[name] for name in names or state}
    renamed = _rename(own, _SIMILARITY)
    for name in ("row_position", "column_position"):
        renamed[name] = renamed[name].flatten(1)
    return renamed


def _rename(state: Mapping[str, Tensor], rules: Rules) -> dict[str, Tensor]:
    result = {}
    for name, value in state.items():
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        result[name] = value
    return result


def _without_similarity(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if not name.startswith(SIMILARITY)}


def _common(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "n_bands": config["num_channels"] - 1,
        "n_classes": config["num_classes"],
        "n_dates": config["max_seq_len"],
        "window": config.get("img_res", 24),
        "reference": True,
    }


def _unet3d(state: dict[str, Tensor], config: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    hyper = {**_common(config), "features": state["final.weight"].shape[1] // 2, "scale": 1}
    return hyper, _rename(state, _UNET3D)


def _unet3df(state: dict[str, Tensor], config: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    features = state["backbone.final.weight"].shape[1] // 8
    hyper = {**_common(config), "features": features, "scale": config.get("output_magnification", 1)}
    renamed = _rename(_without_similarity(state), _UNET3DF)
    if "head.weight" in renamed:
        renamed["head.weight"] = renamed["head.weight"][:, :, None, None]
    return hyper, renamed


def _tsvit(state: dict[str, Tensor], config: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    hyper = {**_common(config), **_tsvit_sizes(config), "scale": 1}
    renamed = _rename(state, _TSVIT)
    for name in ("temporal.class_tokens", "patch_positions.table"):
        renamed[name] = renamed[name][0]
    return hyper, renamed


def _tsvit_classifier(
    state: dict[str, Tensor], config: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    hyper, renamed = _tsvit(state, config)
    renamed["space_token"] = renamed["space_token"][0, 0]
    renamed = _rename(renamed, ((r"^pixels\.", "head."),))
    return {name: value for name, value in hyper.items() if name not in ("n_dates", "scale")}, renamed


def _tsvit_sizes(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "patch": config["patch_size"],
        "dim": config["dim"],
        "temporal_depth": config["temporal_depth"],
        "spatial_depth": config["spatial_depth"],
        "heads": config["heads"],
        "head_dim": config["dim_head"],
        "mlp_ratio": config["scale_dim"],
    }


_CONVERTERS = {"unet3d": _unet3d, "unet3df": _unet3df, "tsvit": _tsvit, "tsvit_classifier": _tsvit_classifier}
