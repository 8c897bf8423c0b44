"""Make pseudo masks: from windows in which crops are ticked to the crop of every pixel in them."""

import os

from osgeo import ogr
from qgis.core import (
    QgsProcessing,
    QgsProcessingFeatureSourceDefinition,
    QgsProcessingOutputFile,
    QgsProcessingOutputNumber,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterRasterDestination,
    QgsProcessingUtils,
    QgsVectorLayer,
)

from ..algorithm import EngineAlgorithm
from ..i18n import tr
from ..parameters import device_parameter, raster_source, unreadable_parameter, vector_source
from . import styling
from .definitions import MODEL_FILTER, SERIES_FILTER, described, file_input, file_output
from .documented import InMapping
from .facts import series_facts
from .mapinputs import files_problem
from .maskoptions import mask_options
from .tickform import CLASSES_TABLE
from .trainingoptions import effort, resume
from .values import engine_values

POLYGONS = [QgsProcessing.SourceType.TypeVectorPolygon]


class MakePseudoMasks(InMapping, EngineAlgorithm):
    """Learns from ticks what each crop looks like, and draws where in the windows it grows."""

    JOB = "makepseudomasks"

    def displayName(self):
        """Name in the Toolbox."""
        return tr("Make pseudo masks")

    def shortDescription(self):
        """One line for tooltips and `qgis_process help`."""
        return tr("Draws the crops of every pixel in windows of which you only said which crops they hold.")

    def tags(self):
        """Words that find it in the Toolbox."""
        return tr(
            "weak labels,image-level labels,weakly supervised,semantic segmentation,class activation map,cam,"
            "exact,prototypes,tick,pseudo labels"
        ).split(",")

    def initAlgorithm(self, config=None):
        """Declare parameters and outputs."""
        for parameter in (
            file_input(
                "SERIES",
                tr("Image time series"),
                tr("Made by 'Build image time series'; the one that the windows were laid over."),
                SERIES_FILTER,
            ),
            described(
                QgsProcessingParameterFeatureSource("WINDOWS", tr("Windows with ticked crops"), POLYGONS),
                tr(
                    "Made by 'Create label windows', or any polygons with yes/no fields. Windows that are "
                    "done or have a tick are used. Selection and filter of the layer are respected."
                ),
            ),
            described(
                QgsProcessingParameterField(
                    "FIELDS",
                    tr("Fields of the crops"),
                    None,
                    "WINDOWS",
                    QgsProcessingParameterField.DataType.Any,
                    True,
                    True,
                ),
                tr(
                    "Yes/no fields, one a crop. Without a choice: those of the file's list of crops, else "
                    "all fields of type boolean and integer fields with 0 and 1 only; 'done' is never a crop."
                ),
            ),
            effort(
                tr(
                    "How long is trained, in windows that the network sees: quick about 1,200 to 4,800, "
                    "standard 4,800 to 16,000; thorough, 16,000 to 120,000, is meant for a graphics card. "
                    "16 windows of 24 x 24 pixels took 0.76 s of processor time."
                )
            ),
            described(
                QgsProcessingParameterRasterDestination("OUTPUT", tr("Masks")),
                tr(
                    "GeoTIFF on the pixels of the images: band 1 the class with colours and names, band 2 "
                    "the confidence (%). 'Train segmentation model' takes it as label raster."
                ),
            ),
            file_output(
                "REPORT",
                tr("Report"),
                tr("Windows with the map of each ticked crop and the mask; numbers as JSON beside it."),
                tr("HTML files (*.html)"),
                optional=True,
            ),
            file_output(
                "OUTPUT_MODEL",
                tr("Classifier"),
                tr(
                    "The network that found the crops. It says which crops a window holds and draws no map: "
                    "for that, train a segmentation model on the masks."
                ),
                MODEL_FILTER,
                optional=True,
                by_default=False,
                advanced=True,
            ),
            file_output(
                "OUTPUT_CLASSES",
                tr("Class table of the masks"),
                tr(
                    "Values, names and colours as CSV, for other programs. Without it: beside the masks, "
                    "with '_classes' after their name; both are replaced where they are there already."
                ),
                tr("CSV files (*.csv)"),
                optional=True,
                by_default=False,
                advanced=True,
            ),
            *mask_options(),
            resume(),
            device_parameter(),
            unreadable_parameter(),
        ):
            self.addParameter(parameter)
        self.addOutput(QgsProcessingOutputFile("NUMBERS", tr("Numbers (JSON)")))
        for name, label in (
            ("N_POLYGONS", tr("Polygons used")),
            ("N_WINDOWS", tr("Windows used")),
            ("N_CLASSES", tr("Crops")),
            ("MAP_MACRO", tr("Average precision of ticks, mean over crops, held-out polygons")),
            ("MEAN_CONFIDENCE", tr("Mean confidence of the masks")),
            ("ACCURACY", tr("Accuracy against pixel labels")),
            ("MIOU", tr("Mean IoU against pixel labels")),
            ("UNSHARPENED_MIOU", tr("Mean IoU against pixel labels before sharpening")),
            ("PLAIN_MIOU", tr("Mean IoU of plain CAM, not sharpened, against pixel labels")),
        ):
            self.addOutput(QgsProcessingOutputNumber(name, label))

    def problem(self, parameters, context):
        """The series is readable, edits are saved, one kind of pixel labels."""
        layer = self._layer(parameters, context)
        if layer is not None and layer.isModified():
            return tr("'{layer}' has edits that are not saved. Save them, and run again.").format(
                layer=layer.name()
            )
        if parameters.get("PARCELS") and parameters.get("LABELS"):
            return tr("Give parcels or a label raster for the report, not both.")
        if parameters.get("PARCELS") and not parameters.get("FIELD"):
            return tr("Choose the field of the parcels that holds the crop.")
        return files_problem(self, parameters, context)

    def jobParameters(self, parameters, context, feedback):
        """Fields of the engine's job."""
        fields = engine_values(self, parameters, context, leave=("FIELDS",))
        # a list, since names of fields may hold commas
        fields["fields"] = self.parameterAsFields(parameters, "FIELDS", context)
        fields["windows"] = vector_source(self, parameters, "WINDOWS", context, feedback)
        layer = self._layer(parameters, context)
        if layer is not None:
            carry_classes(layer.source().split("|")[0], fields["windows"].split("|")[0])
        fields["parcels"] = vector_source(self, parameters, "PARCELS", context, feedback)
        fields["labels"] = raster_source(self, parameters, "LABELS", context)
        if not fields["parcels"]:
            fields.pop("field", None)
        return {name: value for name, value in fields.items() if value not in ("", [])}

    def _layer(self, parameters, context):
        """The layer of windows, if it is open; None for a file, which has neither edits nor selection."""
        value = parameters.get("WINDOWS")
        if isinstance(value, QgsProcessingFeatureSourceDefinition):
            value = value.source.staticValue()
        if isinstance(value, str):
            value = QgsProcessingUtils.mapLayerFromString(value, context, False)
        return value if isinstance(value, QgsVectorLayer) else None

    def afterJob(self, result, outputs, context, feedback):
        """Style and name of the masks."""
        path = outputs["OUTPUT"]
        season = styling.season_of(series_facts(self.fields["series"]).dates)
        styling.style_map(path, styling.raster_classes(path), feedback, season)
        styling.dress(context, path, tr("Masks"), season)
        feedback.pushInfo(
            tr(
                "Look at the pictures in the report first. Then 'Train segmentation model' takes the masks "
                "as label raster (advanced), with names and colours."
            )
        )


def carry_classes(original, copy):
    """Copy the table that says which field is which crop: a copy of a selection lacks it.

    Args:
        original, copy: GeoPackages; nothing is done where they are one file, or the table isn't there.
    """
    if os.path.abspath(original) == os.path.abspath(copy) or not os.path.isfile(original):
        return
    source = ogr.Open(original)
    table = None if source is None else source.GetLayerByName(CLASSES_TABLE)
    target = ogr.Open(copy, 1)
    if table is not None and target is not None and target.GetLayerByName(CLASSES_TABLE) is None:
        target.CopyLayer(table, CLASSES_TABLE)
