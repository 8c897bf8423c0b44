"""Estimate temporal shift: how many days the season of a region is off the season that a model knows."""

from qgis.core import QgsProcessingOutputFile, QgsProcessingOutputNumber, QgsProcessingOutputString

from ..algorithm import EngineAlgorithm
from ..i18n import tr
from ..parameters import device_parameter, unreadable_parameter
from . import regions
from .adaptationoptions import estimator, max_shift, seed
from .definitions import MODEL_FILTER, file_input, file_output, number
from .documented import InAdaptation


class EstimateTemporalShift(InAdaptation, EngineAlgorithm):
    """Tries every shift in a range and takes the one that the model is surest with; no label is read."""

    JOB = "estimatetemporalshift"

    def displayName(self):
        """Name in the Toolbox."""
        return tr("Estimate temporal shift")

    def shortDescription(self):
        """One line for tooltips and `qgis_process help`."""
        return tr(
            "Says how many days earlier or later crops develop in your region than where a model learned, "
            "without labels."
        )

    def tags(self):
        """Words that find it in the Toolbox."""
        return tr(
            "phenology,season,days,domain adaptation,timematch,transfer,inception score,crop calendar"
        ).split(",")

    def initAlgorithm(self, config=None):
        """Declare parameters and outputs."""
        for parameter in (
            file_input(
                "MODEL",
                tr("Model"),
                tr("Made by 'Train source model', in the region where the crops are known."),
                MODEL_FILTER,
            ),
            regions.target_series(),
            *regions.target_places(),
            file_output(
                "REPORT",
                tr("Report"),
                tr("The score of every shift for each estimator; numbers as JSON beside it."),
                tr("HTML files (*.html)"),
            ),
            regions.extent(),
            regions.n_pixels(),
            regions.target_table(),
            *regions.id_and_scale(who=tr("Target")),
            estimator("ESTIMATOR", tr("Estimator"), default="IS"),
            max_shift(),
            number(
                "RESAMPLES",
                tr("Resamples of the target"),
                tr("Draws with replacement that show how much the estimate depends on the sample."),
                default=50,
                low=1,
                high=1000,
            ),
            *regions.parcel_parameters(),
            seed(tr("The same seed on a CPU gives the same estimate.")),
            device_parameter(),
            unreadable_parameter(),
        ):
            self.addParameter(parameter)
        self.addOutput(QgsProcessingOutputFile("NUMBERS", tr("Numbers (JSON)")))
        for name, label in (
            ("SHIFT_DAYS", tr("Shift (days to add to the dates of the target)")),
            ("SHIFT_LOW", tr("Shift: 5 % of the resamples are lower")),
            ("SHIFT_HIGH", tr("Shift: 5 % of the resamples are higher")),
            ("N_SETS", tr("Parcels or pixels looked at")),
        ):
            self.addOutput(QgsProcessingOutputNumber(name, label))
        self.addOutput(QgsProcessingOutputString("SHIFT_WORDS", tr("What the shift means")))

    def problem(self, parameters, context):
        """There is a target, and its series has the bands of the model."""
        return regions.target_problem(self, parameters, context) or regions.files_problem(
            self, parameters, context
        )

    def jobParameters(self, parameters, context, feedback):
        """Fields of the engine's job."""
        return regions.region_values(self, parameters, context, feedback)
