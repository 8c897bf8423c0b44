"""Parameter values as the engine wants them: plain strings, numbers and lists; what is not given is left out.

A field of an engine job has the name of the parameter in lower case, so that only parameters that need QGIS
to be understood (layers with selections, credentials) are treated one by one in the algorithms.
"""

from qgis.core import QgsProcessing, QgsProcessingParameterNumber


def _number(algorithm, definition, parameters, context):
    if definition.dataType() == QgsProcessingParameterNumber.Type.Integer:
        return algorithm.parameterAsInt(parameters, definition.name(), context)
    return algorithm.parameterAsDouble(parameters, definition.name(), context)


def _date(algorithm, definition, parameters, context):
    moment = algorithm.parameterAsDateTime(parameters, definition.name(), context)
    return moment.date().toString("yyyy-MM-dd") if moment.isValid() else None


def _crs(algorithm, definition, parameters, context):
    crs = algorithm.parameterAsCrs(parameters, definition.name(), context)
    if not crs.isValid():
        return None
    return crs.authid() or crs.toWkt()


def files(algorithm, parameters, name, context):
    """Paths of a list of files; [] if none is given, for which QGIS 3.22 has a list of one empty text."""
    return [path for path in algorithm.parameterAsFileList(parameters, name, context) if path]


def _files(algorithm, definition, parameters, context):
    return files(algorithm, parameters, definition.name(), context)


def _text(algorithm, definition, parameters, context):
    return algorithm.parameterAsString(parameters, definition.name(), context)


def _choice(algorithm, definition, parameters, context):
    read = algorithm.parameterAsEnumStrings if definition.allowMultiple() else algorithm.parameterAsEnumString
    return read(parameters, definition.name(), context)


#: How the types of parameters that need no layer are read.
READERS = {
    "number": _number,
    "boolean": lambda a, d, p, c: a.parameterAsBoolean(p, d.name(), c),
    "enum": _choice,
    "string": _text,
    "file": _text,
    "field": lambda a, d, p, c: ",".join(a.parameterAsFields(p, d.name(), c)),
    "datetime": _date,
    "crs": _crs,
    "fileDestination": lambda a, d, p, c: a.parameterAsFileOutput(p, d.name(), c),
    "folderDestination": _text,
    "rasterDestination": lambda a, d, p, c: a.parameterAsOutputLayer(p, d.name(), c),
    "vectorDestination": lambda a, d, p, c: a.parameterAsOutputLayer(p, d.name(), c),
}


def engine_values(algorithm, parameters, context, leave=()):
    """Fields of the engine's job (dict) for every given parameter that needs no layer.

    Args:
        leave: names of parameters that the caller reads itself.
    """
    fields = {}
    for definition in algorithm.parameterDefinitions():
        name = definition.name()
        reader = _files if _is_file_list(definition) else READERS.get(definition.type())
        given = parameters.get(name, definition.defaultValue())
        if reader is None or name in leave or given is None or given == "" or given == []:
            continue
        value = reader(algorithm, definition, parameters, context)
        if value is not None and value != "" and value != []:
            fields[name.lower()] = value
    return fields


def _is_file_list(definition):
    return definition.type() == "multilayer" and definition.layerType() == QgsProcessing.SourceType.TypeFile
