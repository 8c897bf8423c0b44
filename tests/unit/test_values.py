"""Values of parameters that QGIS has in several forms."""

import pytest
from qgis.core import QgsProcessingContext
from recording import Recording


@pytest.fixture
def train(engine_there, monkeypatch):
    """'Train source model' on a QGIS that gives [''] for a missing list of files, as 3.22 does."""
    from sits_qgis.processing_algorithms.trainsourcemodel import TrainSourceModel

    algorithm = TrainSourceModel()
    algorithm.initAlgorithm()
    monkeypatch.setattr(
        TrainSourceModel, "parameterAsFileList", lambda self, given, name, context: given.get(name) or [""]
    )
    return algorithm


def test_labelled_series_alone_are_enough(train, tmp_path):
    given = {"LABELLED_SERIES": str(tmp_path / "a.csv"), "OUTPUT": str(tmp_path / "m.safetensors")}
    for series in ({}, {"SERIES": None}, {"SERIES": ""}, {"SERIES": []}):
        assert train.checkParameterValues({**given, **series}, QgsProcessingContext()) == (True, ""), series
        assert "series" not in train.jobParameters({**given, **series}, QgsProcessingContext(), Recording())


def test_neither_table_nor_series_is_refused(train, tmp_path):
    ok, why = train.checkParameterValues({"OUTPUT": str(tmp_path / "m.safetensors")}, QgsProcessingContext())
    assert not ok
    assert "or a table of labelled series" in why
