"""Evaluate photo model: zero-shot accuracy, and recall between images and photos."""

from qgis.core import (
    QgsProcessing,
    QgsProcessingOutputFile,
    QgsProcessingOutputNumber,
    QgsProcessingParameterEnum,
    QgsProcessingParameterField,
    QgsProcessingParameterMultipleLayers,
)

from ..algorithm import EngineAlgorithm
from ..i18n import tr
from ..parameters import device_parameter, unreadable_parameter
from . import photosources, styling
from .definitions import MODEL_FILTER, choice, described, file_input, file_output, text
from .documented import InPhotos
from .values import engine_values, files

TASKS = ["field", "land_cover", "land_use", "crops", "habitat", "bioregion", "country"]
TEMPLATES = ["Generic", "LC_Generic", "LU_Generic", "SAT_Generic", "Generic_SATGeneric"]


class EvaluatePhotoModel(InPhotos, EngineAlgorithm):
    """Scores a photo model on places whose class is known."""

    JOB = "evaluatephotomodel"

    def displayName(self):
        """Name in the Toolbox."""
        return tr("Evaluate photo model")

    def shortDescription(self):
        """One line for tooltips and `qgis_process help`."""
        return tr("Says how well a photo model knows classes by their words, and how well it finds photos.")

    def tags(self):
        """Words that find it in the Toolbox."""
        return tr("zero-shot,accuracy,recall,retrieval,clip,prompts,lucas,sen4map,validation").split(",")

    def initAlgorithm(self, config=None):
        """Declare parameters and outputs."""
        for parameter in (
            described(
                QgsProcessingParameterMultipleLayers(
                    "SERIES", tr("Image time series"), QgsProcessing.SourceType.TypeFile, optional=True
                ),
                tr("Made by 'Build image time series', one a region. Empty only for Sen4Map patches."),
            ),
            file_input("MODEL", tr("Photo model"), tr("Made by 'Train photo model'."), MODEL_FILTER),
            photosources.photo_layer(),
            described(
                QgsProcessingParameterField(
                    "LABEL_FIELD", tr("Field with the class"), None, "PHOTOS", optional=True
                ),
                tr("Its values are the class names that the model is asked for."),
            ),
            file_output(
                "REPORT",
                tr("Report"),
                tr("Scores with chance beside them, confusions and recall; numbers as JSON beside it."),
                tr("HTML files (*.html)"),
            ),
            file_output(
                "TABLE",
                tr("Scores (CSV)"),
                tr("All scores as a table, a number a row."),
                tr("CSV files (*.csv)"),
                optional=True,
                by_default=False,
            ),
            described(
                QgsProcessingParameterEnum(
                    "TASKS",
                    tr("What is classified"),
                    TASKS,
                    True,
                    None,
                    optional=True,
                    usesStaticStrings=True,
                ),
                tr(
                    "field: the values of the field with the class. The others read codes of LUCAS and "
                    "Sen4Map (lc1, lu1 and so on). Without it: field."
                ),
                True,
            ),
            text(
                "LABEL_NAME",
                tr("Or the name of the column with the class"),
                tr("For a folder or table of photos, which have no layer to choose a field of."),
            ),
            file_input(
                "CLASS_TABLE",
                tr("Table of descriptive prompts"),
                tr("CSV with the columns class and prompt, for the values of the field with the class."),
                tr("Tables (*.csv);;All files (*)"),
                optional=True,
                advanced=True,
            ),
            choice(
                "TEMPLATES",
                tr("Prompt templates"),
                tr("Sentences that class names are put into. Without it: by task, Generic for a field."),
                TEMPLATES,
            ),
            file_input(
                "SEN4MAP",
                tr("Sen4Map patches"),
                tr("HDF5 file in place of image time series; photos are joined by LUCAS point number."),
                tr("HDF5 files (*.h5 *.hdf5);;All files (*)"),
                optional=True,
                advanced=True,
            ),
            *photosources.photo_options(),
            photosources.clip_folder(),
            device_parameter(),
            unreadable_parameter(),
        ):
            self.addParameter(parameter)
        self.addOutput(QgsProcessingOutputFile("NUMBERS", tr("Numbers (JSON)")))
        for name, label in (
            ("N_PLACES", tr("Places scored")),
            ("ACCURACY", tr("Zero-shot accuracy (12 months, class names, raw)")),
            ("MEAN_CLASS_ACCURACY", tr("The same as mean of the classes")),
            ("CHANCE", tr("Accuracy of a blind guess")),
            ("RECALL_1_TO_PHOTOS", tr("Recall at 1, same class, satellite to photos")),
            ("RECALL_1_TO_IMAGES", tr("Recall at 1, same class, photos to satellite")),
            ("PLACE_RECALL_1_TO_PHOTOS", tr("Recall at 1, own place, satellite to photos")),
            ("PLACE_RECALL_1_TO_IMAGES", tr("Recall at 1, own place, photos to satellite")),
        ):
            self.addOutput(QgsProcessingOutputNumber(name, label))

    def problem(self, parameters, context):
        """Images are given once, with photos and a class."""
        why = photosources.photos_problem(parameters)
        if why:
            return why
        series, patches = files(self, parameters, "SERIES", context), parameters.get("SEN4MAP")
        given = parameters.get("TASKS")
        tasks = self.parameterAsEnumStrings(parameters, "TASKS", context) if given else ["field"]
        if bool(series) == bool(patches):
            return tr("Choose image time series with photos, or Sen4Map patches (advanced): one of both.")
        if series and not photosources.has_photos(parameters):
            return tr("Choose photos: a layer, or a folder or table (advanced).")
        if "field" in tasks and not (parameters.get("LABEL_FIELD") or parameters.get("LABEL_NAME")):
            return tr("Choose the field with the class, or another task (advanced).")
        return ""

    def jobParameters(self, parameters, context, feedback):
        """Fields of the engine's job."""
        fields = engine_values(self, parameters, context)
        name = fields.pop("label_name", "")
        if name:
            fields.setdefault("label_field", name)
        return photosources.read_photos(self, parameters, context, feedback, fields)

    def afterJob(self, result, outputs, context, feedback):
        """Load the table of scores."""
        styling.load_table(context, outputs.get("TABLE"), tr("Scores of the photo model"))
