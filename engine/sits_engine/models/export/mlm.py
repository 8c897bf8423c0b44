"""The model card as a STAC item with the Machine Learning Model extension, for catalogues and other tools.

This engine reads nothing from it: what it needs stands in the model file.

Source: https://github.com/stac-extensions/mlm, version 1.4.0.
"""

from __future__ import annotations

import datetime
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from sits_engine.models.card import DATE_CONVENTION, ModelCard
from sits_engine.models.export.forms import Port
from sits_engine.models.export.onnx_export import Exported

EXTENSIONS = (
    "https://stac-extensions.github.io/mlm/v1.4.0/schema.json",
    "https://stac-extensions.github.io/classification/v1.1.0/schema.json",
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
)
#: Our axes in the words that the extension recommends.
AXES = {"dates": "time", "bands": "channel", "pixels": "pixel"}
#: Names of networks as in the literature.
ARCHITECTURES = {
    "pseltae": "PSE+LTAE",
    "tsvit": "TSViT",
    "unet3d": "UNet3D",
    "unet3df": "UNet3Df",
    "unet2d_clstm": "UNet2D-CLSTM",
    "biconvgru": "BiConvGRU",
    "timesenclip": "TimeSenCLIP satellite encoder",
}
Box = tuple[float, float, float, float]


def mlm_item(item: Path, onnx: Path, weights: Path, card: ModelCard, exported: Exported) -> dict[str, Any]:
    """The item as JSON-serialisable data.

    Args:
        item: where it will be written; links to the files start there.
        onnx: the exported network.
        weights: the model file.
        card: of the network that was exported.
        exported: what `export_onnx` gave.
    """
    form = exported.form
    classes = list(_classes(card))
    result: dict[str, Any] = {
        "name": form.output.name,
        "tasks": list(form.tasks),
        "result": _structure(form.output),
        "description": form.output.meaning,
    }
    if classes:
        result["classification:classes"] = classes
        result["description"] += ". The value of a class is its place on the axis 'class', counted from 1"
    box = _region(card)
    adapted = card.provenance.get("adapted")
    source = adapted.get("from", {}).get("title") if isinstance(adapted, dict) else None
    properties: dict[str, Any] = {
        "title": f"{_architecture(card)} of {len(classes)} classes" if classes else _architecture(card),
        "description": "Satellite image time series to "
        + (", ".join(card.class_names) if classes else "vectors in the space of CLIP")
        + ". Made by SITS for QGIS.",
        "datetime": None,
        **_season(card),
        "bands": [
            {"name": band.name, "statistics": {"mean": band.mean, "stddev": band.std}} for band in card.bands
        ],
        "mlm:name": _name(onnx.stem),
        "mlm:architecture": _architecture(card),
        "mlm:tasks": list(form.tasks),
        "mlm:framework": "ONNX",
        "mlm:framework_version": metadata.version("onnx"),
        "mlm:total_parameters": exported.parameters,
        "mlm:pretrained": source is not None,
        "mlm:pretrained_source": source,
        "mlm:batch_size_suggestion": form.batch,
        "mlm:accelerator": None,
        "mlm:accelerator_constrained": False,
        "mlm:hyperparameters": {**card.hyperparameters, "temperature": card.temperature},
        "mlm:input": [_input(port, card) for port in form.inputs],
        "mlm:output": [result],
        "sits:scores": {k: v for k, v in card.scores.items() if isinstance(v, int | float)},
    }
    created = card.provenance.get("created")
    if isinstance(created, str):
        properties["created"] = created
    found: dict[str, Any] = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": list(EXTENSIONS),
        "id": onnx.stem,
        "geometry": None if box is None else _polygon(box),
        "properties": properties,
        "links": [],
        "assets": {
            "model": {
                "title": f"Network as ONNX, operators of version {exported.opset}",
                "description": "Takes physical values: normalisation and temperature are inside.",
                "type": "application/octet-stream; framework=onnx",
                "roles": ["mlm:model", "mlm:compiled"],
                "mlm:artifact_type": "onnx",
                **_file(onnx, item),
            },
            "weights": {
                "title": "Model file of SITS for QGIS",
                "description": "Weights and model card; the inputs are those of the network itself.",
                "type": "application/octet-stream; framework=safetensors",
                "roles": ["mlm:weights"],
                "mlm:framework": "PyTorch",
                "mlm:framework_version": metadata.version("torch"),
                **_file(weights, item),
            },
        },
    }
    if box is not None:
        found["bbox"] = list(box)
    return found


def _architecture(card: ModelCard) -> str:
    return ARCHITECTURES.get(card.architecture, card.architecture)


def _input(port: Port, card: ModelCard) -> dict[str, Any]:
    has_bands = "bands" in port.axes
    return {
        "name": port.name,
        "bands": card.band_names if has_bands else [],
        "input": _structure(port),
        "description": ("bool: " if port.data_type == "bool" else "") + port.meaning,
        # normalised inside; the numbers stand with the bands
        "value_scaling": None,
        "resize_type": None,
        "pre_processing_function": None,
    }


def _structure(port: Port) -> dict[str, Any]:
    return {
        "shape": list(port.shape),
        "dim_order": [AXES.get(axis, axis) for axis in port.axes],
        # STAC has no word for truth values; the description says it
        "data_type": "other" if port.data_type == "bool" else port.data_type,
    }


def _classes(card: ModelCard) -> Iterator[dict[str, Any]]:
    """Classes with unique names of letters, digits, - and _ alone; the description has the full one."""
    taken: set[str] = set()
    for value, one in enumerate(card.classes, start=1):
        name = re.sub(r"[^0-9A-Za-z_-]+", "_", one.name).strip("_") or f"class_{value}"
        name = name if name not in taken else f"{name}_{value}"
        taken.add(name)
        codes = [code for code in one.codes if code != one.name]
        yield {
            "value": value,
            "name": name,
            "description": one.name + (f" (codes {', '.join(codes)})" if codes else ""),
            "color_hint": one.color.removeprefix("#").upper(),
        }


def _season(card: ModelCard) -> dict[str, str]:
    """First and last day of the training images; the whole year where dates are no days."""
    first = datetime.date(card.season_year, 1, 1)
    last = datetime.date(card.season_year, 12, 31)
    if card.positions and card.date_convention == DATE_CONVENTION:
        days = [first + datetime.timedelta(days=round(day)) for day in card.positions]
        first, last = min(days), max(days)
    return {"start_datetime": f"{first}T00:00:00Z", "end_datetime": f"{last}T23:59:59Z"}


def _region(card: ModelCard) -> Box | None:
    """Longitudes and latitudes of the training images, or of the places of the photos; None: unknown."""
    boxes = list(_boxes(card.provenance.get("series")))
    adapted = card.provenance.get("adapted")
    if isinstance(adapted, dict):
        boxes.extend(_boxes([adapted.get("to")]))
    places = card.provenance.get("places_seen")
    if not boxes and isinstance(places, dict) and places.get("lon") and places.get("lat"):
        lon, lat = places["lon"], places["lat"]
        boxes = [(min(lon) / 1000, min(lat) / 1000, max(lon) / 1000, max(lat) / 1000)]
    if not boxes:
        return None
    left, bottom, right, top = zip(*boxes, strict=True)
    return min(left), min(bottom), max(right), max(top)


def _boxes(series: Any) -> Iterator[Box]:
    for facts in series if isinstance(series, Iterable) else []:
        box = facts.get("bbox") if isinstance(facts, dict) else None
        if isinstance(box, list | tuple) and len(box) == 4:
            yield tuple(float(one) for one in box)  # type: ignore[misc]


def _polygon(box: Box) -> dict[str, Any]:
    left, bottom, right, top = box
    ring = [[left, bottom], [right, bottom], [right, top], [left, top], [left, bottom]]
    return {"type": "Polygon", "coordinates": [ring]}


def _name(stem: str) -> str:
    """A name as the extension wants it: starts with a letter, ends with a letter or digit, three at least."""
    name = re.sub(r"[^a-zA-Z0-9_.\- ]+", "-", stem).strip("_.- ")
    return name if re.fullmatch(r"[a-zA-Z].+[a-zA-Z0-9]", name) else f"model-{name or 'sits'}"


def _file(path: Path, item: Path) -> dict[str, Any]:
    """Link, size and checksum (multihash: 0x12 SHA-256, 0x20 its length) of a file."""
    try:
        href = Path(os.path.relpath(path, item.parent)).as_posix()
        href = href if href.startswith(".") else f"./{href}"
    except ValueError:
        # another drive
        href = path.resolve().as_uri()
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"href": href, "file:size": path.stat().st_size, "file:checksum": f"1220{digest}"}
