"""Map classes from words: a land-cover or crop map without training data."""

from qgis.core import (
    QgsProcessingOutputNumber,
    QgsProcessingOutputString,
    QgsProcessingParameterRasterDestination,
)

from ..i18n import tr
from . import mapinputs, styling, wordstyle
from .definitions import choice, described, file_input, text
from .facts import series_facts
from .wordoptions import WordMap, advanced_options, extent, given, lines, series_and_model

#: Fields of the job; the first makes a prompt of the name, the last four bring classes and sentences.
PROMPTS = [
    "name",
    "Generic",
    "LC_Generic",
    "LU_Generic",
    "SAT_Generic",
    "Generic_SATGeneric",
    "lucas_land_cover",
    "lucas_crops",
    "lucas_land_use",
    "eunis_habitats",
]
SETS = PROMPTS[6:]


class MapZeroShot(WordMap):
    """Writes a class map with confidence from class names, and on wish the similarities of all classes."""

    JOB = "mapzeroshot"

    def displayName(self):
        """Name in the Toolbox."""
        return tr("Map classes from words")

    def shortDescription(self):
        """One line for tooltips and `qgis_process help`."""
        return tr("Makes a class map from names of classes, without training data.")

    def tags(self):
        """Words that find it in the Toolbox."""
        return tr(
            "zero-shot,text,prompt,clip,open vocabulary,classify,land cover,crop type,habitat,eunis,lucas"
        ).split(",")

    def initAlgorithm(self, config=None):
        """Declare parameters and outputs."""
        for parameter in (
            *series_and_model(),
            lines(
                "CLASSES",
                tr("Classes"),
                tr(
                    "One a line, or in a single line with commas or semicolons between them: wheat, "
                    "vineyard, wet meadow. Better with prompts of your own, 'class: prompt; prompt', that "
                    "say what a photo of it shows. Without classes: those of the class table (advanced), or "
                    "all of the set chosen as prompts."
                ),
            ),
            choice(
                "PROMPTS",
                tr("Prompts of classes without their own"),
                tr(
                    "name: the name alone. Generic, LC_Generic (land cover), LU_Generic (land use), "
                    "SAT_Generic (satellite), Generic_SATGeneric: the name in 6 or 12 templates such as 'a "
                    "photo of a ...'. The others are sets of classes with five sentences each; classes, if "
                    "given, are looked up in them."
                ),
                PROMPTS,
                default="name",
                advanced=False,
            ),
            extent(),
            described(
                QgsProcessingParameterRasterDestination("OUTPUT", tr("Class map")),
                tr(
                    "Cloud-optimised GeoTIFF: band 1 the class with colours and names, band 2 the confidence "
                    "(%), which nobody calibrated."
                ),
            ),
            described(
                QgsProcessingParameterRasterDestination(
                    "SIMILARITIES", tr("Similarities of all classes"), None, True, False
                ),
                tr("A further GeoTIFF with the cosine of each class, one band a class."),
                True,
            ),
            file_input(
                "CLASS_TABLE",
                tr("Class table"),
                tr("CSV with the columns class, prompt and, if you like, color; several lines a class."),
                "Tables (*.csv);;All files (*)",
                optional=True,
                advanced=True,
            ),
            text(
                "BACKGROUND",
                tr("Text of a class for all else"),
                tr("For example: none of these. It is mapped as a class of its own, the last one."),
            ),
            choice(
                "SCORING",
                tr("Scores"),
                tr(
                    "raw: the most similar class wins. normalised: each class's scores are first divided by "
                    "their mean over a sample of the region, so that no class is liked everywhere. That is "
                    "transductive: what a pixel is called depends on the region, and rare classes get more "
                    "than they have."
                ),
                ["raw", "normalised"],
                default="raw",
            ),
            mapinputs.min_mapping_unit(),
            *advanced_options(),
        ):
            self.addParameter(parameter)
        self.addOutput(QgsProcessingOutputNumber("PIXELS", tr("Mapped pixels")))
        self.addOutput(QgsProcessingOutputString("AREAS", tr("Area of each class (ha, JSON)")))

    def problem(self, parameters, context):
        """There are classes."""
        if given(parameters, "CLASSES") and given(parameters, "CLASS_TABLE"):
            return tr("Give the classes as a list or as a table, not both.")
        prompts = self.parameterAsEnumString(parameters, "PROMPTS", context)
        if not given(parameters, "CLASSES") and not given(parameters, "CLASS_TABLE") and prompts not in SETS:
            return tr("Write the classes, one a line, or choose a set of classes as prompts.")
        return super().problem(parameters, context)

    def afterJob(self, result, outputs, context, feedback):
        """Style, name and season of the layers."""
        series = series_facts(self.fields["series"])
        season = styling.season_of(series.dates)
        styling.style_map(outputs["OUTPUT"], styling.raster_classes(outputs["OUTPUT"]), feedback, season)
        title = tr("Classes from words – {series}").format(series=series.title)
        styling.dress(context, outputs["OUTPUT"], title, season)
        if outputs.get("SIMILARITIES"):
            title = tr("Similarities of classes – {series}").format(series=series.title)
            wordstyle.style_values(outputs["SIMILARITIES"], feedback, season)
            styling.dress(context, outputs["SIMILARITIES"], title, season)
