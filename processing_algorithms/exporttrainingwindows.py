"""Export training windows: images and labels cut into squares, for programs of one's own."""

from qgis.core import (
    QgsProcessingOutputNumber,
    QgsProcessingParameterFolderDestination,
)

from ..algorithm import EngineAlgorithm
from ..i18n import tr
from ..parameters import unreadable_parameter
from .adaptationoptions import seed
from .definitions import described, number
from .documented import InMapping
from .windowinputs import (
    FromWindows,
    finer,
    label_inputs,
    more_labels,
    n_dates,
    which_windows,
    window_size,
)


class ExportTrainingWindows(FromWindows, InMapping, EngineAlgorithm):
    """Writes windows with series, labels, parcel numbers and masks as Zarr."""

    JOB = "exporttrainingwindows"

    def displayName(self):
        """Name in the Toolbox."""
        return tr("Export training windows")

    def shortDescription(self):
        """One line for tooltips and `qgis_process help`."""
        return tr("Writes image time series and labels as square windows (Zarr), for deep-learning programs.")

    def tags(self):
        """Words that find it in the Toolbox."""
        return tr("data set,dataset,patches,chips,tiles,zarr,segmentation,deep learning,rasterize").split(",")

    def initAlgorithm(self, config=None):
        """Declare parameters and outputs."""
        for parameter in (
            *label_inputs(),
            described(
                QgsProcessingParameterFolderDestination("OUTPUT", tr("Folder of the windows (Zarr)")),
                tr("A Zarr folder of an earlier export is replaced; anything else is left alone."),
            ),
            *more_labels(),
            finer(),
            window_size(tr("Windows beside each other; the last of a row is moved inside."), 24, 4, 1024),
            number(
                "STRIDE",
                tr("Pixels from one window to the next"),
                tr("Fewer than the side of a window: they overlap. Without it: the side."),
                low=1,
            ),
            n_dates(tr("Chosen evenly over the season. Without it: all."), 3, 1000),
            *which_windows(),
            number(
                "MIN_WINDOWS",
                tr("Fewest windows of a class"),
                tr("Pixels of rarer classes become unlabelled."),
                default=1,
                low=1,
            ),
            seed(tr("The same seed draws the same windows.")),
            unreadable_parameter(),
        ):
            self.addParameter(parameter)
        for name, label in (
            ("N_WINDOWS", tr("Windows written")),
            ("N_CLASSES", tr("Classes")),
            ("LABELLED_SHARE", tr("Share of the pixels with a label")),
            ("MIXED_SHARE", tr("Share of the pixels that several parcels claim")),
        ):
            self.addOutput(QgsProcessingOutputNumber(name, label))
