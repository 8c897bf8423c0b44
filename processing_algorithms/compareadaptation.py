"""Compare adaptation: which method adapts best between two regions whose crops are both known."""

from qgis.core import QgsProcessingOutputFile, QgsProcessingParameterEnum

from ..algorithm import EngineAlgorithm
from ..i18n import tr
from ..parameters import device_parameter
from . import regions, styling
from .adaptationoptions import METHODS, epochs, shift_augmentation
from .definitions import choice, described, file_output, number
from .documented import InAdaptation


class CompareAdaptation(InAdaptation, EngineAlgorithm):
    """Runs methods over seeds and scores them on held-out parcels of the target, between two bounds."""

    JOB = "compareadaptation"

    def displayName(self):
        """Name in the Toolbox."""
        return tr("Compare adaptation")

    def shortDescription(self):
        """One line for tooltips and `qgis_process help`."""
        return tr(
            "Compares methods of adaptation on two regions with known crops, between no adaptation and "
            "training on the target."
        )

    def tags(self):
        """Words that find it in the Toolbox."""
        return tr(
            "domain adaptation,benchmark,experiment,timematch,fixmatch,dann,cdan,mmd,jumbot,alda,macro-f1"
        ).split(",")

    def initAlgorithm(self, config=None):
        """Declare parameters and outputs."""
        for parameter in (
            *regions.source_parameters(),
            regions.target_series(),
            *regions.labelled_target(),
            described(
                QgsProcessingParameterEnum(
                    "METHODS", tr("Methods"), list(METHODS), True, None, optional=True, usesStaticStrings=True
                ),
                tr("Each is trained once a seed. Without a choice: all."),
            ),
            file_output(
                "REPORT",
                tr("Report"),
                tr("The table with means and deviations, class by class; numbers as JSON beside it."),
                tr("HTML files (*.html)"),
            ),
            file_output(
                "TABLE",
                tr("Table (CSV)"),
                tr("One row a method and seed, with macro-F1, accuracy and the F1 of each class."),
                tr("CSV files (*.csv)"),
                optional=True,
            ),
            number(
                "SEEDS",
                tr("Seeds"),
                tr("Repetitions with other random numbers; fewer than three say little about the spread."),
                default=3,
                low=1,
                high=100,
            ),
            choice(
                "EFFORT",
                tr("Effort of the source models"),
                tr("As in 'Train source model': how long each source model is trained."),
                ["quick", "standard", "thorough"],
                default="standard",
            ),
            *regions.more_source(),
            regions.target_table(),
            *regions.id_and_scale("TARGET_", tr("Target")),
            *regions.target_labels_table(),
            *regions.parcel_parameters(),
            choice(
                "SPLIT",
                tr("Split for validation and test"),
                tr(
                    "Blocks keep neighbours together and give honest scores; parcels are split at random and "
                    "score too well; published is the paper's."
                ),
                ["blocks", "parcels", "published"],
                default="blocks",
            ),
            number(
                "BLOCK_SIZE",
                tr("Size of the blocks (m)"),
                tr("Without it: chosen so that there are enough blocks."),
                low=1,
                integer=False,
            ),
            choice(
                "WIDTH",
                tr("Network"),
                tr(
                    "Standard is the published network; small is about five times faster. Without it: "
                    "standard."
                ),
                ["standard", "small"],
            ),
            *epochs(),
            shift_augmentation(),
            device_parameter(),
        ):
            self.addParameter(parameter)
        self.addOutput(QgsProcessingOutputFile("NUMBERS", tr("Numbers (JSON)")))

    def checkParameterValues(self, parameters, context):
        """Both regions are there, with labels."""
        ok, why = super().checkParameterValues(parameters, context)
        if not ok:
            return ok, why
        why = (
            regions.source_problem(self, parameters, context)
            or regions.target_problem(self, parameters, context)
            or self._labels_problem(parameters, context)
            or regions.files_problem(self, parameters, context)
        )
        return not why, why

    def _labels_problem(self, parameters, context):
        images = bool(parameters.get("TARGET_PARCELS"))
        if not images and not self.parameterAsString(parameters, "TARGET_TABLE", context):
            return tr("Give parcels of the target with known crops: the methods are scored with them.")
        if images and not parameters.get("TARGET_FIELD"):
            return tr("Choose the field of the target parcels that holds the crop.")
        return ""

    def jobParameters(self, parameters, context, feedback):
        """Fields of the engine's job."""
        return regions.region_values(self, parameters, context, feedback)

    def afterJob(self, result, outputs, context, feedback):
        """The table comes into the project."""
        styling.load(context, outputs.get("TABLE"), tr("Comparison of adaptation"))
