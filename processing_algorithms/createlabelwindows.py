"""Create label windows: a grid over a time series in which a person ticks the crops."""

from qgis.core import (
    QgsProcessing,
    QgsProcessingOutputNumber,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorDestination,
)

from ..algorithm import EngineAlgorithm
from ..i18n import tr
from ..parameters import raster_source, vector_source
from . import mapinputs, styling, tickform
from .adaptationoptions import seed
from .definitions import described, number, switch
from .documented import InMapping
from .trainingoptions import class_table

LABELS = [QgsProcessing.SourceType.TypeVectorPolygon, QgsProcessing.SourceType.TypeVectorPoint]


class CreateLabelWindows(mapinputs.OverRegion, InMapping, EngineAlgorithm):
    """Writes windows with a yes/no field for each crop, and a form to tick them."""

    JOB = "createlabelwindows"

    def displayName(self):
        """Name in the Toolbox."""
        return tr("Create label windows")

    def shortDescription(self):
        """One line for tooltips and `qgis_process help`."""
        return tr("Lays a grid over a time series, with a form in which you tick the crops of each window.")

    def tags(self):
        """Words that find it in the Toolbox."""
        return tr(
            "weak labels,image-level labels,weakly supervised,grid,annotate,tick,checkbox,exact,labelling"
        ).split(",")

    def initAlgorithm(self, config=None):
        """Declare parameters and outputs."""
        for parameter in (
            mapinputs.image_series(tr("Made by 'Build image time series'. The windows lie on its pixels.")),
            described(
                QgsProcessingParameterString("CLASSES", tr("Crops to tick"), None, False, True),
                tr(
                    "Two or more names with commas between them: wheat, maize, grassland. Without it: the "
                    "crops of the class table (advanced), else those that parcels, points or map name."
                ),
            ),
            mapinputs.extent(
                tr("Without extent and region (advanced): the whole series."), tr("Extent to cover")
            ),
            described(
                QgsProcessingParameterFeatureSource(
                    "PARCELS", tr("Parcels or points with known crops"), LABELS, None, True
                ),
                tr(
                    "Their crops are ticked beforehand: of parcels where they cover more than 1 % of a "
                    "window, of points where there is one. Selection and filter of the layer are respected."
                ),
            ),
            described(
                QgsProcessingParameterField(
                    "FIELD", tr("Field with the crop"), None, "PARCELS", optional=True
                ),
                tr("Name or code of the crop; a class table (advanced) says what codes mean."),
            ),
            described(
                QgsProcessingParameterVectorDestination(
                    "OUTPUT", tr("Label windows"), QgsProcessing.SourceType.TypeVectorPolygon
                ),
                tr("GeoPackage. A file in which somebody has ticked windows is not replaced."),
            ),
            number(
                "WINDOW",
                tr("Side of a window (pixels of the images)"),
                tr("Large windows are quicker to tick and say less."),
                default=24,
                low=4,
                high=1024,
            ),
            number(
                "MAX_WINDOWS",
                tr("Most windows"),
                tr("If the region holds more, so many are drawn at random."),
                default=500,
                low=1,
                high=1_000_000,
            ),
            mapinputs.region(
                tr("Windows with a part of these polygons; selection and filter are respected."),
                tr("Or polygons to cover"),
                advanced=True,
            ),
            class_table(),
            described(
                QgsProcessingParameterRasterLayer("MAP", tr("Or a class map"), None, True),
                tr(
                    "Its crops are ticked beforehand, by share of the window. Any pixel size and coordinate "
                    "system will do."
                ),
                True,
            ),
            number(
                "MIN_SHARE",
                tr("Share of a window from which a crop is ticked"),
                tr("Of parcels and map: with more than this share a crop counts as present."),
                default=0.01,
                low=0,
                high=0.999,
                integer=False,
            ),
            switch(
                "MARK_DONE",
                tr("Mark windows that are ticked beforehand as done"),
                tr("Then what is not ticked in them counts as missing. Off: look at them first."),
                default=False,
            ),
            seed(tr("The same seed draws the same windows.")),
        ):
            self.addParameter(parameter)
        for name, label in (
            ("N_WINDOWS", tr("Windows")),
            ("N_CLASSES", tr("Crops")),
            ("N_PREFILLED", tr("Windows that were ticked beforehand")),
        ):
            self.addOutput(QgsProcessingOutputNumber(name, label))

    def problem(self, parameters, context):
        """The series is readable, there are crops, one region."""
        given = {name for name in parameters if parameters.get(name) not in (None, "", [])}
        if not given & {"CLASSES", "CLASS_TABLE", "PARCELS", "MAP"}:
            return tr("Write the names of the crops, or give parcels, points or a map that name them.")
        if "PARCELS" in given and "FIELD" not in given:
            return tr("Choose the field of the parcels or points that holds the crop.")
        return super().problem(parameters, context)

    def jobParameters(self, parameters, context, feedback):
        """Fields of the engine's job."""
        fields = super().jobParameters(parameters, context, feedback)
        fields["parcels"] = vector_source(self, parameters, "PARCELS", context, feedback)
        fields["map"] = raster_source(self, parameters, "MAP", context)
        if not fields["parcels"]:
            fields.pop("field", None)
        return {name: value for name, value in fields.items() if value != ""}

    def afterJob(self, result, outputs, context, feedback):
        """Give the layer its form."""
        tickform.style_windows(outputs["OUTPUT"], feedback)
        styling.dress(context, outputs["OUTPUT"], tr("Label windows"))
        feedback.pushInfo(
            tr(
                "To tick: toggle editing, open the attribute table in form view, turn on 'Zoom to current "
                "feature', and go from window to window."
            )
        )
