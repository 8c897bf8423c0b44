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
import csv
import hashlib
import math
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import plain_tensors

#: A parameter that only this network has.
SIGNS = {
    "tsvit": "temporal_token",
    "unet3df": "backbone.final.weight",
    "unet2d_clstm": "main_finalconv.weight",
    "biconvgru": "outconv.weight",
    "unet3d": "final.weight",
}
#: Of the published PASTIS loaders, band by band in the order of `samples.pastis.BANDS`: stored numbers, which
#: are reflectance * 10000 (shared/spec/exact.md section 1).
PASTIS_MEAN = (
    *(1165.9398, 1375.6534, 1429.2191, 1764.7988, 2719.2732),
    *(3063.6118, 3205.9019, 3319.1096, 2422.9043, 1639.3704),
)
PASTIS_STD = (
    *(1942.6156, 1881.9235, 1959.3799, 1867.2240, 1754.5851),
    *(1769.4047, 1784.8606, 1767.7101, 1458.9636, 1299.2833),
)
#: Attention heads of all published TSViTs; a checkpoint tells only their number times their width.
HEADS = 4
#: Windows whose images are looked at for mean and deviation.
LOOKED_AT = 2000


@dataclass
class Facts:
    """What a checkpoint doesn't tell.

    Attributes:
        bands, classes: names in the order of the network.
        mean, std: of the bands, reflectance.
        dates: of a window.
        window: its side in pixels, for networks that don't tell it.
        season_year: that `positions` count from.
        positions: of the training series; empty where unknown.
        resolution: metres of a pixel.
        words: for the provenance.
    """

    bands: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    dates: int | None = None
    window: int | None = None
    season_year: int = 1970
    positions: tuple[float, ...] = ()
    resolution: float | None = None
    words: dict[str, Any] | None = None


def published_facts(name: str) -> Facts:
    """Facts of PASTIS, T31TFM-1618 or MTLCC, as the published networks were trained on them."""
    from sits_engine.samples import mtlcc, pastis, t31tfm
    from sits_engine.samples.published_windows import BANDS, SCALE

    if name == "pastis":
        return Facts(
            bands=pastis.BANDS,
            classes=pastis.CLASSES,
            mean=tuple(value * SCALE for value in PASTIS_MEAN),
            std=tuple(value * SCALE for value in PASTIS_STD),
            dates=60,
            window=24,
            season_year=pastis.SEASON_YEAR,
            resolution=10.0,
            words={"trained_on": "PASTIS", "product": "Sentinel-2 L2A, clouds not masked"},
        )
    module, title, window = {"t31tfm": (t31tfm, "T31TFM-1618", 48), "mtlcc": (mtlcc, "MTLCC", 24)}[name]
    # stored numbers * 1e-4, which is reflectance
    return Facts(
        bands=BANDS,
        classes=module.CLASSES,
        mean=(0.0,) * len(BANDS),
        std=(1.0,) * len(BANDS),
        dates=16,
        window=window,
        season_year=2016,
        resolution=10.0,
        words={
            "trained_on": title,
            "product": "Sentinel-2 L1C (top of atmosphere), clouds not masked",
        },
    )


def add_data(facts: Facts, folder: Path, *, measure: bool) -> None:
    """Take what a data set of windows tells.

    Args:
        facts: what it tells is replaced; bands, classes and dates only where there are none.
        folder: the data set.
        measure: mean and deviation of its bands are wanted.
    """
    import numpy as np
    from sits_engine.learning.segmentation.batches import normalisation
    from sits_engine.samples.window_data import WindowData
    from sits_engine.samples.window_reading import equal_shares
    from sits_engine.samples.windows import WindowSet

    data = WindowData.open(folder)
    facts.bands, facts.classes = facts.bands or data.bands, facts.classes or data.classes
    facts.dates, facts.window = facts.dates or data.n_dates, facts.window or min(data.size)
    years = [year for year in data.season_years if year is not None]
    facts.season_year = years[0] if years else facts.season_year
    facts.resolution = data.resolutions[0] if data.resolutions else facts.resolution
    index = equal_shares(np.zeros(data.n_windows, np.int64), min(LOOKED_AT, data.n_windows), 1)
    cards: dict[str, Any] = {}
    sums: list[Any] = []
    days: set[float] = set()
    for start in range(0, len(index), 64):
        windows = WindowSet.load(folder, index[start : start + 64])
        days.update(float(day) for day in np.unique(windows.positions[windows.valid.any(axis=(2, 3))]))
        if measure:
            sums.append((float(windows.valid.sum()), normalisation(windows)))
    facts.positions = tuple(sorted(days))
    words = {**(facts.words or {}), "data_set": data.name, "data_set_made_by": data.made_by or "unknown"}
    if measure:
        missing = [band for band in facts.bands if band not in data.bands]
        if missing:
            raise SystemExit(f"{data.name} has no band {', '.join(missing)}; it has {', '.join(data.bands)}.")
        total = sum(count for count, _ in sums)
        for i, band in enumerate(data.bands):
            mean = sum(count * part[i].mean for count, part in sums) / total
            square = sum(count * (part[i].std ** 2 + part[i].mean ** 2) for count, part in sums) / total
            cards[band] = (mean, math.sqrt(max(square - mean**2, 1e-12)))
        facts.mean = tuple(cards[band][0] for band in facts.bands)
        facts.std = tuple(cards[band][1] for band in facts.bands)
        words["normalisation"] = f"measured on {len(index)} windows of {data.name}"
    facts.words = words


def add_normalisation(facts: Facts, path: Path) -> None:
    """Take bands, means and deviations (reflectance, 0 to 1) of a CSV with the columns band, mean, std.

    Raises:
        SystemExit: not such a file, or other bands than those that are named already.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
        found = {row["band"].strip(): (float(row["mean"]), float(row["std"])) for row in rows}
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise SystemExit(f"{path} can't be read (columns band, mean, std are expected): {error}.") from error
    facts.bands = facts.bands or tuple(found)
    missing = [band for band in facts.bands if band not in found]
    if missing:
        raise SystemExit(f"{path} has no band {', '.join(missing)}; it has {', '.join(found)}.")
    facts.mean, facts.std = (tuple(found[band][i] for band in facts.bands) for i in (0, 1))
    if min(facts.std) <= 0:
        raise SystemExit(f"{path} has a deviation (std) of 0 or less.")
    facts.words = {**(facts.words or {}), "normalisation": path.name}


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
