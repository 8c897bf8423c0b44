"""The advanced parameters of adaptation, with the published values as defaults."""

from ..i18n import tr
from .definitions import choice, number, switch

#: In the order of the engine, which checks them.
METHODS = ("timematch", "fixmatch", "shift", "mmd", "dann", "cdan", "jumbot", "alda")


def adaptation_options():
    """Parameters in the order of the dialog."""
    return [*_shift(), *_length(), *_optimiser(), *_self_training(), *_samples(), seed()]


def estimator(name, label, default):
    """A label-free score of a shift."""
    return choice(
        name,
        label,
        tr(
            "Score that finds the shift: IS inception score, AM activation maximisation, ENT entropy. "
            "(Published: IS before training, AM in each epoch.)"
        ),
        ["IS", "AM", "ENT"],
        default=default,
    )


def max_shift():
    """How far is tried."""
    return number(
        "MAX_SHIFT",
        tr("Largest shift tried (days)"),
        tr("Every whole day from minus to plus this is tried (published: 60)."),
        default=60,
        low=1,
        high=180,
    )


def seed(help_text=None):
    """The seed of every random draw."""
    return number(
        "SEED",
        tr("Random seed"),
        help_text or tr("The same seed on a CPU gives the same model."),
        default=1,
        low=0,
        high=2**31 - 1,
    )


def epochs(advanced=True):
    """Epochs and steps of an adaptation."""
    return [
        number(
            "EPOCHS",
            tr("Epochs"),
            tr("TimeMatch estimates the shift anew at the start of each. Published and default: 20."),
            low=1,
            high=10000,
            advanced=advanced,
        ),
        number(
            "STEPS_PER_EPOCH",
            tr("Steps in an epoch"),
            tr(
                "Published: 500. Without it: four times through the samples of the target, but 25 to 500 "
                "(on a processor to 100)."
            ),
            low=1,
            high=100000,
            advanced=advanced,
        ),
    ]


def shift_augmentation(help_text=None):
    """Random shifts in training, which hide the shift that is looked for."""
    return number(
        "SHIFT_AUGMENTATION",
        tr("Random shift of the season in training (days, 0 is off)"),
        help_text
        or tr(
            "Published: 60, which hides the very shift that is estimated. Without it: the days between two "
            "dates of the source, at most 16."
        ),
        low=0,
        high=180,
    )


def _shift():
    return [
        number(
            "SHIFT",
            tr("Shift, if you know it (days)"),
            tr(
                "Of timematch and shift: days to add to the dates of the target; positive where crops are "
                "earlier there. Without it: estimated."
            ),
            low=-180,
            high=180,
        ),
        estimator("FIRST_ESTIMATOR", tr("Estimator of the shift before training"), default="IS"),
        choice(
            "START",
            tr("Start of TimeMatch"),
            tr(
                "shifted: teacher and student start with the shift built in and keep it. published: the "
                "student learns the calendar of the target from the source model, and the shift is "
                "estimated again in each epoch."
            ),
            ["shifted", "published"],
            default="shifted",
        ),
        estimator("ESTIMATOR", tr("Estimator of the shift in each epoch (published start)"), default="AM"),
        max_shift(),
        shift_augmentation(),
    ]


def _length():
    return [
        *epochs(),
        number(
            "WARM_UP",
            tr("First epochs without pseudo labels"),
            tr(
                "Of TimeMatch and FixMatch (published: 0). Without it: a quarter of the epochs where the "
                "target looks other than the source even with the shift, otherwise none."
            ),
            low=0,
            high=10000,
        ),
        number(
            "BATCH_SIZE",
            tr("Samples of each region in a step"),
            tr("Published: 128. Fewer need less memory."),
            default=128,
            low=8,
            high=8192,
        ),
    ]


def _optimiser():
    return [
        number(
            "LEARNING_RATE",
            tr("Learning rate"),
            tr(
                "Of Adam for TimeMatch and FixMatch (published: 0.0001), a factor on the published schedule "
                "of SGD for the other methods (published: 1). Without it: the published one at 10,000 steps, "
                "more in shorter runs."
            ),
            low=1e-7,
            high=10,
            integer=False,
        ),
        number(
            "WEIGHT_DECAY",
            tr("Weight decay"),
            tr("Against overfitting (published: 0.0001)."),
            default=0.0001,
            low=0,
            high=1,
            integer=False,
        ),
        number(
            "GAMMA",
            tr("Focusing of the loss on hard samples (gamma)"),
            tr("TimeMatch and FixMatch; 0 is cross-entropy (published: 1)."),
            default=1,
            low=0,
            high=10,
            integer=False,
        ),
        number(
            "TRADE_OFF",
            tr("Weight of the target in the loss"),
            tr("Published and default: 2 for TimeMatch and FixMatch, 1 for the others."),
            low=0,
            high=1000,
            integer=False,
        ),
    ]


def _self_training():
    return [
        number(
            "THRESHOLD",
            tr("Confidence above which a pseudo label counts"),
            tr("Published and default: 0.9 for TimeMatch and FixMatch, 0.7 for ALDA."),
            low=0,
            high=1,
            integer=False,
        ),
        number(
            "EMA",
            tr("Share of the teacher that stays in each step"),
            tr(
                "Published: 0.9999 at 10,000 steps. Shorter runs scale it, so that as much of the source "
                "model stays in the teacher at the end. Where the target lies far from the source the "
                "teacher follows faster."
            ),
            default=0.9999,
            low=0,
            high=1,
            integer=False,
        ),
        choice(
            "KEEP",
            tr("Network that is the result"),
            tr("Of TimeMatch and FixMatch: the student (published), or its running mean, the teacher."),
            ["student", "teacher"],
            default="student",
        ),
    ]


def _samples():
    return [
        switch(
            "BALANCED_SOURCE",
            tr("Every class of the source equally often"),
            tr("Published: on for TimeMatch and FixMatch; the other methods don't use it."),
            default=True,
        ),
        choice(
            "NORM",
            tr("Batch statistics in training"),
            tr(
                "Of TimeMatch and FixMatch: kept as in the source model, of each region by itself "
                "(published), or of both together. auto keeps them where the target looks like the source "
                "with the shift, and takes each region's own where it does not. The other methods do as "
                "published."
            ),
            ["auto", "kept", "separate", "joint"],
            default="auto",
        ),
        number(
            "PIXELS_PER_SET",
            tr("Pixels drawn of a parcel in each step"),
            tr("Published and default: 64."),
            low=1,
            high=1024,
        ),
        number(
            "DATES_PER_SAMPLE",
            tr("Dates drawn in each step"),
            tr("Random dates make the model robust against other acquisition dates (published: 30)."),
            default=30,
            low=3,
            high=1000,
        ),
    ]
