"""Makes a model file out of a published DeepSatModels segmentation network (TSViT, U-Nets, BiConvGRU).

    python tools/convert_tsvit.py best.pth tsvit.safetensors --published pastis
    python tools/convert_tsvit.py best.pth unet.safetensors --published t31tfm --data france.zarr
    python tools/convert_tsvit.py best.pth own.safetensors --data own.zarr --normalisation bands.csv

What a checkpoint doesn't tell comes from --published (as the specification has it), from --data (a data set
of windows: bands, classes in its order, dates, and where nothing else is said mean and deviation of its
bands), or from the other options, which win. The network keeps its published layout, defects included
(`reference`).

Published networks are pickles, which neither plugin nor engine ever read: this tool stays in the
repository, and accepts tensors and plain data only (`plain_tensors`). Run it with the developers' Python
(`make dev`). See docs/published-windows.md.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import re
import sys
from pathlib import Path
from typing import Any

import plain_tensors
from network_facts import Facts, add_data, add_normalisation, published_facts

#: A parameter that only this network has.
SIGNS = {
    "tsvit": "temporal_token",
    "unet3df": "backbone.final.weight",
    "unet2d_clstm": "main_finalconv.weight",
    "biconvgru": "outconv.weight",
    "unet3d": "final.weight",
}
#: Attention heads of all published TSViTs; a checkpoint tells only their number times their width.
HEADS = 4


def network_of(path: Path, state: dict[str, Any]) -> str:
    """Which network a state dict is of.

    Raises:
        SystemExit: none that can be converted; says why where that is known.
    """
    if "space_token" in state:
        raise SystemExit(f"{path} is TSViT for whole scenes (one class a window), which draws no maps.")
    if any(name.startswith("attn_sim.") for name in state):
        raise SystemExit(
            f"{path} comes from CSCL pre-training: its class head is untrained. Give a network of the stage "
            "after it, or train one with CSCL ('Train segmentation model')."
        )
    for network, sign in SIGNS.items():
        if sign in state:
            return network
    shown = ", ".join(list(state)[:4])
    raise SystemExit(
        f"{path} is no published network of DeepSatModels that is known here ({', '.join(SIGNS)}). Its first "
        f"parameters: {shown}."
    )


def config_of(network: str, state: dict[str, Any], facts: Facts, heads: int) -> dict[str, Any]:
    """The published MODEL section, from the sizes of the parameters.

    Raises:
        SystemExit: the number of dates is neither told nor given.
    """
    if network == "tsvit":
        return _tsvit_config(state, facts, heads)
    first, last, dates = {
        "unet3d": ("en3.0.weight", "final.weight", "fn.weight"),
        "unet3df": ("backbone.en3.0.weight", "linear_out.weight", "backbone.fn.weight"),
        "unet2d_clstm": ("fcn.unet_encode.enc3.encode.0.weight", "main_finalconv.weight", None),
        "biconvgru": ("inconv.weight", "outconv.weight", None),
    }[network]
    config = {
        "num_channels": state[first].shape[1],
        "num_classes": state[last].shape[0],
        "img_res": facts.window or 24,
    }
    if dates:
        config["max_seq_len"] = state[dates].shape[1]
    elif network == "unet2d_clstm":
        # statistics of each date
        steps = [re.search(r"input_norm\.running_mean_(\d+)$", name) for name in state]
        config["max_seq_len"] = max(int(step[1]) for step in steps if step) + 1
    else:
        config["max_seq_len"] = _dates(facts)
    if network == "unet3df":
        found = [times for times in (2, 4) if any(name.startswith(f"conv_out_x{times}.") for name in state)]
        config["output_magnification"] = max(found, default=1)
    return config


def _tsvit_config(state: dict[str, Any], facts: Facts, heads: int) -> dict[str, Any]:
    _, n_classes, dim = state["temporal_token"].shape
    pixels = state["mlp_head.1.weight"].shape[0]
    patch = math.isqrt(pixels)
    layer = "temporal_transformer.layers.0"
    inner = state[f"{layer}.0.fn.to_qkv.weight"].shape[0] // 3
    if inner % heads:
        raise SystemExit(f"{heads} attention heads don't divide {inner} channels: give --heads.")

    def depth(name: str) -> int:
        return len({key.split(".")[2] for key in state if key.startswith(f"{name}.layers.")})

    return {
        "img_res": patch * math.isqrt(state["space_pos_embedding"].shape[1]),
        "patch_size": patch,
        "num_classes": n_classes,
        "max_seq_len": _dates(facts),
        "num_channels": state["to_patch_embedding.1.weight"].shape[1] // pixels + 1,
        "dim": dim,
        "temporal_depth": depth("temporal_transformer"),
        "spatial_depth": depth("space_transformer"),
        "heads": heads,
        "dim_head": inner // heads,
        "scale_dim": state[f"{layer}.1.fn.net.0.weight"].shape[0] // dim,
    }


def _dates(facts: Facts) -> int:
    if facts.dates is None:
        raise SystemExit("The network doesn't tell how many dates it was trained with: give --dates.")
    return facts.dates


def convert(source: Path, target: Path, facts: Facts, *, heads: int = HEADS) -> Any:
    """Write a published network as a model file; returns its card.

    Args:
        source: `*.pth`, a state dict, bare or below 'state_dict'.
        target: `.safetensors`.
        facts: what it doesn't tell.
        heads: attention heads of TSViT.

    Raises:
        SystemExit: refused, another network, or other bands or classes than it has.
    """
    from sits_engine.models.card import BandCard, ClassCard, ModelCard
    from sits_engine.models.model_file import save_model
    from sits_engine.models.registry import build
    from sits_engine.models.segmentation.published import from_published
    from sits_engine.samples.classes import distinct_colors

    state = plain_tensors.state_dict(
        plain_tensors.load(source), ("state_dict", "model_state_dict", "net_state_dict")
    )
    if state is None:
        raise SystemExit(f"{source} is no published network: it holds no 'state_dict' of tensors.")
    state = {name.removeprefix("module."): value for name, value in state.items()}
    network = network_of(source, state)
    try:
        config = config_of(network, state, facts, heads)
        _check(source, config, facts)
        hyperparameters, converted = from_published(network, state, config)
        if network == "tsvit":
            # published days count from 1, and row 0 of their table is that of padding
            hyperparameters["first_day"] = 1
        module = build(network, hyperparameters)
        module.load_state_dict(converted)
    except (RuntimeError, KeyError, IndexError, ValueError) as error:
        raise SystemExit(f"{source} is no published {network}: {error}") from error
    colors = distinct_colors(facts.classes)
    card = ModelCard(
        architecture=network,
        hyperparameters=hyperparameters,
        bands=[
            BandCard(name=name, mean=mean, std=std)
            for name, mean, std in zip(facts.bands, facts.mean, facts.std, strict=True)
        ],
        classes=[ClassCard(name=name, color=colors[name], codes=[name]) for name in facts.classes],
        season_year=facts.season_year,
        positions=list(facts.positions),
        mask_dates=False,
        provenance={
            "imported_from": f"published DeepSatModels network ({network})",
            "file": source.name,
            "file_sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
            **(facts.words or {}),
            **({} if facts.resolution is None else {"resolution": facts.resolution}),
        },
    )
    written = save_model(target, module, card)
    print(
        f"{target}: {network}, {len(card.bands)} bands, {len(card.classes)} classes, windows of "
        f"{hyperparameters['window']} pixels and {hyperparameters['n_dates']} dates."
    )
    return written


def _check(source: Path, config: dict[str, Any], facts: Facts) -> None:
    """SystemExit where names or numbers don't fit the network."""
    n_bands, n_classes = config["num_channels"] - 1, config["num_classes"]
    if len(facts.bands) != n_bands:
        year = (
            " (the U-Nets of MTLCC take the year as one more channel, which images don't have)"
            if len(facts.bands) + 1 == n_bands
            else ""
        )
        raise SystemExit(
            f"{source} takes {n_bands} bands beside the day, {len(facts.bands)} are named: "
            f"{', '.join(facts.bands) or 'none'}{year}. Give --bands in its order, --data or --published."
        )
    if len(facts.classes) != n_classes:
        raise SystemExit(
            f"{source} has {n_classes} classes, {len(facts.classes)} are named: "
            f"{', '.join(facts.classes) or 'none'}. Give --classes in its order, --data or --published."
        )
    if len(set(facts.classes)) < n_classes or len(set(facts.bands)) < n_bands:
        raise SystemExit("A band or a class is named twice.")
    if len(facts.mean) != n_bands:
        raise SystemExit(
            "Nothing tells how the bands are normalised: give --normalisation, --data or --published."
        )


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)

    def names(text: str) -> tuple[str, ...]:
        return tuple(word.strip() for word in text.split(",") if word.strip())

    made.add_argument("source", type=Path, help="published network (.pth)")
    made.add_argument("target", type=Path, help="model to write (.safetensors)")
    made.add_argument("--published", choices=("pastis", "t31tfm", "mtlcc"), help="what it was trained on")
    made.add_argument("--data", type=Path, help="data set of windows (Zarr) that it was trained on")
    made.add_argument("--bands", type=names, default=(), help="names in the network's order: B04,B03,B02")
    made.add_argument("--classes", type=names, default=(), help="names in the network's order: a,b,c")
    made.add_argument("--normalisation", type=Path, help="CSV band,mean,std in reflectance (0 to 1)")
    made.add_argument("--dates", type=int, help="dates of a training window")
    made.add_argument("--window", type=int, help="side of a training window (U-Nets and BiConvGRU)")
    made.add_argument("--heads", type=int, default=HEADS, help="attention heads of TSViT (published: 4)")
    made.add_argument("--season-year", type=int, help="year that days count from")
    return made


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    given = parser().parse_args(arguments)
    for name in ("dates", "window", "heads"):
        value = getattr(given, name)
        if value is not None and value < 1:
            raise SystemExit(f"--{name} must be at least 1.")
    if given.target.suffix != ".safetensors":
        raise SystemExit(f"{given.target} must end with .safetensors.")
    from sits_engine.errors import EngineError

    try:
        facts = published_facts(given.published) if given.published else Facts()
        if given.bands and given.bands != facts.bands:
            facts.bands, facts.mean, facts.std = given.bands, (), ()
        facts.classes = given.classes or facts.classes
        facts.dates, facts.window = given.dates or facts.dates, given.window or facts.window
        if given.data is not None:
            add_data(facts, given.data, measure=not facts.mean and given.normalisation is None)
        if given.normalisation is not None:
            add_normalisation(facts, given.normalisation)
        facts.season_year = given.season_year or facts.season_year
        convert(given.source, given.target, facts, heads=given.heads)
    except EngineError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "engine"))
    main()
