"""Source and target of the algorithms that adapt: what a dialog refuses, and what the engine gets."""

import pytest
from inputs import layer, model, series
from qgis.core import (
    QgsProcessingException,
    QgsProcessingFeatureSourceDefinition,
    QgsVectorLayer,
)
from recording import Recording


@pytest.fixture
def made(engine_there):
    """`made("adapttoregion")`: the algorithm, on a machine with an engine."""
    from sits_qgis.processing_algorithms import ALGORITHMS

    def make(job):
        algorithm = next(one for one in ALGORITHMS if getattr(one, "JOB", "") == job)()
        algorithm.initAlgorithm()
        return algorithm

    return make


@pytest.fixture
def given(tmp_path, context):
    """A whole source and a target of images."""
    return {
        "MODEL": model(tmp_path / "m.safetensors"),
        "SERIES": [series(tmp_path / "source.json")],
        "PARCELS": layer("parcels").id(),
        "FIELD": "crop",
        "TARGET_SERIES": [series(tmp_path / "target.json")],
        "OUTPUT": str(tmp_path / "adapted.safetensors"),
        "REPORT": str(tmp_path / "report.html"),
    }


def without(given, *names):
    return {key: value for key, value in given.items() if key not in names}


def refused(algorithm, parameters, context):
    ok, why = algorithm.checkParameterValues(parameters, context)
    assert not ok
    return why


def test_a_whole_source_and_images_of_the_target_are_enough(made, given, context):
    assert made("adapttoregion").checkParameterValues(given, context) == (True, "")


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        (("SERIES",), "give both"),
        (("PARCELS", "FIELD"), "give both"),
        (("FIELD",), "Choose the field of the source parcels"),
        (("SERIES", "PARCELS", "FIELD"), "Give the source"),
        (("TARGET_SERIES",), "Give the target"),
    ],
)
def test_what_is_missing_is_named(made, given, context, missing, words):
    assert words in refused(made("adapttoregion"), without(given, *missing), context)


def test_a_table_takes_the_place_of_the_images_of_the_target(made, given, context, tmp_path):
    table = tmp_path / "target.csv"
    table.write_text("id,date,B02,B04\n", encoding="utf-8")
    alone = without(given, "TARGET_SERIES") | {"TARGET_TABLE": str(table)}
    assert made("adapttoregion").checkParameterValues(alone, context) == (True, "")
    region = {**alone, "REGION": layer("farmland").id()}
    why = refused(made("adapttoregion"), region, context)
    assert why == "'Target: region of interest' needs the image time series of the target."


def test_parcels_a_region_and_an_extent_exclude_each_other(made, given, context):
    box = "0,3,0,3 [EPSG:32631]"
    for name, other in (("REGION", "TARGET_PARCELS"), ("REGION", "EXTENT"), ("EXTENT", "TARGET_PARCELS")):
        both = {key: box if key == "EXTENT" else layer(key).id() for key in (name, other)}
        assert "Give only one of 'Target: " in refused(made("estimatetemporalshift"), given | both, context)


def test_an_extent_is_a_region(made, given, context):
    given["EXTENT"] = "0,3,0,3 [EPSG:32631]"
    fields = made("adapttoregion").jobParameters(given, context, Recording())
    assert fields["region"] == "0.0,3.0,0.0,3.0 [EPSG:32631]"
    assert "extent" not in fields


@pytest.mark.parametrize("name", ["SERIES", "TARGET_SERIES"])
def test_a_series_without_the_bands_of_the_model_is_named(made, given, context, tmp_path, name):
    given[name] = [series(tmp_path / "poor.json", ("B02", "B08"))]
    who = {"SERIES": "Source", "TARGET_SERIES": "Target"}[name]
    why = refused(made("adapttoregion"), given, context)
    assert why.startswith(f"{who}: image time series: The series lacks B04")


def test_a_file_that_is_no_model_is_refused_by_the_estimate_too(made, given, context, tmp_path):
    bad = tmp_path / "checkpoint.pt"
    bad.write_bytes(b"PK\x03\x04")
    parameters = {"MODEL": str(bad), "TARGET_SERIES": given["TARGET_SERIES"], "REPORT": given["REPORT"]}
    assert "is no model of SITS" in refused(made("estimatetemporalshift"), parameters, context)


def test_a_comparison_needs_labels_of_the_target(made, given, context):
    given = without(given, "MODEL", "OUTPUT")
    compare = made("compareadaptation")
    assert "scored with them" in refused(compare, given, context)
    given["TARGET_PARCELS"] = layer("theirs").id()
    assert "field of the target parcels" in refused(compare, given, context)
    given["TARGET_FIELD"] = "crop"
    assert compare.checkParameterValues(given, context) == (True, "")


def test_the_engine_gets_what_was_selected_and_no_label_of_the_target(made, given, context):
    theirs = layer("theirs", ("", "", ""))
    theirs.selectByIds([2])
    given |= {
        "TARGET_PARCELS": QgsProcessingFeatureSourceDefinition(theirs.id(), True),
        "REGION": layer("farmland", ("",)).id(),
        "SHIFT": 0,
        "MORE_PARCELS": [layer("further").id()],
    }
    fields = made("adapttoregion").jobParameters(given, context, Recording())
    assert QgsVectorLayer(fields["target_parcels"], "x", "ogr").featureCount() == 1
    assert QgsVectorLayer(fields["region"], "x", "ogr").featureCount() == 1
    assert len(fields["parcels"]) == 2
    assert fields["field"] == "crop"
    assert fields["shift"] == 0, "a shift of 0 days is known, not missing"
    assert fields["method"] == "timematch"
    assert (fields["series"], fields["target_series"]) == (given["SERIES"], given["TARGET_SERIES"])
    assert (
        fields.keys() & {"target_field", "more_parcels", "epochs", "learning_rate", "labels_field"} == set()
    )


def test_an_empty_selection_in_the_target_says_so(made, given, context):
    given["TARGET_PARCELS"] = QgsProcessingFeatureSourceDefinition(layer("theirs").id(), True)
    with pytest.raises(QgsProcessingException, match="'theirs' has no features"):
        made("adapttoregion").jobParameters(given, context, Recording())


def test_columns_of_tables_stand_in_for_fields_of_parcels(made, given, context):
    columns = {"LABELS_FIELD": "croptype", "TARGET_LABELS_FIELD": "kultur"}
    bare = without(given, "PARCELS", "FIELD", "SERIES") | columns
    fields = made("adapttoregion").jobParameters(bare, context, Recording())
    assert (fields["field"], fields["target_field"]) == ("croptype", "kultur")
    fields = made("adapttoregion").jobParameters(given | columns, context, Recording())
    assert fields["field"] == "crop", "parcels have a field of their own"


def test_methods_are_words_in_a_list(made, given, context):
    compare = made("compareadaptation")
    for methods in (["shift", "mmd"], "shift,mmd"):
        fields = compare.jobParameters({**given, "METHODS": methods}, context, Recording())
        assert fields["methods"] == ["shift", "mmd"], methods
    assert "methods" not in compare.jobParameters(given, context, Recording())


def test_published_data_come_in_pairs_and_need_no_regions_of_ones_own(made, context, tmp_path):
    compare = made("compareadaptation")
    given = {"PUBLISHED_SOURCE": str(tmp_path), "REPORT": str(tmp_path / "r.html")}
    assert "come in pairs" in refused(compare, given, context)
    given["PUBLISHED_TARGET"] = str(tmp_path)
    assert "class mapping" in refused(compare, given, context)
    given["CLASS_MAPPING_SOURCE"] = str(tmp_path / "classes.csv")
    assert compare.checkParameterValues(given, context) == (True, "")
    fields = compare.jobParameters(given, context, Recording())
    assert fields["published_target"] == str(tmp_path)
    assert fields.keys() & {"series", "parcels", "max_pixels"} == set()
