"""The 32 photos of the LUCAS survey: read in every way, embedded once (a small CLIP of random weights)."""

import numpy as np
import pytest
from support.tiny_clip import tiny_clip

from sits_engine.device import select
from sits_engine.models.clip import ClipEncoder, photo_vectors
from sits_engine.samples.photos import PhotoReading, read_photos


@pytest.fixture(scope="module")
def lucas(real_data):
    return real_data("lucas_photos")


@pytest.mark.parametrize("source", ["photos.csv", "photos.gpkg", "photos"])
def test_every_way_to_read_them_agrees(lucas, source):
    found = read_photos(str(lucas / source))
    assert len(found.paths) == 32
    assert sorted(np.bincount(found.place).tolist()) == [1, 1, 6, 6, 6, 6, 6]
    assert found.warnings == ()
    table = read_photos(str(lucas / "photos.csv"), PhotoReading(place_field="point_id"))
    wanted = {path.name: table.xy[place] for path, place in zip(table.paths, table.place, strict=True)}
    for path, place in zip(found.paths, found.place, strict=True):
        np.testing.assert_allclose(found.xy[place], wanted[path.name], atol=1e-6)


def test_labels_and_directions(lucas):
    found = read_photos(
        str(lucas / "photos.gpkg"), PhotoReading(place_field="point_id", label_fields=("lc1", "lc1_label"))
    )
    crops = dict(zip(found.ids.tolist(), found.labels["lc1_label"].tolist(), strict=True))
    assert crops["38023114"] == "Maize"
    assert crops["31603628"] == "Shrubland with sparse tree cover"
    assert set(found.directions) == {"N", "E", "S", "W", "P", "C"}
    assert {day.year for day in found.taken if day} == {2006, 2009, 2015, 2018}


def test_they_pass_through_the_encoder_once(lucas, tmp_path):
    encoder = ClipEncoder.open(tiny_clip(tmp_path / "clip"), select("cpu"))
    paths = read_photos(str(lucas / "photos.csv")).paths
    found = photo_vectors(encoder, paths)
    assert found.vectors.shape == (32, 16)
    assert found.problems == []
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1, atol=1e-5)
    fresh = ClipEncoder.open(tmp_path / "clip", select("cpu"))
    np.testing.assert_array_equal(photo_vectors(fresh, paths).vectors, found.vectors)
    assert fresh._parts == {}  # nothing was loaded: all came from the cache
