import datetime

import numpy as np
import pytest
import shapely
from support.photo_index import photo_table, unit

from sits_engine.errors import InputError
from sits_engine.retrieval import index as module
from sits_engine.retrieval.index import PhotoIndex


def made(n=300, dim=32, search="exact", clip=None, **table):
    vectors = unit(np.random.default_rng(1), n, dim)
    return PhotoIndex.build(vectors, photo_table(n, **table), clip or {}, search), vectors


def test_exact_search_agrees_with_all_cosines(clip):
    index, vectors = made(clip=clip)
    queries = unit(np.random.default_rng(2), 7, 32)
    hits = index.search(queries, 5)
    cosines = queries @ vectors.T
    expected = np.argsort(-cosines, axis=1)[:, :5]
    assert hits.rows.tolist() == expected.tolist()
    np.testing.assert_allclose(hits.similarity, np.take_along_axis(cosines, expected, 1), atol=2e-4)


def test_fewer_photos_than_asked_for_end_in_minus_one(clip):
    index, vectors = made(n=3, clip=clip)
    hits = index.search(vectors[:1], 5)
    assert hits.rows[0, 0] == 0
    assert hits.rows[0, 3:].tolist() == [-1, -1]
    assert np.isnan(hits.similarity[0, 3:]).all()
    assert np.isfinite(hits.similarity[0, :3]).all()


@pytest.mark.parametrize("search", ["exact", "cells"])
def test_only_chosen_photos_are_found(search, clip):
    index, vectors = made(search=search, clip=clip)
    among = np.zeros(300, bool)
    among[[3, 17, 250]] = True
    hits = index.search(vectors[[3, 100]], 4, among=among)
    assert set(hits.rows.ravel().tolist()) <= {3, 17, 250, -1}
    assert hits.rows[0, 0] == 3
    assert (hits.rows[:, 3] == -1).all()
    nothing = index.search(vectors[:1], 2, among=np.zeros(300, bool))
    assert nothing.rows.tolist() == [[-1, -1]]


def test_cells_are_used_above_the_stated_size_and_find_nearly_all(monkeypatch, clip):
    assert made(search="auto", clip=clip)[0].kind == "exact"
    monkeypatch.setattr(module, "MOST_EXACT", 1000)
    rng = np.random.default_rng(0)
    centres = unit(rng, 40, 16)
    vectors = centres[rng.integers(40, size=4000)] + 0.3 * unit(rng, 4000, 16)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    cells = PhotoIndex.build(vectors, photo_table(4000), clip)
    exact = PhotoIndex.build(vectors, photo_table(4000), clip, "exact")
    assert (cells.kind, exact.kind) == ("cells", "exact")
    queries = vectors[::97]
    found, right = cells.search(queries, 10).rows, exact.search(queries, 10).rows
    shared = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found.tolist(), right.tolist(), strict=True)])
    assert shared > 0.9


def test_filter_by_region_and_dates(clip):
    days = [None, *(datetime.date(2018, month, 15) for month in range(1, 12))]
    index, _ = made(n=12, clip=clip, days=days)
    inside = index.chosen(dates=(datetime.date(2018, 3, 15), datetime.date(2018, 5, 15)))
    assert np.flatnonzero(inside).tolist() == [3, 4, 5]
    assert np.flatnonzero(index.chosen(dates=(None, datetime.date(2018, 1, 31)))).tolist() == [1]
    west = np.array([shapely.box(2.9, 49, 3.5, 52), shapely.box(100, 0, 101, 1)], dtype=object)
    assert np.flatnonzero(index.chosen(west)).tolist() == [0, 1, 2, 3, 4, 5]
    both = index.chosen(west, (datetime.date(2018, 4, 1), None))
    assert np.flatnonzero(both).tolist() == [4, 5]
    assert index.chosen() is None
    assert index.table.day(0) is None
    assert index.table.day(3) == datetime.date(2018, 3, 15)


def test_dates_before_1970_are_kept(clip):
    index, _ = made(n=1, clip=clip, days=[datetime.date(1951, 7, 3)])
    assert index.table.day(0) == datetime.date(1951, 7, 3)


def test_queries_of_another_length_are_refused(clip):
    index, _ = made(clip=clip)
    with pytest.raises(InputError, match="16 numbers, the photos of the index 32"):
        index.search(np.zeros((1, 16), np.float32), 3)


def test_no_photo_is_an_error(clip):
    with pytest.raises(InputError, match="no photo"):
        PhotoIndex.build(np.empty((0, 8), np.float32), photo_table(0), clip)
