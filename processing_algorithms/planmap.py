"""Plan map: what a crop map will take, before it is made."""

from qgis.core import (
    QgsProcessing,
    QgsProcessingOutputNumber,
    QgsProcessingOutputString,
    QgsProcessingParameterExtent,
    QgsProcessingParameterFeatureSource,
)

from ..algorithm import EngineAlgorithm
from ..i18n import tr
from ..parameters import device_parameter, extent_string, unreadable_parameter, vector_source
from .definitions import (
    MODEL_FILTER,
    SERIES_FILTER,
    described,
    file_input,
    file_output,
    folder_input,
    number,
    switch,
)
from .documented import InMapping
from .facts import FactsError, missing_bands, model_facts, series_facts
from .values import engine_values


class PlanMap(InMapping, EngineAlgorithm):
    """Tells time, bytes to read, memory and disk space of a map, from a few of its tiles."""

    JOB = "planmap"

    def displayName(self):
        """Name in the Toolbox."""
        return tr("Plan map")

    def shortDescription(self):
        """One line for tooltips and `qgis_process help`."""
        return tr("Tells how long a crop map will take here, what limits it, and the disk space it needs.")

    def tags(self):
        """Words that find it in the Toolbox."""
        return tr("estimate,time,duration,speed,disk space,memory,bottleneck,jpeg 2000,plan").split(",")

    def initAlgorithm(self, config=None):
        """Declare parameters and outputs."""
        for parameter in (
            file_input(
                "SERIES", tr("Image time series"), tr("Made by 'Build image time series'."), SERIES_FILTER
            ),
            file_input("MODEL", tr("Model"), tr("The model that the map will be made with."), MODEL_FILTER),
            described(
                QgsProcessingParameterExtent("EXTENT", tr("Extent to map"), optional=True),
                tr("Without extent and region the whole series is planned for."),
            ),
            described(
                QgsProcessingParameterFeatureSource(
                    "REGION",
                    tr("Or polygons to map"),
                    [QgsProcessing.SourceType.TypeVectorPolygon],
                    None,
                    True,
                ),
                tr("Only pixels inside these polygons count; selection and filter are respected."),
            ),
            folder_input(
                "FOLDER",
                tr("Folder of the map"),
                tr("Its disk must have room for the map. It may not exist yet. Default: that of the series."),
            ),
            file_output(
                "OUTPUT",
                tr("Numbers of the plan"),
                tr("All figures, for scripts."),
                tr("JSON files (*.json)"),
                optional=True,
                by_default=False,
            ),
            switch(
                "PROBABILITIES",
                tr("With the probabilities of all classes"),
                tr("They need more disk space."),
                default=False,
            ),
            number(
                "MIN_MAPPING_UNIT",
                tr("Smallest area shown (ha)"),
                tr("As in 'Map crops'; needs some more disk space."),
                default=0,
                low=0,
                high=10000,
                integer=False,
            ),
            number(
                "SEASON_YEAR",
                tr("Season year"),
                tr("Only needed where the series covers several years or states a wrong one."),
                low=1970,
                high=2100,
            ),
            switch(
                "FAST",
                tr("With the fast network"),
                tr("As in 'Map crops': the fast network in the model's file, where there is one."),
                default=False,
            ),
            unreadable_parameter(),
            device_parameter(),
            number("BATCH_SIZE", tr("Pixels in a batch"), tr("Without it: what suits the device."), low=1),
            number(
                "OVERLAP",
                tr("Overlap of windows (%)"),
                tr("For segmentation models, as in 'Map crops'."),
                default=50,
                low=0,
                high=90,
            ),
            number(
                "TILE_SIZE",
                tr("Tile size (pixels)"),
                tr("Memory grows with it. Without it: 256, or what fits."),
                low=16,
                high=4096,
            ),
            number("WORKERS", tr("Threads that classify"), tr("Without it: all processors."), low=1, high=64),
        ):
            self.addParameter(parameter)
        self.addOutput(QgsProcessingOutputNumber("PIXELS", tr("Pixels to classify")))
        self.addOutput(QgsProcessingOutputNumber("TILES", tr("Tiles")))
        self.addOutput(QgsProcessingOutputNumber("BYTES_TO_READ", tr("Bytes to read")))
        self.addOutput(QgsProcessingOutputNumber("SECONDS", tr("Estimated seconds")))
        self.addOutput(QgsProcessingOutputNumber("PEAK_MEMORY", tr("Peak memory (bytes)")))
        self.addOutput(
            QgsProcessingOutputNumber("DISK_NEEDED", tr("Disk space while the map is made (bytes)"))
        )
        self.addOutput(QgsProcessingOutputString("BOTTLENECK", tr("What will limit the map")))

    def problem(self, parameters, context):
        """Model and series fit; one region."""
        if parameters.get("EXTENT") and parameters.get("REGION"):
            return tr("Choose an extent or polygons, not both.")
        try:
            series = series_facts(self.parameterAsString(parameters, "SERIES", context))
            model = model_facts(self.parameterAsString(parameters, "MODEL", context))
        except FactsError as error:
            return str(error)
        return missing_bands(model, series)

    def jobParameters(self, parameters, context, feedback):
        """Fields of the engine's job."""
        fields = engine_values(self, parameters, context)
        fields["extent"] = extent_string(self, parameters, "EXTENT", context)
        fields["region"] = vector_source(self, parameters, "REGION", context, feedback)
        return {name: value for name, value in fields.items() if value != ""}
