"""The advanced parameters of masks from ticks: windows, network, maps, pixel labels for the report."""

from qgis.core import (
    QgsProcessing,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterRasterLayer,
)

from ..i18n import tr
from .adaptationoptions import seed
from .definitions import choice, described, number, switch
from .trainingoptions import bands, class_table, epochs, learning_rate, width
from .windowinputs import mask_clouds, n_dates, window_size

POLYGONS = [QgsProcessing.SourceType.TypeVectorPolygon]


def mask_options():
    """Parameters in the order of the dialog."""
    return [*_maps(), *_windows(), *_training(), *_pixel_labels()]


def _maps():
    return [
        choice(
            "MAPS",
            tr("Maps that masks are made of"),
            tr(
                "clues: how much nearer a place is to examples of a crop than to examples of land without "
                "it. plain: the activation maps of the network (plain CAM), for comparison."
            ),
            ["clues", "plain"],
            default="clues",
        ),
        switch(
            "AFFINITY",
            tr("Affinity propagation"),
            tr("Scores flow between neighbours whose series are alike, so that fields fill up."),
            default=True,
        ),
        switch(
            "REFINE",
            tr("Sharpen the masks"),
            tr(
                "A classifier of single pixels learns from all masks together and draws them anew, in "
                "rounds: it learns the crops and not the errors, which differ from window to window."
            ),
            default=True,
        ),
        number(
            "THRESHOLD",
            tr("Threshold (score of the background)"),
            tr(
                "A crop must exceed it, from 0 to 1. Without it: a fixed one that was chosen without pixel "
                "labels; the report states it."
            ),
            low=0,
            high=0.99,
            integer=False,
        ),
        choice(
            "BACKGROUND",
            tr("Pixels of none of the ticked crops"),
            tr("class: a class of their own, which a segmentation model learns. unlabelled: left out."),
            ["class", "unlabelled"],
            default="class",
        ),
        number(
            "LEAST_CONFIDENCE",
            tr("Least confidence of a pixel"),
            tr("Pixels where the choice was closer, from 0 to 1, are left unlabelled. 0: all are labelled."),
            default=0,
            low=0,
            high=0.99,
            integer=False,
        ),
    ]


def _windows():
    return [
        switch(
            "ONLY_DONE",
            tr("Use windows that are marked as done only"),
            tr("Off: those with a tick are used as well."),
            default=False,
        ),
        window_size(
            tr(
                "Even. Without it: the side of the polygons where most are squares of one size, else 24. "
                "Other polygons are cut into windows of this size that share their ticks."
            ),
            high=256,
        ),
        n_dates(
            tr("Chosen evenly over the season. Without it: up to 16 for the small network, 60 for standard."),
            4,
            366,
        ),
        number(
            "MAX_WINDOWS",
            tr("Most windows"),
            tr("A random choice of them keeps memory small; each polygon keeps one at least."),
            default=4000,
            low=1,
        ),
        bands(),
        mask_clouds(),
    ]


def _training():
    return [
        width(
            tr("Size of the network"),
            tr(
                "Standard is the published network and meant for a graphics card. Without it: small on a "
                "processor, standard on a graphics card."
            ),
        ),
        choice(
            "PROTOTYPE_MODE",
            tr("How prototypes of the crops move"),
            tr(
                "momentum: towards the mean of their pixels (published). gradient: as weights of the network."
            ),
            ["momentum", "gradient"],
            default="momentum",
        ),
        switch(
            "FLIPS",
            tr("Flip and rotate the windows in training"),
            tr("Eight views of each window."),
            default=True,
        ),
        number(
            "HELD_OUT",
            tr("Share of polygons that are held out"),
            tr("They are shown in a curve of the report and choose nothing. They get masks, too."),
            default=0.1,
            low=0,
            high=0.5,
            integer=False,
        ),
        *[one for one in epochs() if one.name() == "EPOCHS"],
        number(
            "BATCH_SIZE",
            tr("Windows in a step"),
            tr("Halved by itself when memory runs out."),
            default=8,
            low=1,
            high=1024,
        ),
        learning_rate(tr("The highest one. Without it: 0.002 for small, 0.001 for standard (published).")),
        seed(),
    ]


def _pixel_labels():
    return [
        described(
            QgsProcessingParameterFeatureSource(
                "PARCELS", tr("Pixel labels for the report only: parcels"), POLYGONS, None, True
            ),
            tr(
                "Parcels with known crops. The report then says how many pixels of the masks are right. They "
                "choose nothing and change no mask."
            ),
            True,
        ),
        described(
            QgsProcessingParameterField(
                "FIELD", tr("Field with the crop (report only)"), None, "PARCELS", optional=True
            ),
            tr("Name or code of the crop in these parcels."),
            True,
        ),
        described(
            QgsProcessingParameterRasterLayer("LABELS", tr("Or a label raster (report only)"), None, True),
            tr("Whole numbers on the pixels of the images, 0 is unlabelled."),
            True,
        ),
        class_table(),
    ]
