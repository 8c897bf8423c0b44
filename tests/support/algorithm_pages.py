"""Write docs/algorithms/<id>.md and tests/contract/provider.json from what the algorithms say of themselves.

    python3 tests/support/algorithm_pages.py

A test compares both with the algorithms, so that neither goes stale.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tools"), str(Path(__file__).parent)]

import provider_help  # noqa: E402

TYPES = {
    "number": "number",
    "enum": "choice",
    "boolean": "yes or no",
    "string": "text",
    "source": "vector layer",
    "raster": "raster layer",
    "multilayer": "several layers or files",
    "field": "field",
    "extent": "extent",
    "crs": "coordinate system",
    "file": "file or folder",
    "datetime": "date",
    "authcfg": "authentication configuration",
    "fileDestination": "new file",
    "folderDestination": "new folder",
    "rasterDestination": "new raster",
    "vectorDestination": "new vector layer",
}


#: Values for calls that can run, in the order in which they are shown. Where one means something else in an
#: algorithm, `CALLS` says so; it names what the algorithm refuses to start without, too, whatever QGIS takes
#: for optional.
PLACEHOLDERS = {
    "IMAGES": "images",
    "INPUT_FOLDER": "images",
    "MODEL": "model.safetensors",
    "SERIES": "region.json",
    "WINDOWS": "windows.gpkg",
    "CLASSES": "wheat,maize,rapeseed",
    "PARCELS": "parcels.gpkg",
    "MAP": "map.tif",
    "REFERENCE": "test.gpkg",
    "REFERENCE_FIELD": "crop",
    "FIELD": "crop",
    "TARGET_SERIES": "target.json",
    "TARGET_PARCELS": "target_parcels.gpkg",
    "TARGET_FIELD": "crop",
    "OUTPUT_FOLDER": "demo",
    "PLACES": "places.gpkg",
    "PHOTOS": "photos.gpkg",
    "LABEL_FIELD": "crop",
    "REPORT": "report.html",
    "build:SERIES": "region.json",
    "masks:MASKS": "masks.tif",
    "train:MODEL": "model.safetensors",
    "adapt:MODEL": "adapted.safetensors",
    "map:MAP": "map.tif",
    "assess:REPORT": "report.html",
}
SOURCE = ("SERIES", "PARCELS", "FIELD")
CALLS = {
    "adaptandmap": {"SERIES": "source.json", "FIELD": None, "map:MAP": None},
    "adapttoregion": {
        "SERIES": "source.json",
        **dict.fromkeys(("PARCELS", "FIELD", "TARGET_SERIES", "TARGET_PARCELS")),
        "OUTPUT": "adapted.safetensors",
    },
    "assessmap": dict.fromkeys(("REFERENCE", "FIELD")),
    "buildtimeseries": {"INPUT_FOLDER": None, "OUTPUT": "region.json"},
    "compareadaptation": {
        "SERIES": "source.json",
        **dict.fromkeys(("PARCELS", "FIELD", "TARGET_SERIES", "TARGET_PARCELS", "TARGET_FIELD")),
    },
    "createlabelwindows": {"CLASSES": None, "OUTPUT": "windows.gpkg"},
    "createvalidationsample": {"OUTPUT": "sample.gpkg"},
    "cropmapmodel": dict.fromkeys(("FIELD", "REFERENCE_FIELD", "map:MAP")),
    "estimatetemporalshift": dict.fromkeys(("TARGET_SERIES", "TARGET_PARCELS")),
    "evaluatephotomodel": dict.fromkeys(("SERIES", "PHOTOS", "LABEL_FIELD")),
    "exportmodel": {"OUTPUT": "model.onnx"},
    "exporttrainingwindows": {**dict.fromkeys(SOURCE), "OUTPUT": "windows.zarr"},
    "makepseudomasks": {"OUTPUT": "masks.tif"},
    "mapcrops": {"OUTPUT": "map.tif"},
    "mapscenicness": {"OUTPUT": "scenicness.tif"},
    "mapsimilarity": {"TEXT": "'a field of sunflowers'", "OUTPUT": "similarity.tif"},
    "mapzeroshot": {"CLASSES": None, "OUTPUT": "map.tif"},
    "retrievephotos": {"PHOTOS": None, "OUTPUT": "retrieved.gpkg"},
    "trainphotomodel": {"PHOTOS": None, "OUTPUT": "model.safetensors"},
    "trainsegmentationmodel": {**dict.fromkeys(SOURCE), "OUTPUT": "model.safetensors"},
    "trainsourcemodel": {**dict.fromkeys(SOURCE), "OUTPUT": "model.safetensors"},
    "windowstomap": dict.fromkeys(("map:MAP",)),
}


def page(answer):
    """The page (Markdown) of one algorithm, from its answer to `qgis_process --json help`."""
    details = answer["algorithm_details"]
    slug = details["id"].split(":")[1]
    lines = [f"# {details['name']}", "", f"`{details['id']}` · group *{details['group']}*", ""]
    lines += [details["short_description"], ""]
    text = ROOT / "resources" / "help" / f"{slug}.html"
    if text.is_file():
        lines += [text.read_text(encoding="utf-8").strip(), ""]
    for title, advanced in (("Parameters", False), ("Advanced parameters", True)):
        chosen = {k: p for k, p in answer["parameters"].items() if p["is_advanced"] == advanced}
        if chosen:
            lines += [f"## {title}", "", "| Name | Meaning | Type | Default |", "|---|---|---|---|"]
            lines += [_row(name, item) for name, item in chosen.items()]
            lines.append("")
    if answer["outputs"]:
        lines += ["## Outputs", "", "| Name | Meaning |", "|---|---|"]
        lines += [f"| `{name}` | {item['description']} |" for name, item in answer["outputs"].items()]
        lines.append("")
    lines += ["## From a terminal", "", "```sh", _command(answer), "```", ""]
    return "\n".join(lines)


def _row(name, item):
    raw = item["raw_definition"]
    kind = TYPES.get(item["type"]["id"], item["type"]["name"].lower())
    if item["type"]["id"] == "enum":
        kind = ", ".join(f"`{option}`" for option in raw["options"])
    if item["optional"]:
        kind += ", optional"
    default = item["default_value"]
    shown = (
        ""
        if default is None or isinstance(default, (dict, list))
        else f"`{str(default).lower() if isinstance(default, bool) else default}`"
    )
    words = f"**{item['description']}.** {item['help']}".replace("|", "\\|")
    return f"| `{name}` | {words} | {kind} | {shown} |"


def _command(answer):
    """A call that can run, with what the algorithm needs: files stand for one's own.

    Raises:
        KeyError: a parameter of `CALLS` that the algorithm doesn't have, or one without a placeholder.
    """
    parameters, name = answer["parameters"], answer["algorithm_details"]["id"]
    own = CALLS.get(name.split(":")[1], {})
    required = [key for key, item in parameters.items() if _required(item)]
    for key in own:
        parameters[key]
    order = list(PLACEHOLDERS)
    needed = sorted(
        dict.fromkeys([*own, *required]), key=lambda key: order.index(key) if key in order else len(order)
    )
    pairs = [f"{key}={own.get(key) or PLACEHOLDERS[key]}" for key in needed]
    lines = [f"qgis_process run {name}" + (" --" if pairs else "")]
    for pair in pairs:
        if len(lines[-1]) + len(pair) > 100:
            lines[-1] += " \\"
            lines.append("  ")
        lines[-1] += f"{'' if lines[-1] == '  ' else ' '}{pair}"
    return "\n".join(lines)


def _required(item):
    return not item["optional"] and item["default_value"] is None


def main():
    """Stage the plugin, ask it, write the files."""
    import stage

    staged = stage.stage(ROOT / "build" / "stage").parent
    with tempfile.TemporaryDirectory() as profile:
        help_of = provider_help.provider_help(staged, profile)
    folder = ROOT / "docs" / "algorithms"
    folder.mkdir(parents=True, exist_ok=True)
    for name, answer in help_of.items():
        (folder / f"{name.split(':')[1]}.md").write_text(page(answer), encoding="utf-8")
    text = json.dumps(provider_help.contract(help_of), indent=1, ensure_ascii=False)
    (ROOT / "tests" / "contract" / "provider.json").write_text(text + "\n", encoding="utf-8")
    print(f"{len(help_of)} algorithms")


if __name__ == "__main__":
    main()
