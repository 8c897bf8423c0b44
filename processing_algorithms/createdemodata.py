"""Create demo data: two simulated regions with images, parcels and the truth."""

import json
from pathlib import Path

from qgis.core import (
    QgsProcessingOutputFolder,
    QgsProcessingOutputRasterLayer,
    QgsProcessingOutputVectorLayer,
    QgsProcessingParameterFolderDestination,
    QgsVectorLayer,
)

from ..algorithm import EngineAlgorithm
from ..i18n import tr
from . import styling
from .definitions import choice, described, number, switch
from .documented import InSeries
from .facts import ClassFacts
from .photostyle import style_photos
from .values import engine_values


class CreateDemoData(InSeries, EngineAlgorithm):
    """Simulates Sentinel-2-like series of two regions whose seasons are shifted against each other."""

    JOB = "createdemodata"

    def displayName(self):
        """Name in the Toolbox."""
        return tr("Create demo data")

    def shortDescription(self):
        """One line for tooltips and `qgis_process help`."""
        return tr(
            "Simulates two farming regions with satellite images, parcels and the truth, to try things out."
        )

    def tags(self):
        """Words that find it in the Toolbox."""
        return tr("simulate,sample data,example,tutorial,test,sentinel-2,crop,time series").split(",")

    def initAlgorithm(self, config=None):
        """Declare parameters and outputs."""
        for parameter in (
            described(
                QgsProcessingParameterFolderDestination("OUTPUT_FOLDER", tr("Folder for the demo data")),
                tr("Gets region_a, region_b, truth.json and a README."),
            ),
            number(
                "SIZE",
                tr("Size of each region (pixels of 10 m a side)"),
                tr(
                    "An even number. 512 pixels are 5.1 km with some hundred parcels; 256 is enough for a "
                    "quick try."
                ),
                default=512,
                low=64,
                high=2048,
                advanced=False,
            ),
            choice(
                "DIFFICULTY",
                tr("Difficulty"),
                tr(
                    "How much varieties, noise and missed clouds blur the crops. Figures in the "
                    "documentation are for 'standard'."
                ),
                ["easy", "standard", "hard"],
                default="standard",
                advanced=False,
            ),
            number(
                "SEED",
                tr("Random seed"),
                tr("The same seed and parameters give identical files."),
                default=0,
                low=0,
                high=2**31 - 1,
                advanced=False,
            ),
            number(
                "PHOTO_PLACES",
                tr("Places with ground photos in each region (0: none)"),
                tr(
                    "Four drawn photos a place, with position and date, and captions, for everything that "
                    "needs photos. 300 places take some minutes."
                ),
                default=0,
                low=0,
                high=5000,
                advanced=False,
            ),
            switch(
                "TOY_CLIP",
                tr("Train a toy CLIP model on the photos"),
                tr(
                    "Learns from photos and captions of region B, in about two minutes. It stands in for a "
                    "real CLIP model on this demo, and is of no use elsewhere."
                ),
                default=True,
            ),
            number(
                "DATES",
                tr("Acquisition dates per region"),
                tr("Dates are irregular, and not the same in the two regions."),
                default=28,
                low=3,
                high=60,
            ),
            number(
                "SHIFT_DAYS",
                tr("Shift of the season between the regions (days)"),
                tr("Crops of region B develop this many days earlier than those of region A."),
                default=28,
                low=-60,
                high=60,
            ),
        ):
            self.addParameter(parameter)
        for region in ("A", "B"):
            self.addOutput(
                QgsProcessingOutputFolder(f"IMAGES_{region}", tr("Images of region {}").format(region))
            )
            self.addOutput(
                QgsProcessingOutputVectorLayer(f"PARCELS_{region}", tr("Parcels of region {}").format(region))
            )
            self.addOutput(
                QgsProcessingOutputRasterLayer(f"TRUTH_{region}", tr("Truth of region {}").format(region))
            )
            self.addOutput(
                QgsProcessingOutputVectorLayer(
                    f"PHOTOS_{region}", tr("Photos of region {} (if asked for)").format(region)
                )
            )
        self.addOutput(QgsProcessingOutputFolder("CLIP", tr("Folder of the toy CLIP model (if asked for)")))

    def jobParameters(self, parameters, context, feedback):
        """Fields of the engine's job."""
        return engine_values(self, parameters, context)

    def afterJob(self, result, outputs, context, feedback):
        """Parcels of both regions come into the project in the colours of the truth."""
        try:
            truth = json.loads((Path(outputs["OUTPUT_FOLDER"]) / "truth.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            # The data are there; only their colours are not worth failing for.
            feedback.pushWarning(tr("The parcels come without colours: {}").format(error))
            return
        colours = {item["name"]: item["color"] for item in truth["classes"]}
        for region in ("A", "B"):
            path = outputs[f"PARCELS_{region}"]
            layer = QgsVectorLayer(path, "parcels", "ogr")
            crops = sorted(layer.uniqueValues(layer.fields().indexFromName("crop")))
            classes = [ClassFacts(crop, colours[crop]) for crop in crops if crop in colours]
            styling.style_parcels(path, classes, "crop", feedback)
            styling.load(context, path, tr("Parcels of region {}").format(region))
            if f"PHOTOS_{region}" in outputs:
                path = outputs[f"PHOTOS_{region}"]
                style_photos(path, colours, "class", feedback)
                styling.load(context, path, tr("Photos of region {}").format(region))
