"""Texts for people in their language: one translation context for the whole plugin."""

from pathlib import Path

from qgis.core import QgsApplication
from qgis.PyQt.QtCore import QCoreApplication, QTranslator

CONTEXT = "SITS"
FOLDER = Path(__file__).parent / "resources" / "i18n"


def tr(text):
    """Translation of `text`, or the English text itself."""
    return QCoreApplication.translate(CONTEXT, text)


def install_translator():
    """Install the translation of QGIS's language, if there is one; returns the translator or None."""
    # QgsSettings has no locale in a fresh profile, so ask the application; 'C' stands for English.
    locale = QgsApplication.locale()
    for name in (locale, locale.split("_")[0]):
        path = FOLDER / f"sits_{name}.qm"
        if path.is_file():
            translator = QTranslator()
            if translator.load(str(path)) and QCoreApplication.installTranslator(translator):
                return translator
    return None
