"""Assess map: how often a map is right, and the areas that can be defended."""

from qgis.core import (
    QgsProcessing,
    QgsProcessingOutputFile,
    QgsProcessingOutputNumber,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterRasterLayer,
)

from ..algorithm import EngineAlgorithm
from ..i18n import tr
from ..parameters import raster_source, vector_source
from .definitions import choice, described, file_input, file_output
from .documented import InAccuracy
from .values import engine_values

REFERENCES = [QgsProcessing.SourceType.TypeVectorPolygon, QgsProcessing.SourceType.TypeVectorPoint]


class AssessMap(InAccuracy, EngineAlgorithm):
    """Compares a map with parcels, points or a raster of known crops."""

    JOB = "assessmap"

    def displayName(self):
        """Name in the Toolbox."""
        return tr("Assess map")

    def shortDescription(self):
        """One line for tooltips and `qgis_process help`."""
        return tr("Confusion matrix, accuracies and class areas (with 95 % intervals from random points).")

    def tags(self):
        """Words that find it in the Toolbox."""
        return tr(
            "accuracy,validation,confusion matrix,kappa,f1,area estimation,olofsson,error matrix"
        ).split(",")

    def initAlgorithm(self, config=None):
        """Declare parameters and outputs."""
        for parameter in (
            described(
                QgsProcessingParameterRasterLayer("MAP", tr("Crop map")),
                tr("Made by 'Map crops', or any class raster with category names."),
            ),
            described(
                QgsProcessingParameterFeatureSource(
                    "REFERENCE", tr("Reference parcels or points"), REFERENCES, None, True
                ),
                tr(
                    "Known crops that were not used for training. Only points of 'Create validation sample' "
                    "give area-adjusted figures. Selection and filter are respected."
                ),
            ),
            described(
                QgsProcessingParameterField(
                    "FIELD", tr("Field with the crop"), None, "REFERENCE", optional=True
                ),
                tr("Names or codes of the classes; rows without a value are left out."),
            ),
            described(
                QgsProcessingParameterRasterLayer("REFERENCE_RASTER", tr("Or reference raster"), None, True),
                tr("Class values in band 1; they mean what its category names, or the class table, say."),
            ),
            file_output(
                "REPORT",
                tr("Report"),
                tr(
                    "Matrix, scores, areas with intervals and a picture of the map; numbers as JSON and "
                    "the matrix as CSV beside it."
                ),
                tr("HTML files (*.html)"),
            ),
            file_input(
                "CLASS_TABLE",
                tr("Class table (CSV: code,class,color)"),
                tr("Maps values of the field or of the reference raster to the map's class names."),
                tr("CSV files (*.csv);;All files (*)"),
                optional=True,
                advanced=True,
            ),
            choice(
                "SAMPLING",
                tr("What is compared in polygons"),
                tr("All pixels inside, or one pixel a polygon, so that large parcels don't count more."),
                ["all", "one"],
                default="all",
            ),
        ):
            self.addParameter(parameter)
        for name, label in (
            ("OVERALL_ACCURACY", tr("Overall accuracy")),
            ("MACRO_F1", tr("Macro-F1")),
            ("WEIGHTED_F1", tr("Weighted F1")),
            ("KAPPA", tr("Kappa")),
            (
                "ADJUSTED_OVERALL_ACCURACY",
                tr("Overall accuracy, adjusted for area (random points or a raster only)"),
            ),
            ("N", tr("Compared pixels or points")),
        ):
            self.addOutput(QgsProcessingOutputNumber(name, label))
        self.addOutput(QgsProcessingOutputFile("NUMBERS", tr("Numbers (JSON)")))
        self.addOutput(QgsProcessingOutputFile("CONFUSION", tr("Confusion matrix (CSV)")))

    def problem(self, parameters, context):
        """One reference, and its field."""
        vector, raster = bool(parameters.get("REFERENCE")), bool(parameters.get("REFERENCE_RASTER"))
        if vector == raster:
            return tr("Give either reference parcels or points, or a reference raster.")
        if vector and not parameters.get("FIELD"):
            return tr("Choose the field of the reference that holds the crop.")
        return ""

    def jobParameters(self, parameters, context, feedback):
        """Fields of the engine's job."""
        fields = engine_values(self, parameters, context)
        fields["map"] = raster_source(self, parameters, "MAP", context)
        fields["reference"] = vector_source(
            self, parameters, "REFERENCE", context, feedback
        ) or raster_source(self, parameters, "REFERENCE_RASTER", context)
        return fields
