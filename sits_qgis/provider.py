"""The Processing provider `sits`."""

from pathlib import Path

from qgis.core import QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from . import about
from .i18n import tr
from .processing_algorithms import ALGORITHMS

ICON = Path(__file__).parent / "resources" / "icons" / "sits.svg"


class SitsProvider(QgsProcessingProvider):
    """Lists the algorithms; its id is part of every script and model and never changes."""

    def id(self):
        """Stable id, never translated."""
        return "sits"

    def name(self):
        """Short name in the Toolbox."""
        return "SITS"

    def longName(self):
        """Full name with the version."""
        return tr("SITS for QGIS {version}").format(version=about.version())

    def icon(self):
        """Icon in the Toolbox."""
        return QIcon(str(ICON)) if ICON.is_file() else super().icon()

    def svgIconPath(self):
        """Path of the icon, for the modeler."""
        return str(ICON) if ICON.is_file() else super().svgIconPath()

    def supportsNonFileBasedOutput(self):
        """False: outputs are written by another process, which can't reach memory layers."""
        return False

    def defaultRasterFileExtension(self):
        """Maps are GeoTIFFs."""
        return "tif"

    def defaultVectorFileExtension(self, hasGeometry=True):
        """Parcels are GeoPackages."""
        return "gpkg"

    def loadAlgorithms(self):
        """Create one instance of each algorithm."""
        for algorithm in ALGORITHMS:
            self.addAlgorithm(algorithm())
