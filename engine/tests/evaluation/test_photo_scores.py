import numpy as np
import pytest
from golden import load
from support.photo_index import unit

from sits_engine.evaluation.photo_scores import confusions, pooled, recalls, table_rows, zero_shot


def test_accuracies_and_confusion():
    classes = np.eye(3, dtype=np.float32)
    images = np.eye(3, dtype=np.float32)[[0, 0, 0, 1, 2, 0, 1]]
    labels = np.array([0, 0, 0, 1, 1, 2, -1])
    raw, transductive = zero_shot(images, classes, labels, task="crops", steps=12, prompts="name")
    assert (raw.scoring, transductive.scoring) == ("raw", "normalised")
    assert raw.n == 6
    assert raw.accuracy == pytest.approx(4 / 6)
    assert raw.mean_class == pytest.approx((1 + 0.5 + 0) / 3)
    assert (raw.chance, raw.majority) == (pytest.approx(1 / 3), pytest.approx(0.5))
    assert raw.confusion.tolist() == [[3, 0, 0], [0, 1, 1], [1, 0, 0]]
    assert confusions(raw, ["a", "b", "c"]) == [("b", "c", 1, 0.5), ("c", "a", 1, 1.0)]


def test_a_class_without_places_counts_for_chance_and_not_for_the_mean():
    images = np.eye(3, dtype=np.float32)[[0, 1]]
    raw, _ = zero_shot(
        images, np.eye(3, dtype=np.float32), np.array([0, 1]), task="t", steps=1, prompts="name"
    )
    assert (raw.accuracy, raw.mean_class, raw.chance) == (1.0, 1.0, pytest.approx(1 / 3))


def test_published_numbers():
    held = load("timesenclip_zeroshot")
    images = held["inputs"]["image_embeddings"].numpy()
    images = images / np.linalg.norm(images, axis=1, keepdims=True)
    classes = held["outputs"]["class_embeddings"].numpy()
    labels = held["inputs"]["labels"].numpy()
    raw, transductive = zero_shot(images, classes, labels, task="t", steps=12, prompts="name")
    assert raw.accuracy == pytest.approx(float(held["outputs"]["top1"]))
    assert transductive.accuracy == pytest.approx(float(held["outputs"]["top1_normalised"]))


def test_recall_of_classes_and_places_in_both_directions():
    rng = np.random.default_rng(1)
    photos = unit(rng, 60, 8)
    labels = np.repeat([0, 1, 2], 20)
    labels[::10] = -1
    found = {(r.what, r.direction): r for r in recalls(photos, photos, {"crops": labels}, 12)}
    assert set(found) == {(w, d) for w in ("crops", "place") for d in ("to_photos", "to_images")}
    assert found["place", "to_photos"].at == {1: 1.0, 5: 1.0, 10: 1.0}
    assert found["place", "to_images"].chance[5] == pytest.approx(5 / 60)
    assert (found["crops", "to_photos"].n, found["place", "to_photos"].n) == (54, 60)
    assert found["crops", "to_images"].at[1] == 1.0  # its own place stays in the gallery
    blind = {(r.what, r.direction): r for r in recalls(unit(rng, 60, 8), photos, {"crops": labels}, 1)}
    assert blind["crops", "to_photos"].at[1] == pytest.approx(blind["crops", "to_photos"].chance[1], abs=0.2)
    rows = table_rows([], list(found.values()))
    assert len(rows) == 12
    assert {row["k"] for row in rows} == {1, 5, 10}


def test_pooled_photos_have_unit_length():
    vectors = np.array([[1, 0], [0, 1], [0, 2]], np.float32)
    out = pooled(vectors, np.array([0, 0, 2]), 3)
    np.testing.assert_allclose(out, [[0.5**0.5, 0.5**0.5], [0, 0], [0, 1]], atol=1e-6)
