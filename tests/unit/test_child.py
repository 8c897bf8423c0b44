"""What a child inherits of QGIS: nothing that makes it load QGIS's files."""


def test_osgeo4w_folders_leave_the_path(monkeypatch):
    import ntpath

    from sits_qgis import child

    monkeypatch.setattr(child.os, "path", ntpath)
    monkeypatch.setattr(child.os, "pathsep", ";")
    monkeypatch.setattr(child.os, "sep", "\\")
    path = r"C:\QGIS\bin;c:\qgis\apps\qgis\bin;C:\QGIS2\bin;C:\Windows\system32;;C:\QGIS"
    assert child.outside(path, [r"C:\QGIS", ""]) == r"C:\QGIS2\bin;C:\Windows\system32"


def test_foreign_variables_are_dropped_in_any_case():
    from sits_qgis import child

    environ = {"PythonHome": "1", "PROJ_DATA": "2", "gdal_data": "3", "LD_LIBRARY_PATH": "4", "PATH": "/bin"}
    assert child.clean_environment(environ, {"HTTP_PROXY": "p"}) == {"PATH": "/bin", "HTTP_PROXY": "p"}


def test_settings_for_images_on_servers_are_kept():
    from sits_qgis import child

    kept = {
        "AWS_PROFILE": "me",
        "AWS_NO_SIGN_REQUEST": "YES",
        "GDAL_HTTP_HEADERS": "X: 1",
        "GDAL_CURL_CA_BUNDLE": "/etc/own.pem",
        "CURL_CA_BUNDLE": "/etc/own.pem",
        "CPL_VSIL_CURL_CACHE_SIZE": "1",
        "https_proxy": "http://proxy:3128",
    }
    assert child.clean_environment({**kept, "GDAL_DATA": "x", "GDAL_DRIVER_PATH": "y"}) == kept
