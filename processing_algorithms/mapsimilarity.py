"""Map similarity: where the landscape looks like a text or a photo."""

from qgis.core import (
    QgsProcessing,
    QgsProcessingOutputNumber,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterVectorDestination,
)

from ..i18n import tr
from . import styling, wordstyle
from .definitions import described, file_input, number
from .facts import series_facts
from .wordoptions import WordMap, advanced_options, extent, given, lines, series_and_model

PHOTO_FILTER = "Photos (*.jpg *.jpeg *.png *.tif *.tiff *.webp);;All files (*)"


class MapSimilarity(WordMap):
    """Writes a similarity raster, and the most similar places as points."""

    JOB = "mapsimilarity"

    def displayName(self):
        """Name in the Toolbox."""
        return tr("Map similarity")

    def shortDescription(self):
        """One line for tooltips and `qgis_process help`."""
        return tr("Shows where the landscape looks like a text or a photo, and names the best places.")

    def tags(self):
        """Words that find it in the Toolbox."""
        return tr("text,photo,clip,search,retrieval,similar,cosine,query,where").split(",")

    def initAlgorithm(self, config=None):
        """Declare parameters and outputs."""
        for parameter in (
            *series_and_model(),
            lines(
                "TEXT",
                tr("Text to look for"),
                tr("For example: a field of sunflowers. Several lines are several prompts, all averaged."),
            ),
            file_input(
                "PHOTO",
                tr("Or a photo"),
                tr("A photo taken on the ground; where it was taken doesn't matter."),
                PHOTO_FILTER,
                optional=True,
            ),
            described(
                QgsProcessingParameterRasterDestination("OUTPUT", tr("Similarity")),
                tr(
                    "Cloud-optimised GeoTIFF with the cosine of each pixel, -1 to 1. Compare its pixels with "
                    "each other: the height of the numbers means little."
                ),
            ),
            described(
                QgsProcessingParameterVectorDestination(
                    "OUTPUT_PLACES",
                    tr("Best places"),
                    QgsProcessing.SourceType.TypeVectorPoint,
                    None,
                    True,
                    True,
                ),
                tr("GeoPackage of points with rank, similarity, longitude and latitude."),
            ),
            number(
                "K",
                tr("Number of best places"),
                tr("Fewer if there is no room."),
                default=20,
                low=1,
                high=10000,
            ),
            number(
                "DISTANCE",
                tr("Distance between best places (m)"),
                tr("At least; without it all of them would lie in the same field."),
                default=500,
                low=0,
                high=1_000_000,
                integer=False,
            ),
            extent(advanced=True),
            *advanced_options(),
        ):
            self.addParameter(parameter)
        self.addOutput(QgsProcessingOutputNumber("PIXELS", tr("Mapped pixels")))
        self.addOutput(QgsProcessingOutputNumber("PLACES", tr("Number of best places found")))
        self.addOutput(QgsProcessingOutputNumber("BEST", tr("Similarity of the best place")))

    def problem(self, parameters, context):
        """A text or a photo."""
        if given(parameters, "TEXT") == given(parameters, "PHOTO"):
            return tr("Give either a text or a photo to look for.")
        return super().problem(parameters, context)

    def afterJob(self, result, outputs, context, feedback):
        """Style, name and season of the layers."""
        season = styling.season_of(series_facts(self.fields["series"]).dates)
        query = str(result.scores.get("query", ""))
        shown = query if len(query) <= 60 else query[:57] + "..."
        wordstyle.style_values(outputs["OUTPUT"], feedback, season)
        title = tr("Similarity to {query}").format(query=shown)
        styling.dress(context, outputs["OUTPUT"], title, season)
        if outputs.get("OUTPUT_PLACES"):
            wordstyle.style_places(outputs["OUTPUT_PLACES"], feedback)
            title = tr("Places like {query}").format(query=shown)
            styling.dress(context, outputs["OUTPUT_PLACES"], title)
