"""The plugin object: adds the Processing provider and takes it away again."""

from qgis.core import QgsApplication

from .i18n import install_translator
from .provider import SitsProvider


class SitsPlugin:
    """What QGIS loads; with a window it calls `initGui`, in qgis_process only `initProcessing`."""

    def __init__(self, iface):
        self.iface = iface
        self.provider = None
        self.translator = None

    def initProcessing(self):
        """Add the provider; runs without a window too, so nothing here touches `iface`."""
        if self.provider is not None:
            return
        # Names are translated when algorithms are created, so the translator comes first.
        self.translator = install_translator()
        self.provider = SitsProvider()
        QgsApplication.processingRegistry().addProvider(self.provider)
        # Models look their steps up in the registry, where the provider's algorithms are only from now on.
        self.provider.refreshAlgorithms()

    def initGui(self):
        """Called by QGIS with a window."""
        self.initProcessing()

    def unload(self):
        """Take away what was added."""
        if self.provider is not None:
            QgsApplication.processingRegistry().removeProvider(self.provider)
            self.provider = None
        if self.translator is not None:
            QgsApplication.removeTranslator(self.translator)
            self.translator = None
