"""The advanced parameters of training: which parcels count, how they are split, how the network learns."""

from ..i18n import tr
from .adaptationoptions import seed
from .definitions import choice, file_input, number, switch, text
from .regions import parcel_parameters, samples_store


def training_options():
    """Parameters in the order of the dialog."""
    return [*_classes_and_parcels(), *_split(), *_network(), *_optimiser()]


def _classes_and_parcels():
    return [
        class_table(),
        bands(),
        *parcel_parameters(),
        number(
            "MIN_PARCELS",
            tr("Fewest parcels of a class"),
            tr("Rarer classes are dropped or merged, as chosen below."),
            default=10,
            low=1,
        ),
        choice(
            "RARE_CLASSES",
            tr("Rare classes"),
            tr("Drop their parcels, or merge them to one class 'other'."),
            ["drop", "merge"],
            default="drop",
        ),
    ]


def _split():
    return [
        choice(
            "SPLIT",
            tr("Split for validation and test"),
            tr(
                "Blocks keep neighbours together and give honest scores; parcels are split at random and "
                "score too well."
            ),
            ["blocks", "parcels"],
            default="blocks",
        ),
        block_size(),
    ]


def _network():
    return [
        width(),
        fast(
            tr(
                "A small network that learned to answer like the trained one goes into the same file: 'Map "
                "crops' with 'Fast map' is then many times as fast. Takes some minutes more; the report says "
                "what it loses."
            )
        ),
        number(
            "PIXELS_PER_SET",
            tr("Pixels drawn of a parcel in each step"),
            tr(
                "A share of the steps draws fewer, so that the model serves single pixels as well. Without "
                "it: by the effort."
            ),
            low=1,
            high=1024,
        ),
        number(
            "DATES_PER_SAMPLE",
            tr("Dates drawn in each step"),
            tr("Random dates make the model robust against other acquisition dates."),
            default=30,
            low=3,
            high=1000,
        ),
        number(
            "SHIFT_AUGMENTATION",
            tr("Random shift of the season (days, 0 is off)"),
            tr("Seasons are shifted by up to this many days in training (published: 60). Without it: off."),
            low=0,
            high=180,
        ),
        switch(
            "MASK_CLOUDS",
            tr("Leave clouded dates out of the attention"),
            tr("Off is the published behaviour: clouded dates are read as they are."),
            default=True,
        ),
        choice(
            "NORMALISATION",
            tr("Normalisation of bands"),
            tr(
                "Standard uses mean and deviation of the training parcels; published scales reflectance as "
                "in the paper."
            ),
            ["standard", "published"],
            default="standard",
        ),
    ]


def _optimiser():
    return [
        number(
            "GAMMA",
            tr("Focusing of the loss on hard parcels (gamma)"),
            tr("0 is cross-entropy."),
            default=1,
            low=0,
            high=10,
            integer=False,
        ),
        *epochs(),
        number(
            "BATCH_SIZE",
            tr("Parcels in a step"),
            tr("Halved by itself when memory runs out."),
            default=128,
            low=8,
            high=8192,
        ),
        learning_rate(tr("Of Adam at the start; falls along a cosine."), 0.001),
        number(
            "WEIGHT_DECAY",
            tr("Weight decay"),
            tr("Against overfitting. Without it: 0.0001."),
            low=0,
            high=1,
            integer=False,
        ),
        seed(),
        samples_store(),
    ]


def block_size():
    """Side of the blocks of a spatial split."""
    return number(
        "BLOCK_SIZE",
        tr("Size of the blocks (m)"),
        tr("Without it: chosen so that there are enough blocks."),
        low=1,
        integer=False,
    )


def width(label=None, help_text=None):
    """Size of the network."""
    return choice(
        "WIDTH",
        label or tr("Network"),
        help_text
        or tr("Standard is the published network; small is about five times faster. Without it: standard."),
        ["standard", "small"],
    )


def fast(help_text):
    """Whether a fast network goes into the model's file."""
    return switch("FAST", tr("Add a fast network"), help_text, default=False)


def resume():
    """Whether an interrupted run is gone on with."""
    return switch(
        "RESUME",
        tr("Go on with an interrupted run"),
        tr("From the last whole epoch, where inputs, settings and output are the same."),
        default=True,
    )


def class_table():
    """Classes and colours of the values of a label field."""
    return file_input(
        "CLASS_TABLE",
        tr("Class table (CSV: code,class,color)"),
        tr(
            "Maps values of the field to classes and colours (#rrggbb). Values that are not in the "
            "table are left out."
        ),
        tr("CSV files (*.csv);;All files (*)"),
        optional=True,
        advanced=True,
    )


def bands():
    """The bands that are used."""
    return text(
        "BANDS",
        tr("Bands to use (separated by commas)"),
        tr("Without it: all bands that every series has."),
    )


def effort(help_text):
    """How long may it take."""
    return choice(
        "EFFORT",
        tr("Effort"),
        help_text,
        ["quick", "standard", "thorough"],
        default="standard",
        advanced=False,
    )


def epochs(steps_help=None):
    """How long is trained."""
    return [
        number("EPOCHS", tr("Most epochs"), tr("Without it: by the effort."), low=1, high=10000),
        number(
            "STEPS_PER_EPOCH",
            tr("Steps in an epoch"),
            steps_help or tr("Without it: by the effort and the number of parcels."),
            low=1,
            high=100000,
        ),
    ]


def learning_rate(help_text, default=None):
    """Step size of the optimiser."""
    return number(
        "LEARNING_RATE", tr("Learning rate"), help_text, default=default, low=1e-7, high=1, integer=False
    )
