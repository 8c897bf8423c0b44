"""Help of an algorithm: its text in resources/help, its page in the documentation of this version."""

from pathlib import Path

from qgis.core import QgsApplication
from qgis.PyQt.QtGui import QIcon

from .. import about
from ..i18n import tr

RESOURCES = about.ROOT / "resources"
PAGES = "https://github.com/sits-for-qgis/sits-for-qgis/blob/v{version}/docs/algorithms/{name}.md"


def help_file(name):
    """The help text of algorithm `name` in QGIS's language, or the English one."""
    locale = QgsApplication.locale()
    folders = [RESOURCES / "help" / part for part in (locale, locale.split("_")[0])]
    return next(
        (f for f in (folder / f"{name}.html" for folder in folders) if f.is_file()),
        Path(RESOURCES / "help" / f"{name}.html"),
    )


class Documented:
    """Mixed into an algorithm: help, link and icon by its name."""

    def shortHelpString(self):
        """What it does, inputs, outputs, limits and time, as HTML."""
        path = help_file(self.name())
        return path.read_text(encoding="utf-8") if path.is_file() else self.shortDescription()

    def helpUrl(self):
        """Page in the documentation of this version."""
        return PAGES.format(version=about.version(), name=self.name())

    def icon(self):
        """Icon in the Toolbox."""
        path = self.svgIconPath()
        return QIcon(path)

    def svgIconPath(self):
        """Path of the icon, for the modeler."""
        own = RESOURCES / "icons" / f"{self.name()}.svg"
        return str(own if own.is_file() else RESOURCES / "icons" / "sits.svg")


class InSeries(Documented):
    """An algorithm of the group that makes data."""

    def group(self):
        """Group in the Toolbox."""
        return tr("Image time series")

    def groupId(self):
        """Stable id of the group."""
        return "timeseries"


class InMapping(Documented):
    """An algorithm of the group that trains and maps."""

    def group(self):
        """Group in the Toolbox."""
        return tr("Crop mapping")

    def groupId(self):
        """Stable id of the group."""
        return "mapping"


class InAdaptation(Documented):
    """An algorithm of the group that carries a model to another region."""

    def group(self):
        """Group in the Toolbox."""
        return tr("Regions without labels")

    def groupId(self):
        """Stable id of the group."""
        return "adaptation"


class InAccuracy(Documented):
    """An algorithm of the group that says how good a map is."""

    def group(self):
        """Group in the Toolbox."""
        return tr("Accuracy and areas")

    def groupId(self):
        """Stable id of the group."""
        return "accuracy"


class InPhotos(Documented):
    """An algorithm of the group that brings images, words and photos together."""

    def group(self):
        """Group in the Toolbox."""
        return tr("Words and photos")

    def groupId(self):
        """Stable id of the group."""
        return "photos"
