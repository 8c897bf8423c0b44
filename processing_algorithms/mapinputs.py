"""Series, model and region as parameters: what is mapped, with what, and where; and whether they fit."""

from qgis.core import (
    QgsProcessing,
    QgsProcessingParameterExtent,
    QgsProcessingParameterFeatureSource,
)

from ..i18n import tr
from ..parameters import extent_string, vector_source
from .definitions import SERIES_FILTER, described, file_input, number
from .facts import FactsError, missing_bands, model_facts, series_facts
from .values import engine_values

POLYGONS = [QgsProcessing.SourceType.TypeVectorPolygon]
#: Parameters with a file that says something about itself, and how it is read.
READERS = {"SERIES": series_facts, "MODEL": model_facts}


def image_series(help_text=None):
    """The image time series."""
    help_text = help_text or tr("Made by 'Build image time series'.")
    return file_input("SERIES", tr("Image time series"), help_text, SERIES_FILTER)


def extent(help_text, label=None, advanced=False):
    """A box to map."""
    label = label or tr("Extent to map")
    return described(QgsProcessingParameterExtent("EXTENT", label, optional=True), help_text, advanced)


def region(help_text=None, label=None, advanced=False):
    """Polygons in place of the box."""
    source = QgsProcessingParameterFeatureSource(
        "REGION", label or tr("Or polygons to map"), POLYGONS, None, True
    )
    help_text = help_text or tr(
        "Only pixels inside these polygons are mapped; selection and filter are respected."
    )
    return described(source, help_text, advanced)


def min_mapping_unit(help_text=None):
    """Smallest patch of a class map."""
    return number(
        "MIN_MAPPING_UNIT",
        tr("Smallest area shown (ha)"),
        help_text
        or tr("Smaller patches get the class around them (not where nodata encloses them). 0: all stay."),
        default=0,
        low=0,
        high=10000,
        integer=False,
    )


def season_year():
    """Year from whose start the dates of a crop map are counted."""
    return number(
        "SEASON_YEAR",
        tr("Season year"),
        tr("Only needed where the series covers several years or states a wrong one."),
        low=1970,
        high=2100,
    )


def batch_size():
    """Pixels that a model of crops computes at once."""
    return number("BATCH_SIZE", tr("Pixels in a batch"), tr("Without it: what suits the device."), low=1)


def overlap(help_text):
    """How far the windows of a segmentation model overlap."""
    return number("OVERLAP", tr("Overlap of windows (%)"), help_text, default=50, low=0, high=90)


def tile_size():
    """Side of a tile."""
    return number(
        "TILE_SIZE",
        tr("Tile size (pixels)"),
        tr("Memory grows with it. Without it: 256, or what fits."),
        low=16,
        high=4096,
    )


def workers(label=None):
    """Threads of the network."""
    label = label or tr("Threads that classify")
    return number("WORKERS", label, tr("Without it: all processors."), low=1, high=64)


def files_problem(algorithm, parameters, context, misfit=missing_bands):
    """What SERIES and MODEL, where the algorithm has them, say that does not fit, as a sentence, or ''.

    Args:
        algorithm: of the parameters.
        parameters, context: as QGIS hands them on.
        misfit: compares facts of model and series; gives a sentence, or ''.
    """
    try:
        facts = {
            name: read(algorithm.parameterAsString(parameters, name, context))
            for name, read in READERS.items()
            if algorithm.parameterDefinition(name) is not None
        }
    except FactsError as error:
        return str(error)
    return misfit(facts["MODEL"], facts["SERIES"]) if len(facts) == len(READERS) else ""


class OfModel:
    """Algorithms whose only input is a MODEL."""

    def problem(self, parameters, context):
        """The file is a model."""
        return files_problem(self, parameters, context)

    def jobParameters(self, parameters, context, feedback):
        """Fields of the engine's job."""
        return engine_values(self, parameters, context)


class OverRegion:
    """Algorithms with a SERIES, perhaps a MODEL for it, and EXTENT or REGION."""

    def misfit(self, model, series):
        """A sentence about model and series that don't go together, or ''."""
        return missing_bands(model, series)

    def problem(self, parameters, context):
        """One region; model and series fit."""
        if parameters.get("EXTENT") and parameters.get("REGION"):
            return tr("Choose an extent or polygons, not both.")
        return files_problem(self, parameters, context, self.misfit)

    def jobParameters(self, parameters, context, feedback):
        """Fields of the engine's job."""
        fields = engine_values(self, parameters, context)
        fields["extent"] = extent_string(self, parameters, "EXTENT", context)
        fields["region"] = vector_source(self, parameters, "REGION", context, feedback)
        return {name: value for name, value in fields.items() if value != ""}
