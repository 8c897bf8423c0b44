"""Plan map: what a map will take, before it is made."""

from qgis.core import QgsProcessingOutputNumber, QgsProcessingOutputString

from ..algorithm import EngineAlgorithm
from ..i18n import tr
from ..parameters import device_parameter, unreadable_parameter
from . import mapinputs, wordoptions
from .definitions import MODEL_FILTER, file_input, file_output, folder_input, number, switch
from .documented import InMapping


class PlanMap(mapinputs.OverRegion, InMapping, EngineAlgorithm):
    """Tells time, bytes to read, memory and disk space of a map, from a few of its tiles."""

    JOB = "planmap"

    def displayName(self):
        """Name in the Toolbox."""
        return tr("Plan map")

    def shortDescription(self):
        """One line for tooltips and `qgis_process help`."""
        return tr("Tells how long a map will take here, what limits it, and the disk space it needs.")

    def tags(self):
        """Words that find it in the Toolbox."""
        return tr("estimate,time,duration,speed,disk space,memory,bottleneck,jpeg 2000,plan").split(",")

    def initAlgorithm(self, config=None):
        """Declare parameters and outputs."""
        for parameter in (
            mapinputs.image_series(),
            file_input(
                "MODEL",
                tr("Model"),
                tr("The model that the map will be made with: of crops, or a photo model (maps from words)."),
                MODEL_FILTER,
            ),
            mapinputs.extent(tr("Without extent and region the whole series is planned for.")),
            mapinputs.region(
                tr("Only pixels inside these polygons count; selection and filter are respected.")
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
                tr("They need more disk space. Of a map from words: with the similarities of all classes."),
                default=False,
            ),
            folder_input(
                "PROBABILITIES_FOLDER",
                tr("Folder of the probabilities"),
                tr("If it isn't that of the map: its disk is checked, too. Asks for the probabilities."),
                advanced=True,
            ),
            number(
                "CLASSES",
                tr("Classes of a map from words"),
                tr(
                    "For photo models: how many classes 'Map classes from words' will be given, two or more, "
                    "with that of BACKGROUND. Without it a map of similarity or scenicness is planned."
                ),
                low=1,
                high=255,
            ),
            wordoptions.steps(tr("For photo models, as in the maps from words.")),
            mapinputs.min_mapping_unit(tr("As in the map itself; needs some more disk space.")),
            mapinputs.season_year(),
            switch(
                "FAST",
                tr("With the fast network"),
                tr("As in 'Map crops': the fast network in the model's file, where there is one."),
                default=False,
            ),
            unreadable_parameter(),
            device_parameter(),
            mapinputs.batch_size(),
            mapinputs.overlap(tr("For segmentation models, as in 'Map crops'.")),
            mapinputs.tile_size(),
            mapinputs.workers(),
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
