"""Fetch CLIP model: the network that knows words and photos, from the internet, once."""

from qgis.core import QgsProcessingOutputFolder, QgsProcessingOutputNumber, QgsProcessingOutputString

from ..algorithm import EngineAlgorithm
from ..i18n import tr
from .definitions import folder_input, switch, text
from .documented import InPhotos
from .values import engine_values

#: The model of the published method; the engine's default, too.
NAME = "openai/clip-vit-base-patch32"


class FetchClip(InPhotos, EngineAlgorithm):
    """Brings a CLIP model into the models folder, at a fixed revision, when the user says so."""

    JOB = "fetchclip"

    def displayName(self):
        """Name in the Toolbox."""
        return tr("Fetch CLIP model")

    def shortDescription(self):
        """One line for tooltips and `qgis_process help`."""
        return tr("Downloads a network that knows words and photos (CLIP) into the models folder, once.")

    def tags(self):
        """Words that find it in the Toolbox."""
        return tr("download,hugging face,clip,siglip,text,photo,zero-shot,weights").split(",")

    def initAlgorithm(self, config=None):
        """Declare parameters and outputs."""
        for parameter in (
            text(
                "NAME",
                tr("Model (owner/name)"),
                tr(
                    "A CLIP or SigLIP model at Hugging Face. The default is the one that the method was "
                    "published with; openai/clip-vit-base-patch16 and openai/clip-vit-large-patch14 are "
                    "slower and finer. Satellite models belong to the CLIP model that they were trained with."
                ),
                default=NAME,
                advanced=False,
            ),
            switch(
                "ACCEPT",
                tr("Yes, fetch it from the internet"),
                tr(
                    "Nothing is fetched without it. About 600 MB for the default model, from huggingface.co, "
                    "under the terms on the model's page there."
                ),
                default=False,
                advanced=False,
            ),
            text(
                "REVISION",
                tr("Revision"),
                tr(
                    "Commit, 40 hexadecimal digits. The three models named above have a fixed one; for "
                    "others a branch such as 'main' is looked up once and its commit written down."
                ),
            ),
            folder_input(
                "MODELS_FOLDER",
                tr("Folder of models"),
                tr(
                    "Gets a folder with the model's name. Without it: the models folder of SITS for QGIS, "
                    "where other algorithms find a single model by themselves."
                ),
                advanced=True,
            ),
        ):
            self.addParameter(parameter)
        self.addOutput(QgsProcessingOutputFolder("FOLDER", tr("Folder of the CLIP model")))
        self.addOutput(QgsProcessingOutputString("FINGERPRINT", tr("Fingerprint of its content")))
        self.addOutput(QgsProcessingOutputNumber("DIM", tr("Numbers in a vector")))
        self.addOutput(QgsProcessingOutputNumber("MAX_TOKENS", tr("Longest text in tokens")))

    def jobParameters(self, parameters, context, feedback):
        """Fields of the engine's job."""
        return engine_values(self, parameters, context)
