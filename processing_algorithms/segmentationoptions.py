"""The advanced parameters of training a segmentation model: network, pre-training, split, optimiser."""

from ..i18n import tr
from .adaptationoptions import seed
from .definitions import choice, folder_input, number, switch
from .trainingoptions import block_size, epochs, learning_rate, width
from .windowinputs import finer, n_dates, which_windows, window_size

#: In the order of the engine, which checks them.
ARCHITECTURES = ["tsvit", "unet3d", "unet3df", "unet2d_clstm", "biconvgru"]


def segmentation_options():
    """Parameters in the order of the dialog."""
    return [*_network(), *_windows(), *_pretraining(), *_split(), *_optimiser()]


def _network():
    return [
        choice(
            "ARCHITECTURE",
            tr("Network"),
            tr(
                "tsvit: attention over dates, then over places (Tarasiou et al. 2023). unet3d: the smallest "
                "one that uses time; unet3df and unet2d_clstm: those of the CSCL paper. biconvgru: recurrent "
                "in both directions of time."
            ),
            ARCHITECTURES,
            default="tsvit",
        ),
        width(tr("Size of the network"), tr("Standard is the published network; small is faster.")),
    ]


def _windows():
    return [
        finer(),
        window_size(
            tr(
                "A multiple of 2 or 3 for TSViT, of 4 for the U-Nets. Without it: 24 for TSViT, 48 for the "
                "other networks, or what fits into the images; windows of a data set stay as they are (up to "
                "48)."
            )
        ),
        n_dates(
            tr(
                "Chosen evenly over the season; shorter series are padded and masked. Without it: all, up to "
                "60, for TSViT; 16 (published) for the others."
            ),
            4,
            366,
        ),
        *which_windows(),
        number(
            "MIN_PIXELS",
            tr("Fewest labelled pixels of a class"),
            tr("Rarer classes are left out; their pixels stay unlabelled."),
            default=100,
            low=1,
        ),
        folder_input(
            "WINDOWS_STORE",
            tr("Folder that keeps the windows read (Zarr)"),
            tr("Used again in the next run if images, labels and settings are the same: saves reading."),
            advanced=True,
        ),
    ]


def _pretraining():
    return [
        switch(
            "CSCL",
            tr("Contrastive pre-training (CSCL)"),
            tr(
                "First the network learns which neighbours belong together, from the same labels; meant to "
                "sharpen the borders of parcels (Tarasiou et al. 2022)."
            ),
            default=False,
        ),
        number(
            "CSCL_EPOCHS",
            tr("CSCL: epochs"),
            tr("Without it: as many as the training that follows (published)."),
            low=1,
            high=10000,
        ),
        number(
            "CSCL_KERNEL",
            tr("CSCL: side of the neighbourhood (pixels)"),
            tr("Odd (published: 3)."),
            default=3,
            low=3,
            high=15,
        ),
        number(
            "CSCL_DILATION",
            tr("CSCL: distance between neighbours (pixels)"),
            tr("Published: 1."),
            default=1,
            low=1,
            high=16,
        ),
        switch(
            "CSCL_MASK",
            tr("CSCL: leave unlabelled pixels out"),
            tr("Off is the published behaviour: all unlabelled land counts as one class."),
            default=False,
        ),
        switch(
            "FLIPS",
            tr("Flip and rotate the windows in training"),
            tr("Images, labels and parcels together; eight views of each window."),
            default=True,
        ),
        switch(
            "PUBLISHED",
            tr("As published"),
            tr(
                "Optimiser, rates and network as published, with their defects, to run published tables "
                "again; epochs and steps are up to you."
            ),
            default=False,
        ),
    ]


def _split():
    return [
        choice(
            "SPLIT",
            tr("Split for validation and test"),
            tr(
                "blocks: whole blocks of land, for honest scores. inside: parts of each window, where there "
                "are too few windows; scores are then too good. regions: whole time series, or patches or "
                "years of a data set. folds: those that a published data set comes with (PASTIS)."
            ),
            ["blocks", "inside", "regions", "folds"],
            default="blocks",
        ),
        block_size(),
        number(
            "VALIDATION_FOLD",
            tr("Fold for validation"),
            tr("Only with folds as the split."),
            default=4,
            low=1,
            high=1000,
        ),
        number(
            "TEST_FOLD",
            tr("Fold for the test"),
            tr("Only with folds as the split; all other folds are for training."),
            default=5,
            low=1,
            high=1000,
        ),
    ]


def _optimiser():
    return [
        *epochs(tr("Without it: by the effort and the number of windows.")),
        number(
            "BATCH_SIZE",
            tr("Windows in a step"),
            tr("Halved by itself when memory runs out."),
            default=8,
            low=1,
            high=1024,
        ),
        learning_rate(
            tr("The highest one. Without it: 0.001 (published for the U-Nets: 0.0001, in much longer runs).")
        ),
        seed(),
    ]
