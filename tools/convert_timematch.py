"""Makes what the engine reads out of the published TimeMatch material: facts, class mappings, networks.

    python tools/convert_timematch.py metadata TILE [TILE ...]
    python tools/convert_timematch.py mapping denmark_class_mapping.yml denmark.csv
    python tools/convert_timematch.py checkpoint model.pt model.safetensors --tile TILE --mapping denmark.csv

TILE is a folder `<country>/<tile>/<year>`. Published facts and networks are pickles, which neither plugin
nor engine ever read: this tool stays in the repository, and accepts plain data and tensors only
(`plain_pickle`, `torch.load(weights_only=True)`). Run it with the developers' Python (`make dev`). See
docs/published-data.md.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import math
import sys
from pathlib import Path
from typing import Any

import plain_pickle
import plain_tensors

ARCHIVE = "https://doi.org/10.5281/zenodo.5636422"
KEYS = ("start_date", "end_date", "dates", "cloudy_pct", "parcels")
PARCEL_KEYS = ("id", "label", "n_pixels", "block", "geometric_features")
SEASONS = {"spring", "winter"}


def convert_metadata(folder: Path) -> Path:
    """Write `meta/metadata.json` from `meta/metadata.pkl` of a tile, and check that the engine reads it.

    Raises:
        SystemExit: no such file, it holds more than plain data, or a fact is missing.
    """
    from sits_engine.outputs import atomic
    from sits_engine.samples.published_tile import FORMAT, METADATA, read_tile

    source = folder / "meta" / "metadata.pkl"
    if not source.is_file():
        raise SystemExit(f"{source} is missing: give a folder <country>/<tile>/<year> of the TimeMatch data.")
    facts = plain_pickle.load(source)
    missing = [key for key in KEYS if not isinstance(facts, dict) or key not in facts]
    if missing:
        raise SystemExit(f"{source} has no {', '.join(missing)}.")
    parcels = facts["parcels"]
    for key in PARCEL_KEYS:
        lacking = [i for i, parcel in enumerate(parcels) if not isinstance(parcel, dict) or key not in parcel]
        if lacking:
            raise SystemExit(f"Parcel {lacking[0]} of {source} has no {key}.")
    kept = {key: facts[key] for key in KEYS}
    kept["parcels"] = [{key: parcel[key] for key in PARCEL_KEYS} for parcel in parcels]
    target = source.with_name(METADATA)
    with atomic(target) as temporary:
        temporary.write_text(json.dumps(_finite({"format": FORMAT, **kept}), allow_nan=False), "utf-8")
    tile = read_tile(folder)
    print(f"{target}: {len(tile)} parcels, {len(tile.positions)} dates of {tile.season_year}.")
    return target


def convert_mapping(source: Path, target: Path) -> int:
    """Write a CSV `code,class` from a published class mapping; returns the number of codes.

    The YAML has names at the top; below each the codes, or 'spring' and 'winter' with codes below them.

    Raises:
        SystemExit: not such a file.
    """
    import yaml
    from sits_engine.outputs import atomic

    # BaseLoader: everything is text, so that no code becomes a number or (as 'NO') a truth value
    try:
        tree = yaml.load(source.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise SystemExit(f"{source} can't be read: {error}") from error
    if not isinstance(tree, dict):
        raise SystemExit(f"{source} is no class mapping: names with crop codes below them are expected.")
    rows: dict[str, str] = {}
    for name, below in tree.items():
        groups = {name: below}
        if isinstance(below, dict) and below and below.keys() <= SEASONS:
            groups = {f"{season}_{name}": codes for season, codes in below.items()}
        for label, codes in groups.items():
            if codes and not isinstance(codes, dict):
                raise SystemExit(f"{source}: '{label}' is not followed by crop codes.")
            for code in codes or {}:
                if rows.get(code, label) != label:
                    print(
                        f"{source} maps the code {code} to '{rows[code]}' and to '{label}': the last counts."
                    )
                rows[code] = label
    if not rows:
        raise SystemExit(f"{source} maps no code.")
    with atomic(target) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("code", "class"))
        writer.writerows(rows.items())
    print(f"{target}: {len(rows)} codes of {len(set(rows.values()))} classes.")
    return len(rows)


def convert_checkpoint(
    source: Path,
    target: Path,
    tile_folder: Path,
    mapping: Path,
    *,
    combine_spring_and_winter: bool = False,
    min_parcels: int = 200,
    classes: list[str] | None = None,
) -> Any:
    """Write a published PSE+LTAE as a model file; returns its card.

    Args:
        source: `fold_<k>/model.pt`.
        target: `.safetensors`.
        tile_folder: the tile it was trained on, with converted facts: gives dates and classes.
        mapping: class mapping of its country.
        combine_spring_and_winter, min_parcels: as the network was trained (published: off, 200).
        classes: names in the order of the network's outputs, where they are known otherwise.

    Raises:
        SystemExit: another network, one with geometric features, or other classes than the tile has.
    """
    from sits_engine.learning.transforms import PUBLISHED_STD
    from sits_engine.models.card import BandCard, ClassCard, ModelCard
    from sits_engine.models.model_file import save_model
    from sits_engine.models.registry import build, pseltae_hyperparameters
    from sits_engine.samples.classes import distinct_colors
    from sits_engine.samples.published_classes import class_list, names_of, read_class_mapping
    from sits_engine.samples.published_tile import BANDS, read_tile

    stored, content = _read_checkpoint(source), source.read_bytes()
    state = stored["state_dict"]
    _check_form(source, state, len(BANDS))
    tile = read_tile(tile_folder)
    table = read_class_mapping(mapping, combine_spring_and_winter=combine_spring_and_winter)
    names = classes or class_list(names_of(tile.codes, table), min_parcels=min_parcels)
    outputs = state["decoder.2.bias"].shape[0]
    if len(names) != outputs:
        raise SystemExit(
            f"{source} has {outputs} classes, {tile.name} gives {len(names)}: {', '.join(names)}. Give the "
            "tile that it was trained on and its country's mapping, or the names in order with --classes."
        )
    hyperparameters = pseltae_hyperparameters(len(BANDS), outputs, reference=True)
    module = build("pseltae", hyperparameters)
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise SystemExit(f"{source} is no published PSE+LTAE: {error}") from error
    colors = distinct_colors(names)
    epoch = stored.get("epoch")
    card = ModelCard(
        architecture="pseltae",
        hyperparameters=hyperparameters,
        bands=[BandCard(name=name, mean=0.0, std=PUBLISHED_STD) for name in BANDS],
        classes=[
            ClassCard(name=name, color=colors[name], codes=sorted(c for c, n in table.items() if n == name))
            for name in names
        ],
        season_year=tile.season_year,
        positions=sorted({float(day) for day in tile.positions}),
        mask_dates=False,
        provenance={
            "imported_from": "published TimeMatch network (PSE+LTAE)",
            "archive": ARCHIVE,
            "file": "/".join(source.resolve().parts[-3:]),
            "file_sha256": hashlib.sha256(content).hexdigest(),
            "trained_on": tile.name,
            "product": "Sentinel-2 L1C (top of atmosphere), clouds not masked",
            "class_mapping": mapping.name,
            **({} if epoch is None else {"epoch": int(epoch)}),
        },
    )
    written = save_model(target, module, card)
    print(f"{target}: {outputs} classes ({', '.join(names)}), {len(card.positions)} dates of {tile.name}.")
    return written


def _read_checkpoint(path: Path) -> dict[str, Any]:
    stored = plain_tensors.load(path)
    if not isinstance(stored, dict) or plain_tensors.state_dict(stored.get("state_dict"), ()) is None:
        raise SystemExit(f"{path} is no published network: it has no 'state_dict' of tensors.")
    return stored


def _check_form(path: Path, state: dict[str, Any], n_bands: int) -> None:
    first, second = "spatial_encoder.mlp1.0.linear.weight", "spatial_encoder.mlp2.0.linear.weight"
    if first not in state or second not in state or "decoder.2.bias" not in state:
        raise SystemExit(
            f"{path} is no published PSE+LTAE: '{first}', '{second}' or 'decoder.2.bias' is missing."
        )
    extra = state[second].shape[1] - 2 * state["spatial_encoder.mlp1.1.linear.weight"].shape[0]
    if extra:
        raise SystemExit(
            f"{path} was trained with {extra} geometric features of the parcels (with_extra); the engine's "
            "maps and samples have none. Use a network trained without them, the published default."
        )
    if state[first].shape[1] != n_bands:
        raise SystemExit(f"{path} takes {state[first].shape[1]} bands, the published data have {n_bands}.")


def _finite(value: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list):
        return [_finite(one) for one in value]
    if isinstance(value, dict):
        return {str(key): _finite(one) for key, one in value.items()}
    return value


def main(arguments: list[str] | None = None) -> int:
    """Run one conversion."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("metadata", help="meta/metadata.pkl -> meta/metadata.json")
    one.add_argument("tiles", nargs="+", type=Path, metavar="TILE")
    one = commands.add_parser("mapping", help="published class mapping (YAML) -> CSV code,class")
    one.add_argument("source", type=Path)
    one.add_argument("target", type=Path)
    one = commands.add_parser("checkpoint", help="published PSE+LTAE -> model file")
    one.add_argument("source", type=Path)
    one.add_argument("target", type=Path)
    one.add_argument("--tile", type=Path, required=True, help="the tile that it was trained on")
    one.add_argument("--mapping", type=Path, required=True, help="class mapping of its country")
    one.add_argument("--combine-spring-and-winter", action="store_true")
    one.add_argument("--min-parcels", type=int, default=200)
    one.add_argument("--classes", type=lambda text: text.split(","), help="names in order: a,b,c")
    given = parser.parse_args(arguments)
    from sits_engine.errors import EngineError

    try:
        if given.command == "metadata":
            for tile in given.tiles:
                convert_metadata(tile)
        elif given.command == "mapping":
            convert_mapping(given.source, given.target)
        else:
            convert_checkpoint(
                given.source,
                given.target,
                given.tile,
                given.mapping,
                combine_spring_and_winter=given.combine_spring_and_winter,
                min_parcels=given.min_parcels,
                classes=given.classes,
            )
    except (plain_pickle.Refused, EngineError) as error:
        raise SystemExit(str(error)) from error
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "engine"))
    sys.exit(main())
