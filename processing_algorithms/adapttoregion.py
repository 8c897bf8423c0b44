"""Adapt to region: a model for a region without labels, from a model of a region with labels."""

from qgis.core import (
    QgsProcessingOutputFile,
    QgsProcessingOutputNumber,
    QgsProcessingOutputString,
    QgsProcessingParameterField,
)

from ..algorithm import EngineAlgorithm
from ..i18n import tr
from ..parameters import device_parameter, unreadable_parameter
from . import regions
from .adaptationoptions import METHODS, adaptation_options
from .definitions import MODEL_FILTER, choice, described, file_input, file_output
from .documented import InAdaptation
from .trainingoptions import fast, resume


class AdaptToRegion(InAdaptation, EngineAlgorithm):
    """Trains on labelled source and unlabelled target samples; judges the result without labels."""

    JOB = "adapttoregion"

    def displayName(self):
        """Name in the Toolbox."""
        return tr("Adapt to region")

    def shortDescription(self):
        """One line for tooltips and `qgis_process help`."""
        return tr("Adapts a model to a region where no crops are known, and says whether that likely helped.")

    def tags(self):
        """Words that find it in the Toolbox."""
        return tr(
            "domain adaptation,transfer,unsupervised,timematch,fixmatch,dann,cdan,mmd,jumbot,alda,"
            "pseudo labels,no labels"
        ).split(",")

    def initAlgorithm(self, config=None):
        """Declare parameters and outputs."""
        for parameter in (
            file_input(
                "MODEL",
                tr("Model of the source"),
                tr("Made by 'Train source model' in the region where the crops are known."),
                MODEL_FILTER,
            ),
            *regions.source_parameters(),
            regions.target_series(),
            *regions.target_places(),
            choice(
                "METHOD",
                tr("Method"),
                tr(
                    "timematch suits a season that is earlier or later. 'shift' only builds the shift in, "
                    "and takes moments. fixmatch is timematch without a shift; mmd, dann, cdan, jumbot and "
                    "alda align the two regions, and are there to compare."
                ),
                list(METHODS),
                default="timematch",
                advanced=False,
            ),
            file_output(
                "OUTPUT",
                tr("Adapted model"),
                tr("Maps like any other; its card says from where, to where and with which shift."),
                MODEL_FILTER,
            ),
            file_output(
                "REPORT",
                tr("Report"),
                tr(
                    "The verdict and its reasons, shift, class profiles, pseudo labels and changes; numbers "
                    "as JSON beside it."
                ),
                tr("HTML files (*.html)"),
                optional=True,
            ),
            *regions.more_source(),
            regions.extent(),
            regions.n_pixels(),
            regions.target_table(),
            *regions.id_and_scale("TARGET_", tr("Target")),
            described(
                QgsProcessingParameterField(
                    "TARGET_FIELD",
                    tr("Target: field with the crop, for the report only"),
                    None,
                    "TARGET_PARCELS",
                    optional=True,
                ),
                tr(
                    "If you know crops of the target, the report scores with them. Nothing is chosen by them."
                ),
                True,
            ),
            *regions.target_labels_table(),
            *regions.parcel_parameters(),
            regions.samples_store(),
            *adaptation_options(),
            fast(
                tr(
                    "A small network that learned to answer like the adapted one in the target goes into the "
                    "same file, for 'Fast map' of 'Map crops'. Made in any case where the model holds one."
                )
            ),
            resume(),
            device_parameter(),
            unreadable_parameter(),
        ):
            self.addParameter(parameter)
        self.addOutput(QgsProcessingOutputFile("NUMBERS", tr("Numbers (JSON)")))
        self.addOutput(QgsProcessingOutputString("VERDICT", tr("Verdict: better, same, worse or unclear")))
        self.addOutput(QgsProcessingOutputString("VERDICT_TEXT", tr("The verdict in a sentence")))
        for name, label in (
            ("SHIFT_DAYS", tr("Shift used (days added to the dates of the target)")),
            ("AGREEMENT", tr("Share of the target whose class did not change")),
            ("MACRO_F1_BEFORE", tr("Macro-F1 of the source model (only with target labels)")),
            ("MACRO_F1_AFTER", tr("Macro-F1 of the adapted model (only with target labels)")),
            ("ACCURACY_BEFORE", tr("Accuracy of the source model (only with target labels)")),
            ("ACCURACY_AFTER", tr("Accuracy of the adapted model (only with target labels)")),
        ):
            self.addOutput(QgsProcessingOutputNumber(name, label))

    def problem(self, parameters, context):
        """Source and target are there, and have the bands of the model."""
        return (
            regions.source_problem(self, parameters, context)
            or regions.target_problem(self, parameters, context)
            or regions.files_problem(self, parameters, context)
        )

    def jobParameters(self, parameters, context, feedback):
        """Fields of the engine's job."""
        return regions.region_values(self, parameters, context, feedback)

    def afterJob(self, result, outputs, context, feedback):
        """A bad verdict stands out in the log."""
        if outputs.get("VERDICT") == "worse":
            feedback.pushWarning(tr("Verdict 'worse': map with the source model. The report says why."))
