"""Export model: the network as ONNX for other programs, its card as STAC item."""

from qgis.core import QgsProcessingOutputNumber, QgsProcessingOutputString

from ..algorithm import EngineAlgorithm
from ..i18n import tr
from .definitions import MODEL_FILTER, file_input, file_output, switch
from .documented import InMapping
from .mapinputs import OfModel


class ExportModel(OfModel, InMapping, EngineAlgorithm):
    """Writes a model for programs and servers that know neither QGIS nor PyTorch."""

    JOB = "exportmodel"

    def displayName(self):
        """Name in the Toolbox."""
        return tr("Export model")

    def shortDescription(self):
        """One line for tooltips and `qgis_process help`."""
        return tr("Writes a model as ONNX, for other programs and servers, and its description as STAC item.")

    def tags(self):
        """Words that find it in the Toolbox."""
        return tr("onnx,onnxruntime,openvino,tensorrt,stac,mlm,server,inference,deploy").split(",")

    def initAlgorithm(self, config=None):
        """Declare parameters and outputs."""
        for parameter in (
            file_input(
                "MODEL",
                tr("Model"),
                tr("A .safetensors file that makes maps: of pixels, of windows, or of words and photos."),
                MODEL_FILTER,
            ),
            file_output(
                "OUTPUT",
                tr("Network (ONNX)"),
                tr(
                    "Takes reflectance, masks and days, gives probabilities of the classes (models of words "
                    "and photos: vectors). The model card is in its metadata."
                ),
                tr("ONNX files (*.onnx)"),
            ),
            file_output(
                "STAC",
                tr("Description (STAC item)"),
                tr(
                    "For catalogues: a STAC item with the Machine Learning Model extension that links to the "
                    "network and to the model file. SITS for QGIS reads nothing from it."
                ),
                tr("STAC items (*.json)"),
                optional=True,
                by_default=False,
            ),
            switch(
                "FAST",
                tr("Export the fast network"),
                tr("The small network that a model trained with FAST holds beside the full one."),
                default=False,
            ),
        ):
            self.addParameter(parameter)
        for name, label in (
            ("DIFFERENCE", tr("Largest difference from PyTorch")),
            ("OPSET", tr("Version of the operators")),
            ("PARAMETERS", tr("Weights of the network")),
            ("BYTES", tr("Size of the network in bytes")),
        ):
            self.addOutput(QgsProcessingOutputNumber(name, label))
        self.addOutput(QgsProcessingOutputString("INPUTS", tr("Names of the inputs")))
