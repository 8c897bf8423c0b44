"""Photos as parameters: a point layer with a field of file paths, or a folder or table of its own."""

import os

from qgis.core import (
    QgsProcessing,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
)

from ..i18n import tr
from ..parameters import vector_source
from .definitions import described, folder_input, number, text

POINTS = [QgsProcessing.SourceType.TypeVectorPoint]


def photo_layer():
    """The layer of photos; optional, because a folder or table may stand in for it."""
    return described(
        QgsProcessingParameterFeatureSource("PHOTOS", tr("Photos (points)"), POINTS, None, True),
        tr(
            "Points with a field of file paths, such as 'Import geotagged photos' of QGIS makes. A folder of "
            "photos or a LUCAS table: under advanced parameters."
        ),
    )


def photo_options():
    """How photos are read, and what else they may come from."""
    return (
        text(
            "PHOTO_SOURCE",
            tr("Or a folder of geotagged photos, or a table"),
            tr(
                "Path of a folder whose photos have a position (EXIF), of a LUCAS table (CSV), or of another "
                "CSV table with paths, longitude and latitude."
            ),
        ),
        described(
            QgsProcessingParameterField(
                "PATH_FIELD", tr("Field with the paths of the photos"), None, "PHOTOS", optional=True
            ),
            tr("Without it: the usual names (photo, file, path and so on)."),
            True,
        ),
        described(
            QgsProcessingParameterField(
                "PLACE_FIELD", tr("Field that names the place"), None, "PHOTOS", optional=True
            ),
            tr("Photos with the same value belong together. Without it: those near each other."),
            True,
        ),
        number(
            "PLACE_DISTANCE",
            tr("Photos of one place lie within (m)"),
            tr("Used without a field that names the place."),
            default=10.0,
            low=0,
            high=100_000,
            integer=False,
        ),
        folder_input(
            "PHOTO_FOLDER",
            tr("Folder of the photos"),
            tr("What relative paths refer to. Without it: the folder of the layer or table."),
            advanced=True,
        ),
    )


def clip_folder():
    """The CLIP model that a photo model belongs to."""
    return folder_input(
        "CLIP",
        tr("Folder of the CLIP model"),
        tr(
            "The one that the photo model was trained with; another one is refused. Without it: where it was "
            "then, else the models folder ('Fetch CLIP model')."
        ),
        advanced=True,
    )


def read_photos(algorithm, parameters, context, feedback, fields):
    """`fields` of the engine's job with 'photos' and, where paths may be relative, 'photo_folder'."""
    other = fields.pop("photo_source", "")
    layer = vector_source(algorithm, parameters, "PHOTOS", context, feedback)
    fields["photos"] = layer or other
    original = algorithm.parameterAsVectorLayer(parameters, "PHOTOS", context)
    if layer and original is not None and not fields.get("photo_folder"):
        # a selection comes as a temporary file, to which relative paths don't refer
        home = os.path.dirname(original.source().split("|")[0])
        if os.path.isdir(home) and os.path.dirname(layer.split("|")[0]) != home:
            fields["photo_folder"] = home
    return {name: value for name, value in fields.items() if value != ""}


def photos_problem(parameters):
    """A sentence where photos are given twice, else ''."""
    if _given(parameters, "PHOTOS") and _given(parameters, "PHOTO_SOURCE"):
        return tr("Photos are given twice: choose a layer, or a folder or table.")
    return ""


def has_photos(parameters):
    """True where photos are given in one of the ways."""
    return _given(parameters, "PHOTOS") or _given(parameters, "PHOTO_SOURCE")


def _given(parameters, name):
    value = parameters.get(name)
    return value is not None and str(value).strip() not in ("", "NULL")
