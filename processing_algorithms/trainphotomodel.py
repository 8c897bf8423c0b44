"""Train photo model: satellite images learn what photos of the same places show."""

from qgis.core import (
    QgsProcessing,
    QgsProcessingOutputFile,
    QgsProcessingOutputNumber,
    QgsProcessingParameterMultipleLayers,
)

from ..algorithm import EngineAlgorithm
from ..i18n import tr
from ..parameters import device_parameter, unreadable_parameter
from . import photosources
from .adaptationoptions import seed
from .definitions import MODEL_FILTER, choice, described, file_output, folder_input, number, switch
from .documented import InPhotos
from .trainingoptions import bands, block_size, effort, learning_rate, resume, width
from .values import engine_values, files


class TrainPhotoModel(InPhotos, EngineAlgorithm):
    """Aligns monthly satellite images with what CLIP sees in photos of the same places."""

    JOB = "trainphotomodel"

    def displayName(self):
        """Name in the Toolbox."""
        return tr("Train photo model")

    def shortDescription(self):
        """One line for tooltips and `qgis_process help`."""
        return tr(
            "Teaches satellite images the language of photos and words, from photos taken on the ground."
        )

    def tags(self):
        """Words that find it in the Toolbox."""
        return tr(
            "train,clip,timesenclip,contrastive,zero-shot,ground photos,geotagged,lucas,street view,text,"
            "embedding"
        ).split(",")

    def initAlgorithm(self, config=None):
        """Declare parameters and outputs."""
        for parameter in (
            described(
                QgsProcessingParameterMultipleLayers(
                    "SERIES", tr("Image time series"), QgsProcessing.SourceType.TypeFile
                ),
                tr("Files made by 'Build image time series', one a region, best of a whole year."),
            ),
            photosources.photo_layer(),
            folder_input(
                "CLIP",
                tr("Folder of the CLIP model"),
                tr(
                    "A model of the CLIP family in Hugging Face layout. Without it: the one that 'Fetch CLIP "
                    "model' put into the models folder."
                ),
            ),
            effort(
                tr(
                    "How long is trained at most, in steps: quick 400 to 1,500, standard 1,500 to 8,000. "
                    "Thorough has the published 200 rounds and is meant for many places on a graphics card."
                )
            ),
            file_output(
                "OUTPUT",
                tr("Photo model"),
                tr(
                    "The weights and a card that says what the model knows and which CLIP model it goes with."
                ),
                MODEL_FILTER,
            ),
            file_output(
                "REPORT",
                tr("Report"),
                tr("How well images and photos of held-out places find each other; numbers as JSON beside."),
                tr("HTML files (*.html)"),
                optional=True,
            ),
            *photosources.photo_options(),
            *_images(),
            *_learning(),
            resume(),
            device_parameter(),
            unreadable_parameter(),
        ):
            self.addParameter(parameter)
        self.addOutput(QgsProcessingOutputFile("NUMBERS", tr("Numbers (JSON)")))
        for name, label in (
            ("RECALL_1", tr("Partner found at once, held-out places")),
            ("RECALL_5", tr("Partner among the first five, held-out places")),
            ("RECALL_10", tr("Partner among the first ten, held-out places")),
            ("RECIPROCAL_RANK", tr("Mean reciprocal rank of the partner")),
            ("N_PLACES", tr("Places used")),
            ("N_PHOTOS", tr("Photos used")),
            ("N_TEST", tr("Held-out places")),
        ):
            self.addOutput(QgsProcessingOutputNumber(name, label))

    def problem(self, parameters, context):
        """Images and photos are given, photos once."""
        if not files(self, parameters, "SERIES", context):
            return tr("Choose at least one image time series.")
        why = photosources.photos_problem(parameters)
        if not why and not photosources.has_photos(parameters):
            return tr("Choose photos: a layer, or a folder or table (advanced).")
        return why

    def jobParameters(self, parameters, context, feedback):
        """Fields of the engine's job."""
        fields = engine_values(self, parameters, context)
        return photosources.read_photos(self, parameters, context, feedback, fields)

    def afterJob(self, result, outputs, context, feedback):
        """Say what comes next."""
        feedback.pushInfo(
            tr(
                "Read the report first. Then 'Map classes from words' draws classes that you describe, 'Map "
                "similarity' shows where it looks like a text or a photo, and 'Retrieve photos' finds photos "
                "of places."
            )
        )


def _images():
    """What is seen of the images."""
    return (
        choice(
            "CONTEXT",
            tr("Pixels seen around a place (along a side)"),
            tr("1 is the published form. More help where a pixel alone says little, and cost time in maps."),
            ["1", "3", "5", "9"],
            default="1",
        ),
        bands(),
        choice(
            "NORMALISATION",
            tr("Normalisation of bands"),
            tr(
                "data: the 1st and 99th percentile of the training places become 0 and 1. published: the "
                "constants of the paper, for Sentinel-2."
            ),
            ["data", "published"],
            default="data",
        ),
    )


def _learning():
    """How the network learns."""
    return (
        choice(
            "MASKING",
            tr("Months hidden in training"),
            tr(
                "So that the model copes with gaps and with a single image. mixed (published): half of the "
                "time the median of the year, or without three months; all: or random months as well; "
                "random: always 1 to 11 months; spectral: the same, and bands hidden; none."
            ),
            ["none", "mixed", "all", "random", "spectral"],
            default="mixed",
        ),
        choice(
            "POOLING",
            tr("Photos of a place become one by"),
            tr("average (of the paper), or attention: learned weights (as released)."),
            ["average", "attention"],
            default="average",
        ),
        width(
            tr("Size of the network"),
            tr(
                "standard is the published network; small learns from hundreds of places. Without it: small "
                "on a processor or with fewer than 5,000 places."
            ),
        ),
        choice(
            "FORM",
            tr("Form of the network"),
            tr("released: ReLU and one layer at its end; paper: GELU and two."),
            ["released", "paper"],
            default="released",
        ),
        switch(
            "PUBLISHED",
            tr("Train as released"),
            tr(
                "Months are hidden alike in a whole batch, photos are compared with past ones only, and all "
                "months start alike, which takes very many places."
            ),
            default=False,
        ),
        choice(
            "SPLIT",
            tr("Split for validation and test"),
            tr(
                "blocks keep neighbours together and give honest scores; places are split at random and "
                "score too well; none: all places are for training."
            ),
            ["blocks", "places", "none"],
            default="blocks",
        ),
        block_size(),
        number("EPOCHS", tr("Most epochs"), tr("Without it: by the effort."), low=1, high=10000),
        number(
            "BATCH_SIZE",
            tr("Places in a step"),
            tr("Halved by itself when memory runs out (published: 1024)."),
            default=256,
            low=8,
            high=8192,
        ),
        learning_rate(
            tr("The highest one. Without it: 0.001 for the small network, else 0.0001 (published).")
        ),
        seed(),
    )
