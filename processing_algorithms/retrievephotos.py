"""Retrieve photos: the ground photos that look most like places of the images."""

from qgis.core import (
    QgsProcessing,
    QgsProcessingOutputNumber,
    QgsProcessingParameterDateTime,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterVectorDestination,
)

from ..algorithm import EngineAlgorithm
from ..i18n import tr
from ..parameters import device_parameter, unreadable_parameter, vector_source
from . import foundphotos, photosources, styling
from .definitions import choice, described, file_output, number
from .documented import InPhotos
from .mapinputs import POLYGONS, files_problem
from .values import engine_values
from .wordoptions import misfit, series_and_model


class RetrievePhotos(InPhotos, EngineAlgorithm):
    """Searches photos by the satellite vectors of points or polygons."""

    JOB = "retrievephotos"

    def displayName(self):
        """Name in the Toolbox."""
        return tr("Retrieve photos")

    def shortDescription(self):
        """One line for tooltips and `qgis_process help`."""
        return tr("Finds the ground photos that look most like places of your images, and shows them.")

    def tags(self):
        """Words that find it in the Toolbox."""
        return tr("photo,picture,clip,search,retrieval,similar,contact sheet,faiss,lucas,index").split(",")

    def initAlgorithm(self, config=None):
        """Declare parameters and outputs."""
        places = [QgsProcessing.SourceType.TypeVectorPoint, QgsProcessing.SourceType.TypeVectorPolygon]
        day = QgsProcessingParameterDateTime.Type.Date
        for parameter in (
            *series_and_model(),
            described(
                QgsProcessingParameterFeatureSource("PLACES", tr("Places (points or polygons)"), places),
                tr(
                    "What photos are looked for. A polygon is the mean of its clear pixels (100 of them at "
                    "most). Selection and filter are respected."
                ),
            ),
            photosources.photo_layer(),
            described(
                QgsProcessingParameterVectorDestination(
                    "OUTPUT", tr("Retrieved photos"), QgsProcessing.SourceType.TypeVectorPoint
                ),
                tr("GeoPackage of points at the photos; the map tip shows the photo."),
            ),
            file_output(
                "REPORT",
                tr("Contact sheet"),
                tr("The photos of each place on a page, with similarity and distance."),
                tr("HTML files (*.html)"),
                optional=True,
            ),
            number(
                "K", tr("Photos of each place"), tr("The most similar ones."), default=6, low=1, high=1000
            ),
            described(
                QgsProcessingParameterField(
                    "ID_FIELD", tr("Field that names a place"), None, "PLACES", optional=True
                ),
                tr("Without it: numbers from 1."),
                True,
            ),
            described(
                QgsProcessingParameterFolderDestination(
                    "INDEX", tr("Folder of the photo index"), None, True, False
                ),
                tr(
                    "Kept there, vectors of the photos are computed once: used again where it holds an index "
                    "of the same photos, else made. With an index, photos needn't be given again."
                ),
                True,
            ),
            described(
                QgsProcessingParameterFeatureSource(
                    "PHOTO_REGION", tr("Only photos inside these polygons"), POLYGONS, None, True
                ),
                tr("Selection and filter are respected."),
                True,
            ),
            described(
                QgsProcessingParameterDateTime(
                    "DATE_FROM", tr("Only photos from this day on"), day, None, True
                ),
                tr("Photos without a date are left out then."),
                True,
            ),
            described(
                QgsProcessingParameterDateTime("DATE_TO", tr("Only photos up to this day"), day, None, True),
                tr("Photos without a date are left out then."),
                True,
            ),
            *photosources.photo_options(),
            photosources.clip_folder(),
            choice(
                "STEPS",
                tr("Steps of the year"),
                tr("What the model sees: 12 monthly medians, 4 quarterly ones, or 1 for the whole year."),
                ["12", "4", "1"],
                default="12",
            ),
            choice(
                "SEARCH",
                tr("Search"),
                tr(
                    "exact: every photo is compared. cells: only those near the query (FAISS IVF), for very "
                    "many. auto: exact up to 5 million photos."
                ),
                ["auto", "exact", "cells"],
                default="auto",
            ),
            number(
                "SEED",
                tr("Random seed"),
                tr("Of the pixels drawn in large polygons."),
                default=1,
                low=0,
                high=2**31 - 1,
            ),
            device_parameter(),
            unreadable_parameter(),
        ):
            self.addParameter(parameter)
        self.addOutput(QgsProcessingOutputNumber("N_PLACES", tr("Places that could be asked")))
        self.addOutput(QgsProcessingOutputNumber("N_PHOTOS", tr("Photos in the index")))
        self.addOutput(QgsProcessingOutputNumber("N_FOUND", tr("Photos found")))
        self.addOutput(QgsProcessingOutputNumber("MEAN_SIMILARITY", tr("Mean similarity of the best photos")))

    def problem(self, parameters, context):
        """There are photos or an index, and model and series fit."""
        if not photosources.has_photos(parameters) and not parameters.get("INDEX"):
            return tr("Choose photos: a layer, a folder or table, or the index of an earlier run.")
        return photosources.photos_problem(parameters) or files_problem(self, parameters, context, misfit)

    def jobParameters(self, parameters, context, feedback):
        """Fields of the engine's job."""
        fields = engine_values(self, parameters, context)
        fields["places"] = vector_source(self, parameters, "PLACES", context, feedback)
        fields["photo_region"] = vector_source(self, parameters, "PHOTO_REGION", context, feedback)
        return photosources.read_photos(self, parameters, context, feedback, fields)

    def afterJob(self, result, outputs, context, feedback):
        """Style and name of the layer."""
        foundphotos.style_found(outputs["OUTPUT"], feedback)
        styling.dress(context, outputs["OUTPUT"], tr("Retrieved photos"))
