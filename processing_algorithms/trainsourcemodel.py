"""Train source model: a network that tells crops apart, from parcels or points with known crops."""

from qgis.core import (
    QgsProcessing,
    QgsProcessingOutputFile,
    QgsProcessingOutputNumber,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterMultipleLayers,
)

from ..algorithm import EngineAlgorithm
from ..i18n import tr
from ..parameters import device_parameter, unreadable_parameter, vector_source, vector_sources
from .definitions import MODEL_FILTER, TABLE_FILTER, described, file_input, file_output, number, text
from .documented import InMapping
from .facts import FactsError, series_facts
from .trainingoptions import effort, resume, training_options
from .values import engine_values, files

LABELS = [QgsProcessing.SourceType.TypeVectorPolygon, QgsProcessing.SourceType.TypeVectorPoint]


class TrainSourceModel(InMapping, EngineAlgorithm):
    """Trains PSE+LTAE on parcels of one or several regions and tests it on held-out blocks."""

    JOB = "trainsourcemodel"

    def displayName(self):
        """Name in the Toolbox."""
        return tr("Train source model")

    def shortDescription(self):
        """One line for tooltips and `qgis_process help`."""
        return tr(
            "Trains a crop classifier from image time series and parcels with known crops, and tests it "
            "honestly."
        )

    def tags(self):
        """Words that find it in the Toolbox."""
        return tr(
            "train,classifier,deep learning,crop type,lulc,pse,ltae,attention,supervised,machine learning"
        ).split(",")

    def initAlgorithm(self, config=None):
        """Declare parameters and outputs."""
        for parameter in (
            described(
                QgsProcessingParameterMultipleLayers(
                    "SERIES", tr("Image time series"), QgsProcessing.SourceType.TypeFile, optional=True
                ),
                tr(
                    "Files made by 'Build image time series', one a region. Leave empty only when a table "
                    "of labelled series is given."
                ),
            ),
            described(
                QgsProcessingParameterFeatureSource(
                    "PARCELS", tr("Parcels or points with known crops"), LABELS, None, True
                ),
                tr(
                    "Polygons, or points that sample the pixel under them. Selection and filter of the "
                    "layer are respected; any coordinate system."
                ),
            ),
            described(
                QgsProcessingParameterField(
                    "FIELD", tr("Field with the crop"), None, "PARCELS", optional=True
                ),
                tr("Name or code of the crop. Parcels without a value are left out."),
            ),
            effort(
                tr(
                    "Quick takes a few minutes on a CPU, standard about four times and thorough about "
                    "twelve times as long; early stopping shortens all of them."
                )
            ),
            file_output(
                "OUTPUT",
                tr("Model"),
                tr("The weights and a card that says what the model knows."),
                MODEL_FILTER,
            ),
            file_output(
                "REPORT",
                tr("Report"),
                tr(
                    "What was trained on what, scores on held-out blocks, and profiles of each class; "
                    "numbers as JSON beside it."
                ),
                tr("HTML files (*.html)"),
                optional=True,
            ),
            described(
                QgsProcessingParameterMultipleLayers(
                    "MORE_PARCELS",
                    tr("Parcels of further regions"),
                    QgsProcessing.SourceType.TypeVectorAnyGeometry,
                    optional=True,
                ),
                tr(
                    "In the order of the further time series; the field with the crop must have the same "
                    "name. Filters of the layers are respected."
                ),
                True,
            ),
            file_input(
                "LABELLED_SERIES",
                tr("Table of labelled series"),
                tr(
                    "Instead of parcels, or in addition: CSV or Parquet with one row per place and date "
                    "(columns id, date, one a band)."
                ),
                TABLE_FILTER,
                optional=True,
                advanced=True,
            ),
            file_input(
                "LABELS_TABLE",
                tr("Table with the crops of the labelled series"),
                tr("Needed where the crop is not a column of the table of labelled series itself."),
                tr("Tables (*.csv *.csv.gz *.parquet *.gpkg);;All files (*)"),
                optional=True,
                advanced=True,
            ),
            text(
                "ID_FIELD",
                tr("Column that joins the two tables"),
                tr("Name of the place's identifier in both tables, for example sample_id."),
            ),
            number(
                "SERIES_SCALE",
                tr("Scale of the table: physical value per stored unit"),
                tr(
                    "For example 0.0001 for reflectance × 10,000. Without it: detected, and stated in the "
                    "log."
                ),
                low=0,
                integer=False,
            ),
            text(
                "LABELS_FIELD",
                tr("Column with the crop in the tables"),
                tr("Used instead of 'Field with the crop' when labelled series are given without parcels."),
            ),
            *training_options(),
            resume(),
            device_parameter(),
            unreadable_parameter(),
        ):
            self.addParameter(parameter)
        self.addOutput(QgsProcessingOutputFile("NUMBERS", tr("Numbers (JSON)")))
        for name, label in (
            ("MACRO_F1", tr("Macro-F1 on held-out blocks")),
            ("ACCURACY", tr("Accuracy on held-out blocks")),
            ("WEIGHTED_F1", tr("Weighted F1 on held-out blocks")),
            ("KAPPA", tr("Kappa on held-out blocks")),
            ("CALIBRATION_ERROR", tr("Calibration error of the confidence")),
            ("N_PARCELS", tr("Labelled parcels used")),
            ("N_CLASSES", tr("Classes")),
        ):
            self.addOutput(QgsProcessingOutputNumber(name, label))

    def problem(self, parameters, context):
        """Labels and images belong together; the series files are readable."""
        series = files(self, parameters, "SERIES", context)
        tables = self.parameterAsString(parameters, "LABELLED_SERIES", context)
        if not tables and not (series and parameters.get("PARCELS")):
            return tr("Give an image time series and parcels, or a table of labelled series (advanced).")
        if bool(series) != bool(parameters.get("PARCELS")):
            return tr("Image time series and parcels go together: give both.")
        if parameters.get("PARCELS") and not parameters.get("FIELD"):
            return tr("Choose the field of the parcels that holds the crop.")
        try:
            for path in series:
                series_facts(path)
        except FactsError as error:
            return str(error)
        return ""

    def jobParameters(self, parameters, context, feedback):
        """Fields of the engine's job."""
        fields = engine_values(self, parameters, context)
        labels_field = fields.pop("labels_field", None)
        if labels_field and not parameters.get("PARCELS"):
            fields["field"] = labels_field
        parcels = vector_source(self, parameters, "PARCELS", context, feedback)
        if parcels:
            fields["parcels"] = [
                parcels,
                *vector_sources(self, parameters, "MORE_PARCELS", context, feedback),
            ]
        return fields
