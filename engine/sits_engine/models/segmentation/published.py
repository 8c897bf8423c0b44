"""From the parameter layout of the published code (DeepSatModels) to ours, and how large the network is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
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
_UNET2D_CLSTM: Rules = (
    (r"^fcn\.unet_(?:en|de)code\.(enc3|enc4|dec4)\.(?:en|de)code\.", r"unet.\1."),
    (r"^fcn\.unet_(?:en|de)code\.(center|center_decode|final)\.", r"unet.\1."),
    (r"^crnn_main\.clstm\.cell_list\.0\.", "lstm."),
    (r"^main_finalconv\.", "head."),
)
_BICONVGRU: Rules = (
    (r"^outconv\.", "head."),
    (r"^forward_model\.cell_list\.0\.", "ahead."),
    (r"^backward_model\.cell_list\.0\.", "back."),
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
        architecture: one of `registry.SEGMENTERS`, or 'tsvit_classifier' (no segmenter: `TSViTClassifier`).
        state: its state dict; entries of the similarity head are left out (`similarity_from_published`).
        config: the published MODEL section: num_channels (with the day), num_classes, max_seq_len, ...

    Returns:
        hyperparameters for `registry.build`, with `reference` set, and the state dict for the module that
        it builds. After pre-training there is no class head: then load with strict=False.

    Raises:
        ModelError: no such architecture, or the config lacks an entry.
    """
    try:
        return _CONVERTERS[architecture](_rename(state, ((r"^module\.", ""),)), config)
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


def _unet2d_clstm(
    state: dict[str, Tensor], config: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    renamed = _rename(_without_similarity(state), _UNET2D_CLSTM)
    hyper = {**_common(config), "features": renamed["unet.enc3.0.weight"].shape[0] // 4, "scale": 1}
    return hyper, stacked_statistics(renamed)


def stacked_statistics(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Statistics of the ConvLSTM's dates, published as running_mean_0, running_mean_1, ..., as one (T, C)."""
    result: dict[str, Tensor] = {}
    steps: dict[str, dict[int, Tensor]] = {}
    for name, value in state.items():
        found = re.fullmatch(r"(.*\.running_(?:mean|var))_(\d+)", name)
        if found:
            steps.setdefault(found[1], {})[int(found[2])] = value
        else:
            result[name] = value
    return result | {name: torch.stack([found[n] for n in sorted(found)]) for name, found in steps.items()}


def _biconvgru(
    state: dict[str, Tensor], config: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    renamed = _rename(state, _BICONVGRU)
    renamed["inconv.weight"] = renamed["inconv.weight"][:, :, 0]
    features = renamed["inconv.weight"].shape[0]
    for side in ("ahead", "back"):
        gates = [(f"{side}.{gate}.weight", f"{side}.{gate}.bias") for gate in _GATES]
        weights = [renamed.pop(weight) for weight, _ in gates]
        renamed[f"{side}.input_conv.bias"] = torch.cat([renamed.pop(bias) for _, bias in gates])
        # The published convolutions see the input and the state side by side.
        renamed[f"{side}.input_conv.weight"] = torch.cat([w[:, :features] for w in weights])
        renamed[f"{side}.gate_conv.weight"] = torch.cat([w[:, features:] for w in weights[:2]])
        renamed[f"{side}.candidate_conv.weight"] = weights[2][:, features:]
    hidden = renamed["ahead.candidate_conv.weight"].shape[0]
    return {
        "n_bands": config["num_channels"] - 1,
        "n_classes": config["num_classes"],
        "n_dates": config.get("max_seq_len", 16),
        "window": config.get("img_res", 24),
        "scale": 1,
        "features": features,
        "hidden": hidden,
        "reference": True,
    }, renamed


#: Our order of a ConvGRU's convolutions.
_GATES = ("update_gate", "reset_gate", "out_gate")

_CONVERTERS = {
    "unet3d": _unet3d,
    "unet3df": _unet3df,
    "unet2d_clstm": _unet2d_clstm,
    "biconvgru": _biconvgru,
    "tsvit": _tsvit,
    "tsvit_classifier": _tsvit_classifier,
}
