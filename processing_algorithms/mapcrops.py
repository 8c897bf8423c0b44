"""Map crops: a model applied to a time series, pixel by pixel and parcel by parcel."""

import os

from qgis.core import (
    QgsProcessing,
    QgsProcessingOutputNumber,
    QgsProcessingOutputString,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterVectorDestination,
)

from ..algorithm import EngineAlgorithm
from ..i18n import tr
from ..parameters import device_parameter, scheduler_parameter, unreadable_parameter, vector_source
from . import mapinputs, styling
from .definitions import MODEL_FILTER, described, file_input, switch
from .documented import InMapping
from .facts import model_facts, series_facts
from .mapinputs import POLYGONS


class MapCrops(mapinputs.OverRegion, InMapping, EngineAlgorithm):
    """Writes a crop map with confidence, and on wish a parcel layer and the probabilities of all classes."""

    JOB = "mapcrops"
    #: Path of the parcel layer where the user named none; such a layer is not loaded by QGIS itself.
    beside = None

    def displayName(self):
        """Name in the Toolbox."""
        return tr("Map crops")

    def shortDescription(self):
        """One line for tooltips and `qgis_process help`."""
        return tr("Makes a crop map with confidence from an image time series and a model.")

    def tags(self):
        """Words that find it in the Toolbox."""
        return tr("classify,classification,predict,inference,crop type,lulc,land cover,map,parcel").split(",")

    def initAlgorithm(self, config=None):
        """Declare parameters and outputs."""
        for parameter in (
            mapinputs.image_series(),
            file_input(
                "MODEL",
                tr("Model"),
                tr(
                    "Made by 'Train source model', 'Train segmentation model' or 'Adapt to region'. Its "
                    "bands are looked up by name in the series."
                ),
                MODEL_FILTER,
            ),
            mapinputs.extent(tr("Without extent and region the whole series is mapped.")),
            mapinputs.region(),
            described(
                QgsProcessingParameterFeatureSource("PARCELS", tr("Parcels"), POLYGONS, None, True),
                tr(
                    "If given, each parcel gets a class, its confidence and the runner-up, in a layer of "
                    "its own, from its pixels without the edge (models of single pixels: at most 128 of "
                    "them, drawn at random)."
                ),
            ),
            described(
                QgsProcessingParameterRasterDestination("OUTPUT", tr("Crop map"), None, True, True),
                tr(
                    "Cloud-optimised GeoTIFF: band 1 the class with colours and names, band 2 the "
                    "confidence (%)."
                ),
            ),
            described(
                QgsProcessingParameterVectorDestination(
                    "OUTPUT_PARCELS",
                    tr("Crop map of parcels"),
                    QgsProcessing.SourceType.TypeVectorPolygon,
                    None,
                    True,
                    False,
                ),
                tr(
                    "Where the parcel layer goes. Without it, and with parcels given: beside the map, "
                    "ending in _parcels.gpkg."
                ),
                True,
            ),
            described(
                QgsProcessingParameterRasterDestination(
                    "PROBABILITIES", tr("Probabilities of all classes"), None, True, False
                ),
                tr("A further GeoTIFF with one band a class."),
                True,
            ),
            described(
                QgsProcessingParameterVectorDestination(
                    "OUTPUT_POLYGONS",
                    tr("Map as polygons"),
                    QgsProcessing.SourceType.TypeVectorPolygon,
                    None,
                    True,
                    False,
                ),
                tr(
                    "Connected pixels of one class as polygons with class, area and confidence. Needs no "
                    "parcels; best with a segmentation model."
                ),
                True,
            ),
            mapinputs.min_mapping_unit(),
            mapinputs.season_year(),
            described(
                QgsProcessingParameterField(
                    "ID_FIELD", tr("Field with the parcel's identifier"), None, "PARCELS", optional=True
                ),
                tr(
                    "Its values go to the field 'parcel_id' of the parcel layer, to join it with other data. "
                    "The other fields of the parcels are kept as well."
                ),
                True,
            ),
            switch(
                "FAST",
                tr("Fast map"),
                tr(
                    "Pixels are classified by the small network in the model's file ('Add a fast network' in "
                    "training): many times as fast, a little less accurate. Parcels are still classified by "
                    "the model itself."
                ),
                default=False,
            ),
            device_parameter(),
            unreadable_parameter(),
            mapinputs.batch_size(),
            mapinputs.overlap(
                tr(
                    "For segmentation models: how much of a window the next one sees again. 50: each place "
                    "is computed four times. 25 is twice as fast and may show seams; 75 is smoother and "
                    "takes four times as long."
                )
            ),
            mapinputs.tile_size(),
            mapinputs.workers(),
            scheduler_parameter(),
        ):
            self.addParameter(parameter)
        self.addOutput(QgsProcessingOutputNumber("PIXELS", tr("Mapped pixels")))
        self.addOutput(QgsProcessingOutputString("AREAS", tr("Area of each class (ha, JSON)")))

    def problem(self, parameters, context):
        """Model and series fit; one region; parcels for the map of parcels."""
        if parameters.get("OUTPUT_PARCELS") and not parameters.get("PARCELS"):
            return tr("Choose the parcels that 'Crop map of parcels' is to be made of.")
        return super().problem(parameters, context)

    def jobParameters(self, parameters, context, feedback):
        """Fields of the engine's job."""
        fields = super().jobParameters(parameters, context, feedback)
        parcels = vector_source(self, parameters, "PARCELS", context, feedback)
        if parcels:
            fields["parcels"] = parcels
            if not fields.get("output_parcels") and fields.get("output"):
                fields["output_parcels"] = os.path.splitext(fields["output"])[0] + "_parcels.gpkg"
                self.beside = fields["output_parcels"]
        return fields

    def afterJob(self, result, outputs, context, feedback):
        """Style, name and season of the layers."""
        series, model = series_facts(self.fields["series"]), model_facts(self.fields["model"])
        year = self.fields.get("season_year") or series.season_year
        season = styling.season_of(series.dates)

        def name(words):
            return words.format(year=year, series=series.title)

        if outputs.get("OUTPUT"):
            styling.style_map(outputs["OUTPUT"], dict(enumerate(model.classes, start=1)), feedback, season)
            styling.dress(context, outputs["OUTPUT"], name(tr("Crop map {year} – {series}")), season)
        if outputs.get("PROBABILITIES"):
            styling.dress(
                context, outputs["PROBABILITIES"], name(tr("Probabilities {year} – {series}")), season
            )
        parcels = outputs.get("OUTPUT_PARCELS")
        if parcels:
            styling.style_parcels(
                parcels, model.classes, "class", feedback, confidence="confidence", tip=styling.PARCEL_TIP
            )
            show = styling.load if parcels == self.beside else styling.dress
            show(context, parcels, name(tr("Crops of parcels {year} – {series}")), season)
        polygons = outputs.get("OUTPUT_POLYGONS")
        if polygons:
            styling.style_parcels(
                polygons, model.classes, "class", feedback, confidence="confidence", tip=styling.POLYGON_TIP
            )
            styling.dress(context, polygons, name(tr("Crop map as polygons {year} – {series}")), season)
