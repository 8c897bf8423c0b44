import geopandas as gpd
import numpy as np
import pytest
from shapely.geometry import Point, box
from support.photo_series import lonlat, satellite_card, satellite_encoder, year_series

from sits_engine.device import select
from sits_engine.errors import InputError
from sits_engine.models.photo_inference import EmbeddingPredictor
from sits_engine.retrieval import queries as module
from sits_engine.retrieval.queries import embed_places
from sits_engine.samples.composites import cut_composites
from sits_engine.samples.vectors import Labelled


@pytest.fixture(scope="module")
def predictor():
    encoder = satellite_encoder()
    return EmbeddingPredictor(encoder, satellite_card(encoder), select("cpu"))


def places(series, *shapes) -> Labelled:
    """Shapes given in pixels (column, row) of the series."""
    a, e, c, f = (getattr(series.grid.transform, name) for name in "aecf")
    moved = [gpd.GeoSeries([shape]).affine_transform([a, 0, 0, e, c, f]).iloc[0] for shape in shapes]
    ids = [f"q{i}" for i in range(len(shapes))]
    frame = gpd.GeoDataFrame({"id": ids, "code": [None] * len(ids)}, geometry=moved, crs=series.grid.crs)
    return Labelled(frame.to_crs(4326), "places.gpkg")


def direct(series, predictor, rows, cols):
    cut = cut_composites(series, lonlat(series, rows, cols), series.bands, predictor.context)
    return predictor.embed(cut)


def test_points_and_polygons(predictor):
    series = year_series()
    found = embed_places(series, places(series, Point(7.5, 3.5), box(10, 20, 12, 23)), predictor)
    np.testing.assert_allclose(found.vectors[0], direct(series, predictor, [3], [7])[0], atol=1e-5)
    rows, cols = (a.ravel() for a in np.mgrid[20:23, 10:12])
    mean = direct(series, predictor, rows, cols).sum(axis=0)
    np.testing.assert_allclose(found.vectors[1], mean / np.linalg.norm(mean), atol=1e-5)
    assert found.pixels.tolist() == [1, 6]
    np.testing.assert_allclose(found.xy[0], lonlat(series, [3], [7])[0], atol=1e-7)


def test_a_polygon_smaller_than_a_pixel_takes_the_one_under_it(predictor):
    series = year_series()
    found = embed_places(series, places(series, box(7.1, 3.1, 7.3, 3.2)), predictor)
    np.testing.assert_allclose(found.vectors[0], direct(series, predictor, [3], [7])[0], atol=1e-5)


def test_large_polygons_are_thinned_and_parts_change_nothing(predictor, monkeypatch):
    series = year_series()
    asked = places(series, box(0, 0, 20, 20), Point(30.5, 30.5), box(22, 1, 30, 9))
    whole = embed_places(series, asked, predictor, seed=3)
    assert whole.pixels.tolist() == [100, 1, 64]
    assert "1 polygons have more than 100" in whole.notes[-1]
    monkeypatch.setattr(module, "AT_ONCE", 4000)
    np.testing.assert_allclose(
        embed_places(series, asked, predictor, seed=3).vectors, whole.vectors, atol=1e-5
    )
    other = embed_places(series, asked, predictor, seed=4)
    assert np.abs(other.vectors[0] - whole.vectors[0]).max() > 1e-4


def test_only_clear_pixels_count(predictor):
    series = year_series()
    series.clear[:, 20:23, 10] = False
    series.clear[:, 5, 5] = False
    asked = places(series, box(10, 20, 12, 23), Point(5.5, 5.5), Point(500, 5), Point(1.5, 1.5))
    found = embed_places(series, asked, predictor)
    assert found.ids.tolist() == ["q0", "q3"]
    assert found.pixels.tolist() == [3, 1]
    mean = direct(series, predictor, [20, 21, 22], [11, 11, 11]).sum(axis=0)
    np.testing.assert_allclose(found.vectors[0], mean / np.linalg.norm(mean), atol=1e-5)
    assert any("lie outside of the series and were left out: q2" in text for text in found.warnings)
    assert any("were never seen without cloud and were left out: q1" in text for text in found.warnings)


def test_nothing_clear_and_nothing_inside_are_errors(predictor):
    series = year_series()
    with pytest.raises(InputError, match=r"None of the 1 places of places\.gpkg lies in"):
        embed_places(series, places(series, Point(-4, 2)), predictor)
    series.clear[:] = False
    with pytest.raises(InputError, match="was ever clear"):
        embed_places(series, places(series, Point(4.5, 2.5)), predictor)


def test_a_place_at_the_edge_with_context():
    encoder = satellite_encoder(context=3)
    predictor = EmbeddingPredictor(encoder, satellite_card(encoder), select("cpu"))
    series = year_series()
    found = embed_places(series, places(series, Point(0.5, 0.5)), predictor)
    np.testing.assert_allclose(found.vectors[0], direct(series, predictor, [0], [0])[0], atol=1e-5)
