"""The provider as QGIS sees it."""

import configparser

import pytest
from qgis.core import (
    QgsApplication,
    QgsProcessingAlgorithm,
    QgsProcessingModelAlgorithm,
    QgsProcessingParameterDefinition,
)


@pytest.fixture
def plugin(qgis_app):
    import sits_qgis

    plugin = sits_qgis.classFactory(None)
    plugin.initProcessing()
    yield plugin
    plugin.unload()


def provider():
    return QgsApplication.processingRegistry().providerById("sits")


def test_it_comes_and_goes(plugin):
    assert provider() is not None
    plugin.initProcessing()  # initGui calls it again
    assert provider() is plugin.provider
    plugin.unload()
    assert provider() is None


def test_identity(plugin, staged):
    manifest = configparser.ConfigParser(interpolation=None)
    manifest.read(staged / "metadata.txt", encoding="utf-8")
    assert provider().id() == "sits"
    assert provider().longName().endswith(manifest["general"]["version"])
    assert provider().supportsNonFileBasedOutput() is False
    assert provider().defaultRasterFileExtension() == "tif"
    assert provider().defaultVectorFileExtension(True) == "gpkg"


def test_every_algorithm_keeps_the_rules(plugin):
    algorithms = provider().algorithms()
    assert {"setupengine", "enginestatus"} <= {a.name() for a in algorithms}
    for algorithm in algorithms:
        if isinstance(algorithm, QgsProcessingModelAlgorithm):
            continue  # a graphical model: its inputs are those of several algorithms
        name = algorithm.name()
        assert name.isascii(), name
        assert name.isalnum(), name
        assert name == name.lower()
        title = algorithm.displayName()
        assert title[0].isupper(), title
        assert all(word in (word.lower(), word.upper()) for word in title.split(" ")[1:]), title
        assert algorithm.group()
        assert algorithm.groupId()
        assert len(algorithm.tags()) >= 3, name
        assert algorithm.shortDescription(), name
        assert "<" in algorithm.shortHelpString() or len(algorithm.shortHelpString()) > 100, name
        assert not algorithm.flags() & QgsProcessingAlgorithm.Flag.FlagNoThreading, name
        visible = [
            p
            for p in algorithm.parameterDefinitions()
            if not p.flags() & QgsProcessingParameterDefinition.Flag.FlagAdvanced
        ]
        most = 10 if name in ("adapttoregion", "compareadaptation") else 6  # those ask for two regions
        assert len(visible) <= most, (name, [p.name() for p in visible])
        for parameter in algorithm.parameterDefinitions():
            assert parameter.name() == parameter.name().upper()
            assert parameter.help(), (name, parameter.name())
        # QGIS makes a fresh instance of each run.
        assert type(algorithm.create()) is type(algorithm)
