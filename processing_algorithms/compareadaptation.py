"""Compare adaptation: which method adapts best between two regions whose crops are both known."""

from qgis.core import QgsProcessingOutputFile, QgsProcessingOutputNumber, QgsProcessingParameterEnum

from ..algorithm import EngineAlgorithm
from ..i18n import tr
from ..parameters import device_parameter, unreadable_parameter
from . import regions, styling
from .adaptationoptions import METHODS, epochs, shift_augmentation
from .definitions import choice, described, file_input, file_output, folder_input, number, switch
from .documented import InAdaptation
from .trainingoptions import block_size, width


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
                tr(
                    "One row a method: macro-F1 and accuracy with their deviations, and the F1 of each class."
                ),
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
            *regions.parcel_parameters(most_pixels=None),
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
            block_size(),
            width(),
            *epochs(),
            shift_augmentation(
                tr(
                    "Of source models and adaptations (published: 60, which hides the very shift that is "
                    "estimated). Without it: source models off, adaptations the days between two dates of "
                    "the source, at most 16."
                )
            ),
            *published_data(),
            device_parameter(),
            unreadable_parameter(),
        ):
            self.addParameter(parameter)
        self.addOutput(QgsProcessingOutputFile("NUMBERS", tr("Numbers (JSON)")))
        for name, label in (
            ("SOURCE", tr("Macro-F1 without adaptation (lower bound)")),
            *((method.upper(), tr("Macro-F1 of {}").format(method)) for method in METHODS),
            ("TARGET", tr("Macro-F1 of training on the target (upper bound)")),
        ):
            self.addOutput(QgsProcessingOutputNumber(name, label))

    def problem(self, parameters, context):
        """Both regions are there, with labels."""
        why = self._published_problem(parameters)
        if why or parameters.get("PUBLISHED_SOURCE"):
            return why
        return (
            regions.source_problem(self, parameters, context)
            or regions.target_problem(self, parameters, context)
            or self._labels_problem(parameters, context)
            or regions.files_problem(self, parameters, context)
        )

    def _published_problem(self, parameters):
        if bool(parameters.get("PUBLISHED_SOURCE")) != bool(parameters.get("PUBLISHED_TARGET")):
            return tr("Published data come in pairs: give the folders of source and target.")
        if parameters.get("PUBLISHED_SOURCE") and not parameters.get("CLASS_MAPPING_SOURCE"):
            return tr("Give the class mapping of the published source.")
        return ""

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
        styling.load_table(context, outputs.get("TABLE"), tr("Comparison of adaptation"))


def published_data():
    """The TimeMatch data set in place of two regions of one's own."""
    mapping = tr("CSV files (*.csv);;JSON files (*.json);;All files (*)")
    return [
        folder_input(
            "PUBLISHED_SOURCE",
            tr("Published data: source"),
            tr(
                "Folder country/tile/year of the TimeMatch data, instead of series and parcels of both "
                "regions."
            ),
            advanced=True,
        ),
        folder_input(
            "PUBLISHED_TARGET", tr("Published data: target"), tr("The same for the target."), advanced=True
        ),
        file_input(
            "CLASS_MAPPING_SOURCE",
            tr("Published data: class mapping of the source"),
            tr("CSV (code,class,color) or JSON that gives crop codes of the source's country a class."),
            mapping,
            optional=True,
            advanced=True,
        ),
        file_input(
            "CLASS_MAPPING_TARGET",
            tr("Published data: class mapping of the target"),
            tr("Without it: that of the source."),
            mapping,
            optional=True,
            advanced=True,
        ),
        number(
            "FOLD",
            tr("Published data: fold"),
            tr("Which of the paper's three splits: 0, 1 or 2."),
            default=0,
            low=0,
            high=2,
        ),
        switch(
            "COMBINE_SPRING_AND_WINTER",
            tr("Published data: spring and winter crops are one class"),
            tr("As an option of the paper."),
            default=False,
        ),
        choice(
            "UNKNOWN",
            tr("Published data: crops without a class"),
            tr("A class of their own (published), or their parcels are left out."),
            ["class", "drop"],
            default="class",
        ),
        number(
            "MIN_PARCELS",
            tr("Published data: fewest parcels of a class"),
            tr("Rarer crops of the source have no class of their own (published: 200)."),
            default=200,
            low=1,
        ),
    ]
