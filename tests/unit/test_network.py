"""Proxy and credentials of QGIS, as the engine gets them."""

import pytest
from qgis.core import (
    QgsApplication,
    QgsAuthMethodConfig,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsSettings,
)


@pytest.fixture
def settings(qgis_app):
    settings = QgsSettings()
    yield settings
    settings.remove("proxy")


def test_no_proxy(settings):
    from sits_qgis.network import proxy_variables

    assert proxy_variables() == {}


def test_the_proxy_of_qgis(settings):
    from sits_qgis.network import proxy_variables

    for name, value in {
        "proxyEnabled": True,
        "proxyType": "HttpProxy",
        "proxyHost": "proxy.lan",
        "proxyPort": "3128",
        "proxyUser": "a b",
        "proxyPassword": "p@ss",
        "noProxyUrls": ["https://intern.lan/x"],
    }.items():
        settings.setValue("proxy/" + name, value)
    found = proxy_variables()
    assert found["HTTPS_PROXY"] == found["http_proxy"] == "http://a%20b:p%40ss@proxy.lan:3128"
    assert found["NO_PROXY"] == "localhost,127.0.0.1,intern.lan"
    settings.setValue("proxy/proxyEnabled", False)
    assert proxy_variables() == {}


@pytest.fixture
def catalogue(qgis_app):
    """Id of a configuration in the authentication store (that of the tests' own profile)."""
    manager = QgsApplication.authManager()
    assert manager.setMasterPassword("master", False)
    config = QgsAuthMethodConfig("Basic")
    config.setName("catalogue")
    config.setConfig("username", "me")
    config.setConfig("password", "secret word")
    stored = manager.storeAuthenticationConfig(config)
    config = stored[1] if isinstance(stored, tuple) else config
    yield config.id()
    manager.removeAuthenticationConfig(config.id())


#: base64 of "me:secret word"
HEADER = "Authorization: Basic bWU6c2VjcmV0IHdvcmQ="


def test_the_job_gets_the_header_and_not_the_configuration(catalogue, tmp_path):
    from sits_qgis.processing_algorithms.buildtimeseries import BuildTimeSeries

    algorithm = BuildTimeSeries()
    algorithm.initAlgorithm()
    given = {"STAC": "https://localhost/stac", "OUTPUT": str(tmp_path / "s.json"), "AUTH_CONFIG": catalogue}
    fields = algorithm.jobParameters(given, QgsProcessingContext(), QgsProcessingFeedback())
    assert fields["auth_header"] == HEADER
    assert "auth_config" not in fields
    del given["AUTH_CONFIG"]
    assert "auth_header" not in algorithm.jobParameters(
        given, QgsProcessingContext(), QgsProcessingFeedback()
    )


def test_credentials_become_a_header(catalogue):
    from sits_qgis.network import auth_header

    assert auth_header(catalogue) == HEADER
    assert auth_header("") == ""
    with pytest.raises(QgsProcessingException, match="no authentication configuration 'abc1234'"):
        auth_header("abc1234")
