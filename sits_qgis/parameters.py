"""Layers as parameters, turned into strings that the engine can open: functions, no inheritance."""

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsProcessingException,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterString,
    QgsProcessingUtils,
    QgsVectorLayer,
)

from .i18n import tr
from .network import auth_header

__all__ = [
    "auth_header",
    "device_parameter",
    "extent_string",
    "raster_path",
    "raster_paths",
    "raster_source",
    "scheduler_parameter",
    "unreadable_parameter",
    "vector_source",
    "vector_sources",
]

DEVICES = ("auto", "cpu", "cuda", "mps")
#: Formats that the engine reads as they are; anything else is written to a GeoPackage first.
VECTOR_FORMATS = ["gpkg", "shp", "geojson", "json", "fgb", "gml", "kml", "sqlite", "parquet"]


def device_parameter(name="DEVICE"):
    """Which processor computes; under 'Advanced parameters', stored by its word."""
    parameter = QgsProcessingParameterEnum(
        name, tr("Device"), list(DEVICES), False, "auto", optional=False, usesStaticStrings=True
    )
    parameter.setHelp(
        tr("auto: a graphics card if one works, else the CPU. The log says which one was chosen.")
    )
    parameter.setFlags(parameter.flags() | QgsProcessingParameterDefinition.Flag.FlagAdvanced)
    return parameter


def unreadable_parameter(name="UNREADABLE"):
    """What to do where an image can't be read; under 'Advanced parameters', stored by its word."""
    parameter = QgsProcessingParameterEnum(
        name,
        tr("Images that can't be read"),
        ["error", "missing"],
        False,
        "error",
        optional=False,
        usesStaticStrings=True,
    )
    parameter.setHelp(
        tr(
            "Images on servers are tried several times. error: the run then stops and names the first image "
            "that can't be read. missing: such images are left out where they can't be read, as if they "
            "were clouded there; the log and the result list them."
        )
    )
    parameter.setFlags(parameter.flags() | QgsProcessingParameterDefinition.Flag.FlagAdvanced)
    return parameter


def scheduler_parameter(name="SCHEDULER"):
    """Which Dask cluster computes the tiles of a map; under 'Advanced parameters'."""
    parameter = QgsProcessingParameterString(name, tr("Dask scheduler"), None, False, True)
    parameter.setHelp(
        tr(
            "Address of the scheduler of a Dask cluster, such as tcp://host:8786: its workers compute the "
            "tiles, each on its own device. They need this engine and must see the images at the same paths. "
            "Only for clusters that you trust. Without it: this computer."
        )
    )
    parameter.setFlags(parameter.flags() | QgsProcessingParameterDefinition.Flag.FlagAdvanced)
    return parameter


def vector_source(algorithm, parameters, name, context, feedback):
    """A vector input as 'path' or 'path|layername=NAME'; '' if not given.

    A selection, a filter or a layer in memory is written to a temporary file first, so the engine sees
    exactly what the user chose.

    Raises:
        QgsProcessingException: the layer can't be read, or has no features (an empty selection, say).
    """
    if not _given(algorithm, parameters, name):
        return ""
    source = algorithm.parameterAsSource(parameters, name, context)
    if source is None:
        raise QgsProcessingException(algorithm.invalidSourceError(parameters, name))
    if source.featureCount() == 0:
        text = tr(
            "{label}: the layer '{layer}' has no features to work on. If only selected features are used, "
            "select some or untick the option; if the layer has a filter, check it."
        )
        raise QgsProcessingException(text.format(label=_label(algorithm, name), layer=source.sourceName()))
    path, layer = algorithm.parameterAsCompatibleSourceLayerPathAndLayerName(
        parameters, name, context, VECTOR_FORMATS, "gpkg", feedback
    )
    return _with_layer(path, layer)


def vector_sources(algorithm, parameters, name, context, feedback):
    """Several vector layers as engine strings; filters and layers in memory respected; [] if none.

    Raises:
        QgsProcessingException: a layer can't be opened.
    """
    found = []
    for layer in _layers(algorithm, parameters, name, context):
        if not isinstance(layer, QgsVectorLayer):
            text = tr("{label}: '{layer}' is no vector layer. Take it out of the list.")
            raise QgsProcessingException(text.format(label=_label(algorithm, name), layer=layer.name()))
        path, inner = QgsProcessingUtils.convertToCompatibleFormatAndLayerName(
            layer, False, "layer", VECTOR_FORMATS, "gpkg", context, feedback
        )
        found.append(_with_layer(path, inner))
    return found


def raster_path(layer, label):
    """Path of a raster layer that the engine can open.

    Raises:
        QgsProcessingException: the layer comes from a service or a database, not from a file.
    """
    if layer.providerType() != "gdal":
        text = tr(
            "{label}: the layer '{layer}' is not a raster file (provider '{provider}'). Save it as GeoTIFF "
            "(Export > Save As) and use that."
        )
        raise QgsProcessingException(
            text.format(label=label, layer=layer.name(), provider=layer.providerType() or tr("none"))
        )
    return layer.source()


def raster_source(algorithm, parameters, name, context):
    """A raster input as a path; '' if not given. Raises QgsProcessingException if it is no file."""
    if not _given(algorithm, parameters, name):
        return ""
    layer = algorithm.parameterAsRasterLayer(parameters, name, context)
    if layer is None or not layer.isValid():
        raise QgsProcessingException(algorithm.invalidRasterError(parameters, name))
    return raster_path(layer, _label(algorithm, name))


def raster_paths(algorithm, parameters, name, context):
    """Several raster layers as paths; [] if none.

    Raises:
        QgsProcessingException: a layer can't be opened or is no file.
    """
    label = _label(algorithm, name)
    return [raster_path(layer, label) for layer in _layers(algorithm, parameters, name, context)]


def extent_string(algorithm, parameters, name, context):
    """An extent as 'xmin,xmax,ymin,ymax [EPSG:32631]' (QGIS's own form); '' if not given.

    Raises:
        QgsProcessingException: the extent is empty.
    """
    if not _given(algorithm, parameters, name):
        return ""
    crs = algorithm.parameterAsExtentCrs(parameters, name, context)
    if crs.isValid() and not crs.authid().upper().startswith(("EPSG:", "ESRI:", "OGC:")):
        # A user's own CRS has no name outside QGIS.
        crs = QgsCoordinateReferenceSystem("EPSG:4326")
        box = algorithm.parameterAsExtent(parameters, name, context, crs)
    else:
        box = algorithm.parameterAsExtent(parameters, name, context)
    if box.isNull() or box.isEmpty():
        text = tr("{label}: the extent is empty. Draw a box, or give xmin,xmax,ymin,ymax [EPSG:code].")
        raise QgsProcessingException(text.format(label=_label(algorithm, name)))
    numbers = ",".join(repr(v) for v in (box.xMinimum(), box.xMaximum(), box.yMinimum(), box.yMaximum()))
    return f"{numbers} [{crs.authid()}]" if crs.isValid() else numbers


def _layers(algorithm, parameters, name, context):
    """Layers of a list; an exception where one of those given can't be opened."""
    if not _given(algorithm, parameters, name):
        return []
    layers = algorithm.parameterAsLayerList(parameters, name, context)
    given = parameters.get(name)
    count = len(given) if isinstance(given, (list, tuple)) else 1
    if len(layers) < count:
        text = tr("{label}: {bad} of {count} layers can't be opened. Check the paths: {paths}.")
        paths = ", ".join(str(g) for g in given) if isinstance(given, (list, tuple)) else str(given)
        raise QgsProcessingException(
            text.format(
                label=_label(algorithm, name), bad=count - len(layers), count=count, paths=paths[:1000]
            )
        )
    return layers


def _with_layer(path, layer):
    return f"{path}|layername={layer}" if layer else path


def _label(algorithm, name):
    return algorithm.parameterDefinition(name).description()


def _given(algorithm, parameters, name):
    """True if the parameter has a value, given or by default."""
    value = parameters.get(name)
    if value is None:
        value = algorithm.parameterDefinition(name).defaultValue()
    # A missing value of a dialog is Qt's null, whose text is NULL.
    return value is not None and value != "" and value != [] and str(value) != "NULL"
