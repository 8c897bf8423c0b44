"""Labelled windows as parameters: images, and labels from parcels or from a label raster."""

import os

from qgis.core import (
    QgsProcessing,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterMultipleLayers,
)

from ..i18n import tr
from ..parameters import raster_paths, vector_source, vector_sources
from .definitions import choice, described, folder_input, number, switch
from .facts import FactsError, series_facts
from .trainingoptions import bands, class_table
from .values import engine_values, files

POLYGONS = [QgsProcessing.SourceType.TypeVectorPolygon]


def label_inputs(or_windows=False):
    """Images, parcels, and the field with the crop.

    Args:
        or_windows: a data set (`data_set`) can be given instead, so that images are optional.
    """
    instead = tr(" Instead of them a data set of windows can be given (advanced).") if or_windows else ""
    return [
        described(
            QgsProcessingParameterMultipleLayers(
                "SERIES", tr("Image time series"), QgsProcessing.SourceType.TypeFile, optional=or_windows
            ),
            tr("Files made by 'Build image time series', one a region.") + instead,
        ),
        described(
            QgsProcessingParameterFeatureSource(
                "PARCELS", tr("Parcels with known crops"), POLYGONS, None, True
            ),
            tr(
                "Polygons. Selection and filter of the layer are respected; any coordinate system. Instead "
                "of them a label raster can be given (advanced)."
            ),
        ),
        described(
            QgsProcessingParameterField("FIELD", tr("Field with the crop"), None, "PARCELS", optional=True),
            tr("Name or code of the crop. Land without a value stays unlabelled."),
        ),
    ]


def data_set():
    """Windows that were cut already."""
    return folder_input(
        "WINDOWS",
        tr("Or a data set of windows (Zarr folder)"),
        tr(
            "Instead of images and labels: a folder that 'Export training windows' wrote, or one made of a "
            "published data set (docs/published-windows.md). Window size, bands, dates and classes are its "
            "own."
        ),
        advanced=True,
    )


def more_labels():
    """Label rasters, further parcels, classes."""
    return [
        described(
            QgsProcessingParameterMultipleLayers(
                "LABELS", tr("Or label rasters"), QgsProcessing.SourceType.TypeRaster, optional=True
            ),
            tr(
                "Instead of parcels, one a time series: whole numbers, 0 is unlabelled, or masks made by "
                "'Make pseudo masks'. Names and colours in the file count unless there is a class table. "
                "Pixels must be those of the images, or halves or quarters of them, as chosen under finer "
                "labels."
            ),
            True,
        ),
        described(
            QgsProcessingParameterMultipleLayers(
                "MORE_PARCELS",
                tr("Parcels of further regions"),
                QgsProcessing.SourceType.TypeVectorAnyGeometry,
                optional=True,
            ),
            tr(
                "In the order of the further time series; the field with the crop must have the same "
                "name. Filters of the layers are respected."
            ),
            True,
        ),
        class_table(),
        bands(),
    ]


def window_size(help_text, default=None, low=8, high=512):
    """Side of a window."""
    return number(
        "WINDOW",
        tr("Side of a window (pixels of the images)"),
        help_text,
        default=default,
        low=low,
        high=high,
    )


def finer():
    """Grid of the labels."""
    return choice(
        "SCALE",
        tr("Finer labels: pixels along one pixel of the images"),
        tr(
            "1 is the grid of the images. 2 and 4 (super-resolution) put the labels on a grid two or "
            "four times finer: 5 or 2.5 m for Sentinel-2."
        ),
        ["1", "2", "4"],
        default="1",
    )


def n_dates(help_text, low, high):
    """Dates of a window."""
    return number("N_DATES", tr("Dates of a window"), help_text, low=low, high=high)


def which_windows():
    """Which windows are kept, which pixels count."""
    return [
        number(
            "LEAST_COVERED",
            tr("Share of a pixel that its crop must cover"),
            tr("Pixels of parcels with less are left unlabelled: mixed borders, paths."),
            default=0.5,
            low=0,
            high=1,
            integer=False,
        ),
        number(
            "MIN_LABELLED",
            tr("Share of a window that must be labelled"),
            tr("Windows with less are left out and counted."),
            default=0.05,
            low=0,
            high=1,
            integer=False,
        ),
        number(
            "MAX_WINDOWS",
            tr("Most windows"),
            tr("A random choice of them, an equal share of each region, keeps memory small."),
            default=4000,
            low=1,
        ),
        mask_clouds(),
    ]


def mask_clouds():
    """Whether clouded pixels count."""
    return switch(
        "MASK_CLOUDS",
        tr("Leave clouded pixels out"),
        tr("Off is the published behaviour: clouded pixels are read as they are."),
        default=True,
    )


#: Parameters that a data set of windows takes the place of, and what they are called.
REPLACED = ("SERIES", "PARCELS", "FIELD", "LABELS", "MORE_PARCELS", "WINDOWS_STORE")


def data_set_problem(algorithm, parameters, context):
    """What is wrong where a data set of windows is given, as a sentence, or ''."""
    both = [
        algorithm.parameterDefinition(name).description()
        for name in REPLACED
        if algorithm.parameterDefinition(name) and given(algorithm, parameters, name, context)
    ]
    if both:
        return tr(
            "A data set of windows holds images and labels: leave empty what else is given ({})."
        ).format(", ".join(both))
    path = algorithm.parameterAsString(parameters, "WINDOWS", context)
    if not os.path.isfile(os.path.join(path, "zarr.json")):
        return tr(
            "{} is no data set of windows. Choose the folder itself (often *.zarr) that 'Export training "
            "windows' wrote."
        ).format(path)
    return ""


def given(algorithm, parameters, name, context):
    """Whether a parameter has a value; a list of files with one empty text has none."""
    if name == "SERIES":
        return bool(files(algorithm, parameters, name, context))
    return bool(parameters.get(name))


def labels_problem(algorithm, parameters, context):
    """What is wrong with images and labels, as a sentence, or ''."""
    if parameters.get("WINDOWS"):
        return data_set_problem(algorithm, parameters, context)
    if not given(algorithm, parameters, "SERIES", context):
        return tr(
            "Give image time series with parcels or label rasters, or a data set of windows (advanced)."
        )
    labels = [name for name in ("PARCELS", "LABELS") if parameters.get(name)]
    if len(labels) != 1:
        return tr("Give parcels with known crops or label rasters (advanced), one of the two.")
    if labels == ["PARCELS"] and not parameters.get("FIELD"):
        return tr("Choose the field of the parcels that holds the crop.")
    try:
        for path in files(algorithm, parameters, "SERIES", context):
            series_facts(path)
    except FactsError as error:
        return str(error)
    return ""


def window_values(algorithm, parameters, context, feedback):
    """Fields of the engine's job, the layers with labels among them."""
    fields = engine_values(algorithm, parameters, context)
    if fields.get("windows"):
        return fields
    rasters = raster_paths(algorithm, parameters, "LABELS", context)
    if rasters:
        fields.pop("field", None)
        return {**fields, "labels": rasters}
    further = vector_sources(algorithm, parameters, "MORE_PARCELS", context, feedback)
    fields["parcels"] = [vector_source(algorithm, parameters, "PARCELS", context, feedback), *further]
    return fields


class FromWindows:
    """Algorithms whose inputs are `label_inputs` and `more_labels`; with `data_set` also that."""

    def problem(self, parameters, context):
        """Images and one kind of labels, or a data set; the files are readable."""
        return labels_problem(self, parameters, context)

    def jobParameters(self, parameters, context, feedback):
        """Fields of the engine's job."""
        return window_values(self, parameters, context, feedback)
