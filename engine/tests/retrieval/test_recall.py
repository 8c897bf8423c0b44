import itertools

import numpy as np
import pytest
from support.photo_index import unit

from sits_engine.retrieval.recall import chance_at, nearest, recall_at


def test_same_class_among_the_first_k():
    gallery = np.eye(4, dtype=np.float32)
    queries = np.array([[0.9, 0.4, 0.1, 0.0], [0.1, 0.2, 0.3, 0.9]], np.float32)
    found = nearest(queries, gallery, 3)
    assert found.tolist() == [[0, 1, 2], [3, 2, 1]]
    marks = np.array([0, 1, 0, 2])
    assert recall_at(found, np.array([1, 1]), marks, (1, 2, 3)) == {1: 0.0, 2: 0.5, 3: 1.0}


def test_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    queries, gallery = unit(rng, 50, 8), unit(rng, 70, 8)
    whole = nearest(queries, gallery, 10)
    assert whole.tolist() == np.argsort(-(queries @ gallery.T), axis=1)[:, :10].tolist()
    monkeypatch.setattr("sits_engine.retrieval.recall.ROWS", 7)
    assert nearest(queries, gallery, 10).tolist() == whole.tolist()


def test_alike_vectors_are_no_better_than_chance():
    marks = np.repeat(np.arange(10), 40)
    same = np.ones((400, 3), np.float32)
    found = nearest(same, same, 1)
    assert recall_at(found, marks, marks, (1,))[1] == pytest.approx(
        chance_at(marks, marks, (1,))[1], abs=1e-9
    )


def test_chance_is_the_share_of_draws_that_hit():
    gallery, wanted = np.array([0, 0, 1, 2, 2, 2]), np.array([0, 1, 1, 2])
    found = chance_at(wanted, gallery, (1, 2, 3, 9))
    for k in (1, 2, 3):
        draws = list(itertools.combinations(range(6), k))
        hits = [np.mean([(gallery[list(d)] == w).any() for d in draws]) for w in wanted]
        assert found[k] == pytest.approx(np.mean(hits))
    assert found[9] == pytest.approx(1.0)
