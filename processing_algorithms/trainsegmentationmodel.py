"""Train segmentation model: a network that draws the borders of fields, from windows of the images."""

from qgis.core import QgsProcessingOutputFile, QgsProcessingOutputNumber

from ..algorithm import EngineAlgorithm
from ..i18n import tr
from ..parameters import device_parameter, unreadable_parameter
from .definitions import MODEL_FILTER, file_output
from .documented import InMapping
from .segmentationoptions import segmentation_options
from .trainingoptions import effort, resume
from .windowinputs import FromWindows, data_set, label_inputs, more_labels


class TrainSegmentationModel(FromWindows, InMapping, EngineAlgorithm):
    """Trains TSViT or a U-Net on labelled windows and tests it on held-out blocks, borders by themselves."""

    JOB = "trainsegmentationmodel"

    def displayName(self):
        """Name in the Toolbox."""
        return tr("Train segmentation model")

    def shortDescription(self):
        """One line for tooltips and `qgis_process help`."""
        return tr(
            "Trains a network whose crop map follows the borders of fields, at the resolution of the images "
            "or finer."
        )

    def tags(self):
        """Words that find it in the Toolbox."""
        return tr(
            "train,semantic segmentation,deep learning,field boundary,parcel,tsvit,unet,convlstm,cscl,"
            "contrastive,super-resolution,transformer"
        ).split(",")

    def initAlgorithm(self, config=None):
        """Declare parameters and outputs."""
        for parameter in (
            *label_inputs(or_windows=True),
            effort(
                tr(
                    "On a CPU quick takes some ten minutes to an hour, standard several times as long; "
                    "thorough is the published length and meant for a graphics card."
                )
            ),
            file_output(
                "OUTPUT",
                tr("Model"),
                tr("The weights and a card that says what the model knows."),
                MODEL_FILTER,
            ),
            file_output(
                "REPORT",
                tr("Report"),
                tr(
                    "Scores on held-out land, at borders and inside of fields, truth beside map; numbers as "
                    "JSON beside it."
                ),
                tr("HTML files (*.html)"),
                optional=True,
            ),
            *more_labels(),
            data_set(),
            *segmentation_options(),
            resume(),
            device_parameter(),
            unreadable_parameter(),
        ):
            self.addParameter(parameter)
        self.addOutput(QgsProcessingOutputFile("NUMBERS", tr("Numbers (JSON)")))
        for name, label in (
            ("MIOU", tr("Mean IoU on held-out land")),
            ("ACCURACY", tr("Accuracy on held-out land")),
            ("MACRO_F1", tr("Macro-F1 on held-out land")),
            ("BOUNDARY_ACCURACY", tr("Accuracy at borders of fields")),
            ("BOUNDARY_MIOU", tr("Mean IoU at borders of fields")),
            ("INTERIOR_ACCURACY", tr("Accuracy inside of fields")),
            ("BOUNDARY_F1_1PX", tr("F1 of the borders, within 1 pixel")),
            ("BOUNDARY_F1_2PX", tr("F1 of the borders, within 2 pixels")),
            ("N_WINDOWS", tr("Windows used")),
            ("N_CLASSES", tr("Classes")),
        ):
            self.addOutput(QgsProcessingOutputNumber(name, label))
