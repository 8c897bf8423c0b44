from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from networks import pixel_sets

from sits_engine.errors import InputError
from sits_engine.samples.for_model import with_model_classes, with_report_labels

CARD = SimpleNamespace(
    classes=[
        SimpleNamespace(name="wheat", codes=["7", "8"]),
        SimpleNamespace(name="maize", codes=["1"]),
        SimpleNamespace(name="rice", codes=[]),
    ]
)


def coded(codes, labels):
    sets = pixel_sets([2] * len(labels))
    return dataclasses.replace(sets, classes=tuple(codes), labels=np.array(labels, dtype=np.int64))


def test_codes_become_the_models_classes_in_its_order() -> None:
    sets = coded(["1", "8", "9", "rice", "7"], [0, 1, 2, 3, 4, -1, 2])
    found, notes = with_model_classes(sets, CARD)
    assert found.classes == ("wheat", "maize", "rice")
    assert found.labels.tolist() == [1, 0, 2, 0]
    assert found.ids.tolist() == ["0", "1", "3", "4"]
    assert notes == ["2 samples have labels that are no class of the model and were dropped: 9 (2)."]


def test_names_stand_in_for_codes() -> None:
    found, notes = with_model_classes(coded(["maize", "rice", "wheat"], [0, 1, 2]), CARD)
    assert found.labels.tolist() == [1, 2, 0]
    assert notes == []


def test_nothing_fits_and_a_class_without_samples_name_both_lists() -> None:
    with pytest.raises(
        InputError, match=r"No sample has a class of the model\. Labels: oats; .* wheat, maize"
    ):
        with_model_classes(coded(["oats"], [0, 0]), CARD)
    with pytest.raises(
        InputError, match=r"no sample of rice\. Labels: 1, 7; the model's classes: wheat, maize"
    ):
        with_model_classes(coded(["1", "7"], [0, 1]), CARD)
    with pytest.raises(InputError, match=r"No sample has a class of the model\. Labels: none"):
        with_model_classes(coded([], [-1, -1]), CARD)


def test_labels_for_a_report_keep_every_set() -> None:
    found, foreign, notes = with_report_labels(coded(["1", "oats", "rye", "8"], [0, 1, -1, 2, 3]), CARD)
    assert found.classes == ("wheat", "maize", "rice")
    assert found.labels.tolist() == [1, -1, -1, -1, 0]
    assert foreign == 2
    assert "2 samples have labels that are no class of the model and are left out of the scores" in notes[0]
    nothing, foreign, notes = with_report_labels(coded([], [-1, -1]), CARD)
    assert nothing.classes == ()
    assert (foreign, notes) == (0, [])
