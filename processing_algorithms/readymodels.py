"""Graphical models that come with the plugin, as algorithms of its provider."""

from qgis.core import QgsProcessingModelAlgorithm

from ..i18n import tr
from .documented import RESOURCES, Documented


class ReadyModel(Documented, QgsProcessingModelAlgorithm):
    """A model of resources/models under a stable id and a name in the user's language."""

    FILE = ""
    ID = ""

    def __init__(self):
        super().__init__()
        self.fromFile(str(RESOURCES / "models" / self.FILE))

    def createInstance(self):
        """A fresh instance; read again, since the steps are looked up when a model is read."""
        return type(self)()

    def name(self):
        """Stable id inside the provider."""
        return self.ID


class AdaptAndMap(ReadyModel):
    """Build, adapt and map in one go."""

    FILE = "adapt_and_map.model3"
    ID = "adaptandmap"

    def displayName(self):
        """Name in the Toolbox."""
        return tr("Adapt and map (model)")

    def shortDescription(self):
        """One line for tooltips and `qgis_process help`."""
        return tr(
            "Builds a time series of your region, adapts a model to it without labels, and maps the crops."
        )

    def group(self):
        """Group in the Toolbox."""
        return tr("Regions without labels")

    def groupId(self):
        """Stable id of the group."""
        return "adaptation"

    def tags(self):
        """Words that find it in the Toolbox."""
        return tr("workflow,chain,graphical model,domain adaptation,transfer,timematch,no labels").split(",")


class CropMapModel(ReadyModel):
    """Build, train, map and assess in one go."""

    FILE = "crop_map.model3"
    ID = "cropmapmodel"

    def displayName(self):
        """Name in the Toolbox."""
        return tr("Crop map from images and parcels (model)")

    def shortDescription(self):
        """One line for tooltips and `qgis_process help`."""
        return tr("Builds a time series, trains a model, maps the crops and assesses the map, in one go.")

    def group(self):
        """Group in the Toolbox."""
        return tr("Crop mapping")

    def groupId(self):
        """Stable id of the group."""
        return "mapping"

    def tags(self):
        """Words that find it in the Toolbox."""
        return tr("workflow,chain,graphical model,train,map,assess").split(",")


class WindowsToMap(ReadyModel):
    """Masks from ticks, a segmentation model of them, and a map in one go."""

    FILE = "windows_to_map.model3"
    ID = "windowstomap"

    def displayName(self):
        """Name in the Toolbox."""
        return tr("Windows to map (model)")

    def shortDescription(self):
        """One line for tooltips and `qgis_process help`."""
        return tr(
            "From windows in which you ticked the crops to masks, a segmentation model and a crop map, in "
            "one go."
        )

    def group(self):
        """Group in the Toolbox."""
        return tr("Crop mapping")

    def groupId(self):
        """Stable id of the group."""
        return "mapping"

    def tags(self):
        """Words that find it in the Toolbox."""
        return tr(
            "workflow,chain,graphical model,weak labels,image-level labels,tick,masks,segmentation"
        ).split(",")
