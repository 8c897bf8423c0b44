"""Parameters that maps from words and photos share, and checks of what they were given."""

from qgis.core import (
    QgsProcessing,
    QgsProcessingParameterExtent,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterString,
)

from ..algorithm import EngineAlgorithm
from ..i18n import tr
from ..parameters import (
    device_parameter,
    extent_string,
    scheduler_parameter,
    unreadable_parameter,
    vector_source,
)
from .definitions import MODEL_FILTER, SERIES_FILTER, choice, described, file_input, folder_input, number
from .documented import InPhotos
from .facts import FactsError, missing_bands, model_facts, series_facts
from .values import engine_values

POLYGONS = [QgsProcessing.SourceType.TypeVectorPolygon]


def series_and_model():
    """The image time series and the photo model."""
    return (
        file_input(
            "SERIES", tr("Image time series"), tr("Made by 'Build image time series'."), SERIES_FILTER
        ),
        file_input(
            "MODEL",
            tr("Photo model"),
            tr("Made by 'Train photo model'. Its bands are looked up by name in the series."),
            MODEL_FILTER,
        ),
    )


def lines(name, label, help_text):
    """Text of several lines; one line in batch and modeler."""
    return described(QgsProcessingParameterString(name, label, None, True, True), help_text)


def extent(advanced=False):
    """Where to map."""
    return described(
        QgsProcessingParameterExtent("EXTENT", tr("Extent to map"), optional=True),
        tr("Without extent and polygons (advanced) the whole series is mapped."),
        advanced,
    )


def advanced_options():
    """What few people change."""
    return (
        described(
            QgsProcessingParameterFeatureSource("REGION", tr("Or polygons to map"), POLYGONS, None, True),
            tr("Only pixels inside these polygons are mapped; selection and filter are respected."),
            True,
        ),
        folder_input(
            "CLIP",
            tr("Folder of the CLIP model"),
            tr(
                "The one that the photo model was trained with; another one is refused. Without it: where it "
                "was then, else the models folder ('Fetch CLIP model')."
            ),
            advanced=True,
        ),
        choice(
            "STEPS",
            tr("Steps of the year"),
            tr(
                "What the model sees: 12 monthly medians, 4 quarterly ones, or 1 for the whole year. Fewer "
                "steps suit series with few clear images, and tell crops apart less well."
            ),
            ["12", "4", "1"],
            default="12",
        ),
        device_parameter(),
        unreadable_parameter(),
        number(
            "TILE_SIZE",
            tr("Tile size (pixels)"),
            tr("Memory grows with it. Without it: 256, or what fits."),
            low=16,
            high=4096,
        ),
        number("WORKERS", tr("Threads that compute"), tr("Without it: all processors."), low=1, high=64),
        scheduler_parameter(),
    )


def given(parameters, name):
    """True if a parameter has a value that isn't blank."""
    value = parameters.get(name)
    return value is not None and str(value).strip() not in ("", "NULL")


def misfit(algorithm, parameters, context):
    """A sentence about a series and a model that don't go together, or '' if they do."""
    if parameters.get("EXTENT") and parameters.get("REGION"):
        return tr("Choose an extent or polygons, not both.")
    try:
        series = series_facts(algorithm.parameterAsString(parameters, "SERIES", context))
        model = model_facts(algorithm.parameterAsString(parameters, "MODEL", context))
    except FactsError as error:
        return str(error)
    if model.classes:
        return tr(
            "The model has classes of its own and knows no words: use it with 'Map crops'. Choose a model "
            "made by 'Train photo model'."
        )
    return missing_bands(model, series)


class WordMap(InPhotos, EngineAlgorithm):
    """A map that a photo model makes of a series."""

    def wrong(self, parameters, context):
        """A sentence about parameters of this map alone that don't go together, or ''."""
        return ""

    def problem(self, parameters, context):
        """Parameters go together, and model and series fit."""
        return self.wrong(parameters, context) or misfit(self, parameters, context)

    def jobParameters(self, parameters, context, feedback):
        """Fields of the engine's job."""
        fields = engine_values(self, parameters, context)
        fields["extent"] = extent_string(self, parameters, "EXTENT", context)
        fields["region"] = vector_source(self, parameters, "REGION", context, feedback)
        return {name: value for name, value in fields.items() if value != ""}
