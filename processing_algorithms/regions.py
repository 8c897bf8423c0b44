"""Two regions as parameters: the source, where crops are known, and the target, where a model is to work."""

from qgis.core import (
    QgsProcessing,
    QgsProcessingParameterExtent,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterField,
    QgsProcessingParameterMultipleLayers,
)

from ..i18n import tr
from ..parameters import extent_string, vector_source, vector_sources
from .definitions import TABLE_FILTER, described, file_input, folder_input, number, text
from .facts import FactsError, missing_bands, model_facts, series_facts
from .values import engine_values, files

LABELS = [QgsProcessing.SourceType.TypeVectorPolygon, QgsProcessing.SourceType.TypeVectorPoint]
POLYGONS = [QgsProcessing.SourceType.TypeVectorPolygon]
LABELS_FILTER = "Tables (*.csv *.csv.gz *.parquet *.gpkg);;All files (*)"
#: Text parameters that stand in for a field of parcels where there are none: parameter, parcels, the field.
INSTEAD = (("LABELS_FIELD", "PARCELS", "field"), ("TARGET_LABELS_FIELD", "TARGET_PARCELS", "target_field"))


def _series(name, label, help_text):
    return described(
        QgsProcessingParameterMultipleLayers(name, label, QgsProcessing.SourceType.TypeFile, optional=True),
        help_text,
    )


def source_parameters():
    """Where the model learned: series, parcels, field."""
    return [
        _series(
            "SERIES",
            tr("Source: image time series"),
            tr(
                "Of the region where the crops are known. Files made by 'Build image time series', one a "
                "region; leave empty only when a table of labelled series is given."
            ),
        ),
        described(
            QgsProcessingParameterFeatureSource(
                "PARCELS", tr("Source: parcels or points with known crops"), LABELS, None, True
            ),
            tr(
                "Usually those that the model was trained on. Selection and filter of the layer are "
                "respected; any coordinate system."
            ),
        ),
        described(
            QgsProcessingParameterField(
                "FIELD", tr("Source: field with the crop"), None, "PARCELS", optional=True
            ),
            tr("Names of the crops as in the model. Parcels of other crops are left out."),
        ),
    ]


def target_series():
    """The images of the target."""
    return _series(
        "TARGET_SERIES",
        tr("Target: image time series"),
        tr(
            "Of the region where you work, made by 'Build image time series' with the bands of the model. "
            "Leave empty only when a table of series is given."
        ),
    )


def target_places():
    """Which pixels of the images of the target are looked at; no label is needed."""
    return [
        described(
            QgsProcessingParameterFeatureSource(
                "REGION", tr("Target: region of interest"), POLYGONS, None, True
            ),
            tr(
                "Polygons in which single pixels are drawn at random, where there are no parcels. Best "
                "drawn around farmland: the model calls every pixel a crop. Without it: all of the images."
            ),
        ),
        described(
            QgsProcessingParameterFeatureSource(
                "TARGET_PARCELS", tr("Target: parcels (no crop needed)"), LABELS, None, True
            ),
            tr(
                "Outlines of fields, if you have them: better than single pixels. No class is needed. Points "
                "take the pixel under them. Selection and filter are respected."
            ),
        ),
    ]


def extent():
    """A box in place of the region of interest."""
    return described(
        QgsProcessingParameterExtent("EXTENT", tr("Target: extent"), optional=True),
        tr("Instead of a region of interest: a box in which single pixels are drawn."),
        True,
    )


def labelled_target():
    """Parcels of the target whose crops are known."""
    return [
        described(
            QgsProcessingParameterFeatureSource(
                "TARGET_PARCELS", tr("Target: parcels or points with known crops"), LABELS, None, True
            ),
            tr(
                "Their crops are used for the scores and the upper bound, never by a method that adapts. "
                "Those of crops that the source doesn't have are left out."
            ),
        ),
        described(
            QgsProcessingParameterField(
                "TARGET_FIELD", tr("Target: field with the crop"), None, "TARGET_PARCELS", optional=True
            ),
            tr("The same names as in the source."),
        ),
    ]


def more_source():
    """Further ways to give the source samples, folded away."""
    return [
        described(
            QgsProcessingParameterMultipleLayers(
                "MORE_PARCELS",
                tr("Source: parcels of further regions"),
                QgsProcessing.SourceType.TypeVectorAnyGeometry,
                optional=True,
            ),
            tr("In the order of the further source series; the field with the crop must have the same name."),
            True,
        ),
        file_input(
            "LABELLED_SERIES",
            tr("Source: table of labelled series"),
            tr(
                "Instead of images and parcels: CSV or Parquet with one row per place and date (columns "
                "id, date, one a band)."
            ),
            TABLE_FILTER,
            optional=True,
            advanced=True,
        ),
        file_input(
            "LABELS_TABLE",
            tr("Source: table with the crops of the labelled series"),
            tr("Needed where the crop is not a column of the table of labelled series itself."),
            LABELS_FILTER,
            optional=True,
            advanced=True,
        ),
        text(
            "LABELS_FIELD",
            tr("Source: column with the crop in the tables"),
            tr("Used instead of 'Source: field with the crop' when there are no parcels."),
        ),
        *id_and_scale(),
    ]


def id_and_scale(prefix="", who=None):
    """Column that names the place, and the unit of a table; `who` opens the labels."""
    who = who or tr("Source")
    return [
        text(
            f"{prefix}ID_FIELD",
            tr("{who}: column that names the place").format(who=who),
            tr("The place's identifier in the tables, for example sample_id, or in the parcels."),
        ),
        number(
            f"{prefix}SERIES_SCALE",
            tr("{who}: physical value per stored unit of the table").format(who=who),
            tr("For example 0.0001 for reflectance × 10,000. Without it: detected, and stated in the log."),
            low=0,
            integer=False,
        ),
    ]


def target_table():
    """A table of series in place of images of the target."""
    return file_input(
        "TARGET_TABLE",
        tr("Target: table of series"),
        tr(
            "Instead of images, or in addition: CSV or Parquet with one row per place and date (columns id, "
            "date, one a band)."
        ),
        TABLE_FILTER,
        optional=True,
        advanced=True,
    )


def target_labels_table():
    """Labels of a table of series of the target."""
    return [
        file_input(
            "TARGET_LABELS_TABLE",
            tr("Target: table with the crops of the table of series"),
            tr("Needed where the crop is not a column of the table of series itself."),
            LABELS_FILTER,
            optional=True,
            advanced=True,
        ),
        text(
            "TARGET_LABELS_FIELD",
            tr("Target: column with the crop in the tables"),
            tr("Used instead of 'Target: field with the crop' when there are no parcels."),
        ),
    ]


def n_pixels():
    """How many single pixels stand for the region."""
    return number(
        "N_PIXELS",
        tr("Target: pixels drawn"),
        tr("Single pixels drawn at random, where there are no parcels."),
        default=4000,
        low=100,
        high=1_000_000,
    )


def parcel_parameters(most_pixels=128):
    """How pixels of parcels are read, in both regions; None keeps all that the memory holds."""
    all_of_them = tr(" Without it: 128; of published data all, or what the memory holds.")
    return [
        number(
            "BUFFER",
            tr("Inner margin of parcels left out (m)"),
            tr("Pixels near the border are mixed with neighbours. Without it: 0.71 pixels."),
            low=0,
            high=1000,
            integer=False,
        ),
        number(
            "MIN_PIXELS",
            tr("Fewest pixels of a parcel"),
            tr("Smaller parcels are left out and counted."),
            default=1,
            low=1,
        ),
        number(
            "MAX_PIXELS",
            tr("Most pixels kept of a parcel"),
            tr("A random choice of larger parcels keeps memory small.")
            + ("" if most_pixels else all_of_them),
            default=most_pixels,
            low=1,
        ),
    ]


def samples_store():
    """Folder that keeps what was read of the source."""
    return folder_input(
        "SAMPLES_STORE",
        tr("Folder that keeps the pixels read (Zarr)"),
        tr("Used again in the next run if images, parcels and settings are the same: saves reading."),
        advanced=True,
    )


def source_problem(algorithm, parameters, context):
    """What is wrong with the source samples, as a sentence, or ''."""
    series = files(algorithm, parameters, "SERIES", context)
    parcels = bool(parameters.get("PARCELS"))
    if not algorithm.parameterAsString(parameters, "LABELLED_SERIES", context) and not (series or parcels):
        return tr(
            "Give the source: an image time series and parcels, or a table of labelled series (advanced)."
        )
    if bool(series) != parcels:
        return tr("The source needs image time series and parcels together: give both.")
    if parcels and not parameters.get("FIELD"):
        return tr("Choose the field of the source parcels that holds the crop.")
    return ""


def target_problem(algorithm, parameters, context):
    """What is wrong with the target, as a sentence, or ''."""
    series = files(algorithm, parameters, "TARGET_SERIES", context)
    if not series and not algorithm.parameterAsString(parameters, "TARGET_TABLE", context):
        return tr("Give the target: an image time series, or a table of series (advanced).")
    places = [name for name in ("REGION", "EXTENT", "TARGET_PARCELS") if parameters.get(name)]
    labels = [f"'{algorithm.parameterDefinition(name).description()}'" for name in places]
    if len(places) > 1:
        return tr("Give only one of {labels}.").format(labels=", ".join(labels))
    if places and not series:
        return tr("{label} needs the image time series of the target.").format(label=labels[0])
    return ""


def files_problem(algorithm, parameters, context):
    """What model and series files say that does not fit, as a sentence, or ''."""
    try:
        model = None
        if algorithm.parameterDefinition("MODEL") is not None:
            model = model_facts(algorithm.parameterAsString(parameters, "MODEL", context))
        for name in ("SERIES", "TARGET_SERIES"):
            paths = files(algorithm, parameters, name, context) if algorithm.parameterDefinition(name) else []
            for path in paths:
                series = series_facts(path)
                why = missing_bands(model, series) if model is not None else ""
                if why:
                    return f"{algorithm.parameterDefinition(name).description()}: {why}"
    except FactsError as error:
        return str(error)
    return ""


def region_values(algorithm, parameters, context, feedback):
    """Fields of the engine's job, layers of both regions among them."""
    fields = engine_values(algorithm, parameters, context)
    for name, parcels, field in INSTEAD:
        column = fields.pop(name.lower(), None)
        if column and not parameters.get(parcels):
            fields[field] = column
    for name in ("REGION", "TARGET_PARCELS"):
        if algorithm.parameterDefinition(name) is not None:
            fields[name.lower()] = vector_source(algorithm, parameters, name, context, feedback)
    if algorithm.parameterDefinition("EXTENT") is not None and not fields["region"]:
        fields["region"] = extent_string(algorithm, parameters, "EXTENT", context)
    if algorithm.parameterDefinition("PARCELS") is not None:
        parcels = vector_source(algorithm, parameters, "PARCELS", context, feedback)
        if parcels:
            further = vector_sources(algorithm, parameters, "MORE_PARCELS", context, feedback)
            fields["parcels"] = [parcels, *further]
    return {name: value for name, value in fields.items() if value != ""}
