"""Build image time series: one file that says which images, dates, bands and cloud masks belong together."""

from qgis.core import (
    QgsProcessing,
    QgsProcessingOutputNumber,
    QgsProcessingOutputString,
    QgsProcessingParameterAuthConfig,
    QgsProcessingParameterCrs,
    QgsProcessingParameterDateTime,
    QgsProcessingParameterExtent,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterMultipleLayers,
)

from ..algorithm import EngineAlgorithm
from ..i18n import tr
from ..parameters import auth_header, extent_string, raster_paths, vector_source
from .definitions import SERIES_FILTER, choice, described, file_output, folder_input, number, text
from .documented import InSeries
from .facts import series_facts
from .values import engine_values


class BuildTimeSeries(InSeries, EngineAlgorithm):
    """Collects rasters of many dates, SAFE folders or a STAC catalogue into one image time series."""

    JOB = "buildtimeseries"

    def displayName(self):
        """Name in the Toolbox."""
        return tr("Build image time series")

    def shortDescription(self):
        """One line for tooltips and `qgis_process help`."""
        return tr(
            "Makes one time-series file from dated rasters, loaded layers, Sentinel-2 folders or a STAC "
            "catalogue."
        )

    def tags(self):
        """Words that find it in the Toolbox."""
        return tr("stack,sentinel-2,safe,stac,data cube,dates,clouds,scl,satellite,collection").split(",")

    def initAlgorithm(self, config=None):
        """Declare parameters and outputs."""
        date = QgsProcessingParameterDateTime.Type.Date
        for parameter in (
            folder_input(
                "INPUT_FOLDER",
                tr("Folder with images"),
                tr(
                    "Rasters with a date in their names (one raster a date, bands inside), or Sentinel-2 "
                    "SAFE folders."
                ),
            ),
            described(
                QgsProcessingParameterMultipleLayers(
                    "LAYERS", tr("Or raster layers"), QgsProcessing.SourceType.TypeRaster, optional=True
                ),
                tr("Loaded layers or files with a date in their names. Only layers of files can be used."),
            ),
            text(
                "STAC",
                tr("Or STAC catalogue, item collection or API (file or URL)"),
                tr(
                    "A catalog.json, an item collection, or the address of a STAC API; an API also needs a "
                    "region, dates and a collection."
                ),
                advanced=False,
            ),
            described(
                QgsProcessingParameterExtent("EXTENT", tr("Region"), optional=True),
                tr("Limits the series to this region. Without it the series covers all images."),
            ),
            file_output(
                "OUTPUT",
                tr("Image time series"),
                tr("A STAC item collection. It refers to the images where they are; keep them there."),
                SERIES_FILTER,
            ),
            file_output(
                "REPORT",
                tr("Report"),
                tr("Clear observations per pixel and per date, and profiles at points."),
                tr("HTML files (*.html)"),
                optional=True,
            ),
            text(
                "COLLECTIONS",
                tr("Collections of the STAC API (separated by commas)"),
                tr("For example sentinel-2-l2a."),
            ),
            described(
                QgsProcessingParameterDateTime("START_DATE", tr("First date"), date, None, True),
                tr("Images before this date are left out."),
                True,
            ),
            described(
                QgsProcessingParameterDateTime("END_DATE", tr("Last date"), date, None, True),
                tr("Images after this date are left out."),
                True,
            ),
            number(
                "MAX_CLOUD",
                tr("Most cloud cover of a scene (%)"),
                tr("Scenes that state a larger cloud cover are left out. Scenes that state none are kept."),
                low=0,
                high=100,
                integer=False,
            ),
            described(
                QgsProcessingParameterAuthConfig(
                    "AUTH_CONFIG", tr("Credentials for the STAC API"), None, True
                ),
                tr(
                    "From QGIS's authentication store (Settings, Options, Authentication); never written "
                    "to logs or files."
                ),
                True,
            ),
            text(
                "DATE_PATTERN",
                tr("Pattern of the date in file names"),
                tr("Only needed where dates are not found: %Y year, %m month, %d day, for example %Y_%m_%d."),
            ),
            text(
                "BANDS",
                tr("Names of the bands in the files (separated by commas)"),
                tr("For files whose bands have no names, in their order: for example B02,B03,B04,B08,SCL."),
            ),
            text(
                "MASK_BAND",
                tr("Band with the cloud mask"),
                tr("SCL is found by itself. Name another band here, with its not-clear values below."),
            ),
            text(
                "MASK_VALUES",
                tr("Values of the mask that are not clear (separated by commas)"),
                tr("For SCL the default is everything but vegetation, soil, water and unclassified."),
            ),
            number(
                "SCALE",
                tr("Scale: physical value per stored unit"),
                tr(
                    "Reflectance is 0 to 1 and an index is -1 to 1; Sentinel-2 stores reflectance × "
                    "10,000, so its scale is 0.0001. Found by itself in most files."
                ),
                integer=False,
            ),
            number(
                "OFFSET",
                tr("Offset added after scaling (physical units)"),
                tr("Sentinel-2 since January 2022 has -0.1; honoured by itself where the metadata say so."),
                integer=False,
            ),
            number(
                "SEASON_YEAR",
                tr("Season year"),
                tr("Days are counted from 1 January of this year. Without it: the year of the median date."),
                low=1972,
                high=2100,
            ),
            number(
                "RESOLUTION",
                tr("Pixel size (units of the coordinate system)"),
                tr("Without it: the finest pixel size of the images."),
                low=0,
                integer=False,
            ),
            described(
                QgsProcessingParameterCrs("CRS", tr("Coordinate system of the series"), None, True),
                tr("Without it: that of most images. All images are brought to it when they are read."),
                True,
            ),
            folder_input(
                "CLIP_FOLDER",
                tr("Folder for a clipped copy of the images"),
                tr(
                    "If given, the region is copied there as tiled GeoTIFFs, and the series refers to the "
                    "copy: much faster for JP2 files and remote images."
                ),
                advanced=True,
            ),
            choice(
                "CLIP_COMPRESSION",
                tr("Compression of the copy"),
                tr(
                    "Both give files of the same size. DEFLATE: all programs read them. ZSTD: maps read them "
                    "twice as fast, but some builds of QGIS (macOS, Flatpak) can't show them. A copy that is "
                    "there in the other one is written again; the log says so."
                ),
                ["DEFLATE", "ZSTD"],
                default="DEFLATE",
            ),
            described(
                QgsProcessingParameterFeatureSource(
                    "PROFILE_POINTS",
                    tr("Points for profiles in the report"),
                    [QgsProcessing.SourceType.TypeVectorPoint],
                    None,
                    True,
                ),
                tr("The report draws the series of each band at these points (the first few)."),
                True,
            ),
        ):
            self.addParameter(parameter)
        self.addOutput(QgsProcessingOutputNumber("DATES", tr("Dates")))
        self.addOutput(QgsProcessingOutputNumber("SCENES", tr("Scenes")))
        self.addOutput(QgsProcessingOutputString("BAND_NAMES", tr("Bands")))
        self.addOutput(
            QgsProcessingOutputNumber("CLEAR_MEDIAN", tr("Median of clear observations per pixel"))
        )

    def problem(self, parameters, context):
        """One source of images, and a region where an API is asked."""
        given = [name for name in ("INPUT_FOLDER", "LAYERS", "STAC") if parameters.get(name)]
        if not given:
            return tr("Choose images: a folder, raster layers, or a STAC catalogue.")
        if len(given) > 1:
            return tr("Choose one source of images only; given are: {}.").format(", ".join(given))
        return ""

    def jobParameters(self, parameters, context, feedback):
        """Fields of the engine's job."""
        fields = engine_values(self, parameters, context, leave=("AUTH_CONFIG",))
        if parameters.get("LAYERS"):
            fields["layers"] = raster_paths(self, parameters, "LAYERS", context)
        extent = extent_string(self, parameters, "EXTENT", context)
        if extent:
            fields["extent"] = extent
        points = vector_source(self, parameters, "PROFILE_POINTS", context, feedback)
        if points:
            fields["profile_points"] = points
        if parameters.get("AUTH_CONFIG"):
            fields["auth_header"] = auth_header(self.parameterAsString(parameters, "AUTH_CONFIG", context))
        return fields

    def afterJob(self, result, outputs, context, feedback):
        """The series says which bands all its dates have."""
        outputs["BAND_NAMES"] = ", ".join(series_facts(outputs["OUTPUT"]).bands or [])
