"""Map scenicness: the rating that people would give a place, from descriptions that they rated."""

from qgis.core import QgsProcessingOutputNumber, QgsProcessingParameterRasterDestination

from ..i18n import tr
from . import styling, wordstyle
from .definitions import choice, described, file_input, number
from .facts import series_facts
from .wordoptions import WordMap, advanced_options, extent, series_and_model


class MapScenicness(WordMap):
    """Writes a raster of expected ratings."""

    JOB = "mapscenicness"

    def displayName(self):
        """Name in the Toolbox."""
        return tr("Map scenicness")

    def shortDescription(self):
        """One line for tooltips and `qgis_process help`."""
        return tr("Maps the rating that people would give a landscape, from descriptions that they rated.")

    def tags(self):
        """Words that find it in the Toolbox."""
        return tr("scenicness,landscape,beauty,rating,perception,clip,text,ecosystem services").split(",")

    def initAlgorithm(self, config=None):
        """Declare parameters and outputs."""
        for parameter in (
            *series_and_model(),
            file_input(
                "RATINGS",
                tr("Table of ratings"),
                tr(
                    "CSV with the columns prompt (a short description of a place), rating (a number) and, if "
                    "several people rated, voter. Without it: an example with made-up voters."
                ),
                "Tables (*.csv);;All files (*)",
                optional=True,
            ),
            choice(
                "ENSEMBLING",
                tr("Ensembling of voters"),
                tr(
                    "late: each voter's descriptions give a rating, and the mean of the voters is mapped. "
                    "early: the descriptions of all voters are one list."
                ),
                ["early", "late"],
                default="late",
                advanced=False,
            ),
            extent(),
            described(
                QgsProcessingParameterRasterDestination("OUTPUT", tr("Expected rating")),
                tr("Cloud-optimised GeoTIFF with a rating for each pixel, on the scale of the table."),
            ),
            number(
                "SCALE",
                tr("Scale of similarities"),
                tr(
                    "What cosines are multiplied by before the soft-max. High: the most similar description "
                    "decides; low: the map comes near the mean of all ratings. Without it: the scale that "
                    "the model learnt."
                ),
                low=0.001,
                high=10000,
                integer=False,
            ),
            *advanced_options(),
        ):
            self.addParameter(parameter)
        self.addOutput(QgsProcessingOutputNumber("PIXELS", tr("Mapped pixels")))
        self.addOutput(QgsProcessingOutputNumber("VOTERS", tr("Voters")))

    def afterJob(self, result, outputs, context, feedback):
        """Style, name and season of the layer."""
        series = series_facts(self.fields["series"])
        season = styling.season_of(series.dates)
        wordstyle.style_values(outputs["OUTPUT"], feedback, season)
        title = tr("Scenicness – {series}").format(series=series.title)
        styling.dress(context, outputs["OUTPUT"], title, season)
