"""SITS for QGIS: the part that runs inside QGIS. It imports qgis, osgeo and the standard library only."""


def classFactory(iface):
    """Entry point that QGIS calls; `iface` is None where there is no window (qgis_process)."""
    from .plugin import SitsPlugin

    return SitsPlugin(iface)
