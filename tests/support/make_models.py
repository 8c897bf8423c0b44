"""Write resources/models/*.model3: graphical models, made with QGIS's own classes and never by hand.

    /usr/bin/python3 tests/support/make_models.py

The files are committed; a test compares what this script makes with them.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from qgis.core import (
    QgsApplication,
    QgsProcessing,
    QgsProcessingModelAlgorithm,
    QgsProcessingModelChildAlgorithm,
    QgsProcessingModelChildParameterSource,
    QgsProcessingModelOutput,
    QgsProcessingModelParameter,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterFile,
)
from qgis.PyQt.QtCore import QPointF

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "resources" / "models"
EFFORTS = ["quick", "standard", "thorough"]
METHODS = ["timematch", "fixmatch", "shift", "mmd", "dann", "cdan", "jumbot", "alda"]
Source = QgsProcessingModelChildParameterSource
LABELS = [QgsProcessing.SourceType.TypeVectorPolygon, QgsProcessing.SourceType.TypeVectorPoint]
POLYGONS = [QgsProcessing.SourceType.TypeVectorPolygon]
MODEL_FILTER = "Model (*.safetensors);;All files (*)"
SERIES_FILTER = "Image time series (*.json *.geojson);;All files (*)"
given, made = Source.fromModelParameter, Source.fromChildOutput


def crop_map():
    """Images and parcels -> time series -> model -> map -> assessment."""
    inputs = (
        (
            QgsProcessingParameterFile(
                "IMAGES", "Folder with images", QgsProcessingParameterFile.Behavior.Folder
            ),
            "Rasters with a date in their names, or Sentinel-2 SAFE folders.",
        ),
        (
            QgsProcessingParameterFeatureSource("PARCELS", "Training parcels or points", LABELS),
            "Parcels whose crop is known. Selection and filter are respected.",
        ),
        (
            QgsProcessingParameterField("FIELD", "Field with the crop", "", "PARCELS"),
            "Name or code of the crop.",
        ),
        (
            QgsProcessingParameterEnum(
                "EFFORT", "Effort", EFFORTS, False, "standard", usesStaticStrings=True
            ),
            "How long the training may take, as a word: quick, standard or thorough.",
        ),
        (
            QgsProcessingParameterFeatureSource("REFERENCE", "Reference parcels or points", LABELS),
            "Known crops that are not used for training.",
        ),
        (
            QgsProcessingParameterField(
                "REFERENCE_FIELD", "Field with the crop (reference)", "", "REFERENCE"
            ),
            "The same names or codes as in the training parcels.",
        ),
    )
    steps = (
        ("build", "sits:buildtimeseries", {"INPUT_FOLDER": [given("IMAGES")]}, {"OUTPUT": "SERIES"}),
        (
            "train",
            "sits:trainsourcemodel",
            {
                "SERIES": [made("build", "OUTPUT")],
                "PARCELS": [given("PARCELS")],
                "FIELD": [given("FIELD")],
                "EFFORT": [given("EFFORT")],
            },
            {"OUTPUT": "MODEL", "REPORT": "REPORT"},
        ),
        (
            "map",
            "sits:mapcrops",
            {"SERIES": [made("build", "OUTPUT")], "MODEL": [made("train", "OUTPUT")]},
            {"OUTPUT": "MAP"},
        ),
        (
            "assess",
            "sits:assessmap",
            {
                "MAP": [made("map", "OUTPUT")],
                "REFERENCE": [given("REFERENCE")],
                "FIELD": [given("REFERENCE_FIELD")],
            },
            {"REPORT": "REPORT"},
        ),
    )
    words = {
        ("build", "SERIES"): "Image time series",
        ("train", "MODEL"): "Model",
        ("train", "REPORT"): "Report of the training",
        ("map", "MAP"): "Crop map",
        ("assess", "REPORT"): "Report of the map",
    }
    title = ("Crop map from images and parcels", "Crop mapping", "mapping")
    return assemble(title, "cropmapmodel", inputs, steps, words)


def adapt_and_map():
    """Model and labels of a source, images of a target -> series of the target -> adapted model -> map."""
    folder = QgsProcessingParameterFile.Behavior.Folder
    method = QgsProcessingParameterEnum(
        "METHOD", "Method", METHODS, False, "timematch", usesStaticStrings=True
    )
    method.setFlags(method.flags() | QgsProcessingParameterDefinition.Flag.FlagAdvanced)
    inputs = (
        (
            QgsProcessingParameterFile("MODEL", "Model of the source", fileFilter=MODEL_FILTER),
            "Made by 'Train source model' in the region where the crops are known.",
        ),
        (
            QgsProcessingParameterFile("SERIES", "Source: image time series", fileFilter=SERIES_FILTER),
            "Of the region where the crops are known, made by 'Build image time series'.",
        ),
        (
            QgsProcessingParameterFeatureSource(
                "PARCELS", "Source: parcels or points with known crops", LABELS
            ),
            "Usually those that the model was trained on. Selection and filter are respected.",
        ),
        (
            QgsProcessingParameterField("FIELD", "Source: field with the crop", "", "PARCELS"),
            "Names of the crops as in the model.",
        ),
        (
            QgsProcessingParameterFile("IMAGES", "Target: folder with images", folder),
            "Of the region where you work: rasters with a date in their names, or Sentinel-2 SAFE folders.",
        ),
        (
            QgsProcessingParameterFeatureSource("REGION", "Target: region of interest", POLYGONS, None, True),
            "Polygons around farmland: pixels to learn from are drawn there, and there is mapped. Without "
            "it: all of the images.",
        ),
        (
            method,
            "As in 'Adapt to region': timematch, or shift, which trains nothing and takes moments.",
        ),
    )
    steps = (
        ("build", "sits:buildtimeseries", {"INPUT_FOLDER": [given("IMAGES")]}, {"OUTPUT": "SERIES"}),
        (
            "adapt",
            "sits:adapttoregion",
            {
                "MODEL": [given("MODEL")],
                "SERIES": [given("SERIES")],
                "PARCELS": [given("PARCELS")],
                "FIELD": [given("FIELD")],
                "TARGET_SERIES": [made("build", "OUTPUT")],
                "REGION": [given("REGION")],
                "METHOD": [given("METHOD")],
            },
            {"OUTPUT": "MODEL", "REPORT": "REPORT"},
        ),
        (
            "map",
            "sits:mapcrops",
            {
                "SERIES": [made("build", "OUTPUT")],
                "MODEL": [made("adapt", "OUTPUT")],
                "REGION": [given("REGION")],
            },
            {"OUTPUT": "MAP"},
        ),
    )
    words = {
        ("build", "SERIES"): "Image time series of the target",
        ("adapt", "MODEL"): "Adapted model",
        ("adapt", "REPORT"): "Report of the adaptation",
        ("map", "MAP"): "Crop map",
    }
    title = ("Adapt and map", "Regions without labels", "adaptation")
    return assemble(title, "adaptandmap", inputs, steps, words)


def windows_to_map():
    """Series and ticked windows -> masks -> segmentation model -> map."""
    effort = QgsProcessingParameterEnum(
        "EFFORT", "Effort", EFFORTS, False, "standard", usesStaticStrings=True
    )
    width = QgsProcessingParameterEnum(
        "WIDTH", "Size of the networks", ["standard", "small"], False, "small", usesStaticStrings=True
    )
    inputs = (
        (
            QgsProcessingParameterFile("SERIES", "Image time series", fileFilter=SERIES_FILTER),
            "Made by 'Build image time series'; the one that the windows were laid over. All of it is "
            "mapped.",
        ),
        (
            QgsProcessingParameterFeatureSource("WINDOWS", "Windows with ticked crops", POLYGONS),
            "Made by 'Create label windows', or any polygons with yes/no fields. Save the edits first.",
        ),
        (
            QgsProcessingParameterField(
                "FIELDS", "Fields of the crops", None, "WINDOWS", allowMultiple=True, optional=True
            ),
            "Yes/no fields, one a crop. Without a choice: all yes/no fields but 'done'.",
        ),
        (effort, "How long both trainings may take, as a word: quick, standard or thorough."),
        (width, "small is for a processor, standard (published) for a graphics card."),
    )
    steps = (
        (
            "masks",
            "sits:makepseudomasks",
            {
                "SERIES": [given("SERIES")],
                "WINDOWS": [given("WINDOWS")],
                "FIELDS": [given("FIELDS")],
                "EFFORT": [given("EFFORT")],
                "WIDTH": [given("WIDTH")],
            },
            {"OUTPUT": "MASKS", "REPORT": "REPORT"},
        ),
        (
            "train",
            "sits:trainsegmentationmodel",
            {
                "SERIES": [given("SERIES")],
                "LABELS": [made("masks", "OUTPUT")],
                "EFFORT": [given("EFFORT")],
                "WIDTH": [given("WIDTH")],
            },
            {"OUTPUT": "MODEL", "REPORT": "REPORT"},
        ),
        (
            "map",
            "sits:mapcrops",
            {"SERIES": [given("SERIES")], "MODEL": [made("train", "OUTPUT")]},
            {"OUTPUT": "MAP"},
        ),
    )
    words = {
        ("masks", "MASKS"): "Masks",
        ("masks", "REPORT"): "Report of the masks",
        ("train", "MODEL"): "Model",
        ("train", "REPORT"): "Report of the training",
        ("map", "MAP"): "Crop map",
    }
    title = ("Windows to map", "Crop mapping", "mapping")
    return assemble(title, "windowstomap", inputs, steps, words)


def assemble(title, help_name, inputs, steps, words):
    """A graphical model.

    Args:
        title: name, group and id of the group.
        help_name: file in resources/help without its ending.
        inputs: (parameter, help text) in the order of the dialog.
        steps: (id of the step, algorithm, {its parameter: sources}, {its output: the model's output}).
        words: {(id of the step, the model's output): description}.
    """
    model = QgsProcessingModelAlgorithm(*title)
    texts = {
        "ALG_DESC": (ROOT / "resources" / "help" / f"{help_name}.html").read_text(encoding="utf-8"),
        "ALG_CREATOR": "SITS for QGIS",
    }
    for row, (parameter, help_text) in enumerate(inputs):
        texts[parameter.name()] = help_text
        place = QgsProcessingModelParameter(parameter.name())
        place.setPosition(QPointF(100, 80 + 90 * row))
        model.addModelParameter(parameter, place)
    model.setParameterOrder([parameter.name() for parameter, _ in inputs])
    # The modeler takes the help of parameters from here, and clears their own.
    model.setHelpContent(texts)
    for number, (key, algorithm, sources, outputs) in enumerate(steps):
        child = QgsProcessingModelChildAlgorithm(algorithm)
        if child.algorithm() is None:
            raise SystemExit(f"{algorithm} is not there: is the plugin staged?")
        child.setChildId(key)
        child.setDescription(child.algorithm().displayName())
        child.setPosition(QPointF(450, 120 + 150 * number))
        for name, source in sources.items():
            child.addParameterSources(name, source)
        for definition in child.algorithm().parameterDefinitions():
            # What the model leaves open has the algorithm's default, as in its dialog.
            name, default = definition.name(), definition.defaultValue()
            if name not in sources and not definition.isDestination() and default is not None:
                child.addParameterSources(name, [Source.fromStaticValue(default)])
        results = {}
        for row, (name, output) in enumerate(outputs.items()):
            result = QgsProcessingModelOutput(output, words[key, output])
            result.setChildId(key)
            result.setChildOutputName(name)
            result.setPosition(QPointF(750, 100 + 150 * number + 60 * row))
            result.setDescription(words[key, output])
            results[output] = result
        child.setModelOutputs(results)
        model.addChildAlgorithm(child)
    model.updateDestinationParameters()
    return model


#: Name of the file and what makes it.
MADE = {"crop_map": crop_map, "adapt_and_map": adapt_and_map, "windows_to_map": windows_to_map}


def main(folder):
    """Write every model into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in MADE.items():
        if not make().toFile(str(folder / f"{name}.model3")):
            raise SystemExit(f"{folder} can't be written")


if __name__ == "__main__":
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    if os.environ.get("QT_HASH_SEED") != "0":
        # Without it Qt writes attributes in another order each time.
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "QT_HASH_SEED": "0"})
    sys.path[:0] = [str(ROOT / "tools")]
    import stage

    sys.path.insert(0, str(stage.stage(ROOT / "build" / "stage").parent))
    application = QgsApplication([], False)
    application.initQgis()
    from sits_qgis.provider import SitsProvider

    provider = SitsProvider()
    QgsApplication.processingRegistry().addProvider(provider)
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else MODELS)
    application.exitQgis()
