"""What 'Retrieve photos' and 'Evaluate photo model' hand to the engine, and how found photos look."""

import os

import pytest
from inputs import layer, model, series
from qgis.core import (
    QgsExpression,
    QgsExpressionContext,
    QgsExpressionContextUtils,
    QgsFeature,
    QgsGeometry,
    QgsPointXY,
    QgsVectorFileWriter,
    QgsVectorLayer,
)
from recording import Recording

FIELDS = (
    "field=query:string&field=rank:integer&field=similarity:double&field=photo:string&field=photo_there:bool"
    "&field=place:string&field=distance_m:double&field=date:date&field=direction:string"
)


@pytest.fixture
def algorithms(engine_there):
    """Both, on a machine with an engine."""
    from sits_qgis.processing_algorithms.evaluatephotomodel import EvaluatePhotoModel
    from sits_qgis.processing_algorithms.retrievephotos import RetrievePhotos

    made = RetrievePhotos(), EvaluatePhotoModel()
    for one in made:
        one.initAlgorithm()
    return made


@pytest.fixture
def given(tmp_path):
    return {
        "SERIES": series(tmp_path / "a.json"),
        "MODEL": model(tmp_path / "m.safetensors"),
        "PLACES": layer("places").id(),
        "OUTPUT": str(tmp_path / "f.gpkg"),
    }


def write_found(path, photos):
    """A layer as the engine writes it."""
    memory = QgsVectorLayer(f"Point?crs=EPSG:4326&{FIELDS}", "photos", "memory")
    rows = []
    for rank, (photo, there) in enumerate(photos, start=1):
        feature = QgsFeature(memory.fields())
        feature.setAttributes(["Hof", rank, 0.4321, photo, there, "p", 1250.0 * rank, None, "N"])
        feature.setGeometry(QgsGeometry.fromPointXY(QgsPointXY(4, 50)))
        rows.append(feature)
    memory.dataProvider().addFeatures(rows)
    options = QgsVectorFileWriter.SaveVectorOptions()
    options.driverName = "GPKG"
    QgsVectorFileWriter.writeAsVectorFormatV3(memory, str(path), memory.transformContext(), options)
    return str(path)


def tips(path, strict):
    """What the map tip of each feature says, after the style was loaded."""
    from sits_qgis.processing_algorithms import foundphotos, styling

    foundphotos.style_found(path, strict)
    found = QgsVectorLayer(path, "photos", "ogr")
    found.loadNamedStyle(styling.side_car(path))
    out = []
    for feature in found.getFeatures():
        context = QgsExpressionContext(QgsExpressionContextUtils.globalProjectLayerScopes(found))
        context.setFeature(feature)
        out.append(QgsExpression.replaceExpressionText(found.mapTipTemplate(), context))
    return found, out


def test_map_tips_show_the_photo_whatever_its_name(qgis_app, tmp_path, strict):
    names = ["/Fotos/Wiese ä 50%#1.jpg", "C:\\Bilder\\a.jpg", "/gone.jpg"]
    found, said = tips(
        write_found(tmp_path / "gefunden.gpkg", [(names[0], 1), (names[1], 1), (names[2], 0)]), strict
    )
    assert 'src="file:///Fotos/Wiese%20ä%2050%25%231.jpg"' in said[0]
    assert 'src="file:///C:/Bilder/a.jpg"' in said[1]
    assert "<img" not in said[2]
    assert "/gone.jpg" in said[2]
    assert "<b>Hof</b>, 1. (similarity 0.432)" in said[0]
    assert "1.3 km, N" in said[0] or "1.2 km, N" in said[0]
    assert "2.5 km" in said[1]
    assert found.labelsEnabled()


def test_ranks_have_looks_of_their_own(qgis_app, tmp_path, strict):
    found, _ = tips(write_found(tmp_path / "f.gpkg", [("/a.jpg", 1)] * 6), strict)
    renderer = found.renderer()
    assert [str(category.value()) for category in renderer.categories()] == ["1", "2", "3", "4"]
    sizes = [category.symbol().size() for category in renderer.categories()]
    assert sizes == sorted(sizes, reverse=True)
    expression = QgsExpression(renderer.classAttribute())
    context = QgsExpressionContext(QgsExpressionContextUtils.globalProjectLayerScopes(found))
    drawn = []
    for feature in found.getFeatures():
        context.setFeature(feature)
        drawn.append(expression.evaluate(context))
    assert drawn == [1, 2, 3, 4, 4, 4]


def test_a_layer_of_photos_and_an_index_reach_the_engine(algorithms, given, context, tmp_path):
    retrieve, _ = algorithms
    given |= {"PHOTOS": layer("photos").id(), "INDEX": str(tmp_path / "index"), "DATE_FROM": "2018-05-01"}
    assert retrieve.checkParameterValues(given, context) == (True, "")
    found = retrieve.jobParameters(given, context, Recording())
    assert found["index"] == str(tmp_path / "index")
    assert found["date_from"] == "2018-05-01"
    assert os.path.exists(found["photos"].split("|")[0])
    assert {key: found[key] for key in ("k", "steps", "search")} == {"k": 6, "steps": "12", "search": "auto"}
    assert "photo_region" not in found


def test_a_folder_of_photos_instead_of_a_layer(algorithms, given, context, tmp_path):
    retrieve, _ = algorithms
    given["PHOTO_SOURCE"] = str(tmp_path)
    assert retrieve.checkParameterValues(given, context) == (True, "")
    found = retrieve.jobParameters(given, context, Recording())
    assert found["photos"] == str(tmp_path)
    assert "photo_source" not in found


def test_photos_are_needed_once(algorithms, given, context, tmp_path):
    retrieve, _ = algorithms
    ok, why = retrieve.checkParameterValues(given, context)
    assert not ok
    assert "Choose photos" in why
    given |= {"PHOTOS": layer("photos").id(), "PHOTO_SOURCE": str(tmp_path)}
    ok, why = retrieve.checkParameterValues(given, context)
    assert not ok
    assert "twice" in why


def test_evaluation_asks_for_images_photos_and_a_class(algorithms, given, context, tmp_path):
    _, evaluate = algorithms
    asked = {"MODEL": given["MODEL"], "REPORT": str(tmp_path / "r.html")}
    for more, words in (
        ({}, "one of both"),
        ({"SERIES": [given["SERIES"]]}, "Choose photos"),
        ({"PHOTOS": layer("photos").id()}, "field with the class"),
        ({"LABEL_NAME": "lc1"}, None),
    ):
        asked |= more
        ok, why = evaluate.checkParameterValues(asked, context)
        assert ok == (words is None), why
        assert words is None or words in why
    found = evaluate.jobParameters(asked, context, Recording())
    assert found["series"] == [given["SERIES"]]
    assert found["label_field"] == "lc1"
    assert "label_name" not in found
    assert "tasks" not in found
    asked |= {"TASKS": ["crops", "land_use"]}
    assert evaluate.jobParameters(asked, context, Recording())["tasks"] == ["crops", "land_use"]
