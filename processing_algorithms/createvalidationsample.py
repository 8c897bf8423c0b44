"""Create validation sample: random points in each class of a map, with a form to say what is there."""

from qgis.core import (
    QgsProcessing,
    QgsProcessingOutputNumber,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterVectorDestination,
)

from ..algorithm import EngineAlgorithm
from ..i18n import tr
from ..parameters import raster_source
from . import styling
from .definitions import choice, described, number
from .documented import InAccuracy
from .values import engine_values


class CreateValidationSample(InAccuracy, EngineAlgorithm):
    """Draws the stratified random points that defensible areas need."""

    JOB = "createvalidationsample"

    def displayName(self):
        """Name in the Toolbox."""
        return tr("Create validation sample")

    def shortDescription(self):
        """One line for tooltips and `qgis_process help`."""
        return tr(
            "Draws stratified random points from a map, with a form in which you say what is really there."
        )

    def tags(self):
        """Words that find it in the Toolbox."""
        return tr(
            "stratified random sampling,reference points,accuracy,ground truth,interpretation,olofsson"
        ).split(",")

    def initAlgorithm(self, config=None):
        """Declare parameters and outputs."""
        for parameter in (
            described(
                QgsProcessingParameterRasterLayer("MAP", tr("Crop map")),
                tr("Its classes are the strata."),
            ),
            number(
                "N",
                tr("Number of points"),
                tr("About 50 a class is a common start."),
                default=400,
                low=2,
                high=1000000,
                advanced=False,
            ),
            choice(
                "ALLOCATION",
                tr("Points of each class"),
                tr(
                    "Equal serves rare classes, proportional the overall accuracy; optimal weighs area and "
                    "expected errors."
                ),
                ["equal", "proportional", "optimal"],
                default="optimal",
                advanced=False,
            ),
            described(
                QgsProcessingParameterVectorDestination(
                    "OUTPUT", tr("Validation sample"), QgsProcessing.SourceType.TypeVectorPoint
                ),
                tr("GeoPackage; fill its field 'reference', then use it in 'Assess map'."),
            ),
            number(
                "MIN_PER_CLASS",
                tr("Fewest points of a class"),
                tr("So that rare classes get an interval, too."),
                default=30,
                low=0,
            ),
            number(
                "SEED",
                tr("Random seed"),
                tr("The same seed draws the same points."),
                default=1,
                low=0,
                high=2**31 - 1,
            ),
        ):
            self.addParameter(parameter)
        self.addOutput(QgsProcessingOutputNumber("POINTS", tr("Points drawn")))

    def jobParameters(self, parameters, context, feedback):
        """Fields of the engine's job."""
        fields = engine_values(self, parameters, context)
        fields["map"] = raster_source(self, parameters, "MAP", context)
        return fields

    def afterJob(self, result, outputs, context, feedback):
        """Give the layer its form."""
        names = [item.name for _, item in sorted(styling.raster_classes(self.fields["map"]).items())]
        styling.style_sample(outputs["OUTPUT"], names, feedback)
        styling.dress(context, outputs["OUTPUT"], tr("Validation sample"))
