"""Network settings of QGIS for programs outside QGIS."""

from urllib.parse import quote

from qgis.core import QgsApplication, QgsProcessingException, QgsSettings
from qgis.PyQt.QtCore import QUrl
from qgis.PyQt.QtNetwork import QNetworkRequest

from .i18n import tr


def proxy_variables():
    """Environment variables for the proxy of QGIS's settings; {} where QGIS uses none or the system's."""
    settings = QgsSettings()
    if not settings.value("proxy/proxyEnabled", False, type=bool):
        return {}
    kind = settings.value("proxy/proxyType", "", type=str)
    host = settings.value("proxy/proxyHost", "", type=str)
    if kind in ("DefaultProxy", "") or not host:
        return {}
    port = settings.value("proxy/proxyPort", "", type=str)
    user, word = settings.value("proxy/proxyUser", "", type=str), ""
    authcfg = settings.value("proxy/authcfg", "", type=str)
    if authcfg:
        user, word = _credentials(authcfg)
    elif user:
        word = settings.value("proxy/proxyPassword", "", type=str)
    login = f"{quote(user, safe='')}:{quote(word, safe='')}@" if user else ""
    scheme = "socks5" if kind == "Socks5Proxy" else "http"
    address = f"{scheme}://{login}{host}" + (f":{port}" if port else "")
    excluded = settings.value("proxy/noProxyUrls") or settings.value("proxy/proxyExcludedUrls") or []
    if isinstance(excluded, str):
        excluded = excluded.split("|")
    hosts = ["localhost", "127.0.0.1"] + [QUrl(url).host() or url for url in excluded if url]
    variables = {"HTTP_PROXY": address, "HTTPS_PROXY": address, "NO_PROXY": ",".join(hosts)}
    return {**variables, **{name.lower(): value for name, value in variables.items()}}


def _credentials(authcfg):
    """User name and password of an authentication configuration; empty where it can't be opened."""
    from qgis.core import QgsAuthMethodConfig

    config = QgsAuthMethodConfig()
    loaded = QgsApplication.authManager().loadAuthenticationConfig(authcfg, config, True)
    # SIP gives back (ok, config) or ok, depending on the version.
    if isinstance(loaded, tuple):
        loaded, config = loaded
    return (config.config("username"), config.config("password")) if loaded else ("", "")


def auth_header(authcfg, url="https://localhost/"):
    """HTTP header 'Name: value' that QGIS's authentication store makes for configuration `authcfg`.

    Works with every method that signs requests (basic, bearer and API headers, OAuth2).

    Raises:
        QgsProcessingException: the configuration is unknown, locked or of a method without a header.
    """
    if not authcfg:
        return ""
    manager = QgsApplication.authManager()
    if authcfg not in manager.configIds():
        text = tr(
            "There is no authentication configuration '{id}' in QGIS's store, or the store is locked. Choose "
            "one in Settings > Options > Authentication; for qgis_process name the file with the master "
            "password in QGIS_AUTH_PASSWORD_FILE."
        )
        raise QgsProcessingException(text.format(id=authcfg))
    request = QNetworkRequest(QUrl(url))
    updated = manager.updateNetworkRequest(request, authcfg)
    ok, request = updated if isinstance(updated, tuple) else (updated, request)
    names = [bytes(name).decode("latin-1") for name in request.rawHeaderList()]
    secret = [name for name in names if name.lower() not in ("user-agent", "accept", "content-type")]
    if not ok or not secret:
        text = tr(
            "The authentication configuration '{id}' gives no HTTP header. Use one of the methods basic, API "
            "header, bearer token or OAuth2, and check that the master password is known."
        )
        raise QgsProcessingException(text.format(id=authcfg))
    name = next((n for n in secret if n.lower() == "authorization"), secret[0])
    return f"{name}: {bytes(request.rawHeader(name.encode('latin-1'))).decode('latin-1')}"
