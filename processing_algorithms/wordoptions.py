"""Parameters that maps from words and photos share, and checks of what they were given."""

from qgis.core import QgsProcessingParameterString

from ..algorithm import EngineAlgorithm
from ..i18n import tr
from ..parameters import device_parameter, scheduler_parameter, unreadable_parameter
from . import mapinputs
from .definitions import MODEL_FILTER, choice, described, file_input, folder_input
from .documented import InPhotos
from .facts import missing_bands


def series_and_model():
    """The image time series and the photo model."""
    return (
        mapinputs.image_series(),
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
    return mapinputs.extent(
        tr("Without extent and polygons (advanced) the whole series is mapped."), advanced=advanced
    )


def steps(help_text=None):
    """What a photo model sees of the year."""
    return choice(
        "STEPS",
        tr("Steps of the year"),
        help_text
        or tr(
            "What the model sees: 12 monthly medians, 4 quarterly ones, or 1 for the whole year. Fewer steps "
            "suit series with few clear images, and tell crops apart less well."
        ),
        ["12", "4", "1"],
        default="12",
    )


def advanced_options():
    """What few people change."""
    return (
        mapinputs.region(advanced=True),
        folder_input(
            "CLIP",
            tr("Folder of the CLIP model"),
            tr(
                "The one that the photo model was trained with; another one is refused. Without it: where it "
                "was then, else the models folder ('Fetch CLIP model')."
            ),
            advanced=True,
        ),
        steps(),
        device_parameter(),
        unreadable_parameter(),
        mapinputs.tile_size(),
        mapinputs.workers(tr("Threads that compute")),
        scheduler_parameter(),
    )


def given(parameters, name):
    """True if a parameter has a value that isn't blank."""
    value = parameters.get(name)
    return value is not None and str(value).strip() not in ("", "NULL")


def misfit(model, series):
    """A sentence about facts of a model and a series that don't go together here, or ''."""
    if model.classes:
        return tr(
            "The model has classes of its own and knows no words: use it with 'Map crops'. Choose a model "
            "made by 'Train photo model'."
        )
    return missing_bands(model, series)


class WordMap(mapinputs.OverRegion, InPhotos, EngineAlgorithm):
    """A map that a photo model makes of a series."""

    def misfit(self, model, series):
        """The model knows words, and the series has its bands."""
        return misfit(model, series)
