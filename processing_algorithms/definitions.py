"""Short ways to declare parameters: every one gets a help text, numbers get bounds, enums stable strings."""

from __future__ import annotations

from typing import Any

from qgis.core import (
    QgsProcessingParameterBoolean,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFile,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterNumber,
    QgsProcessingParameterString,
)

SERIES_FILTER = "Image time series (*.json *.geojson);;All files (*)"
MODEL_FILTER = "Model (*.safetensors);;All files (*)"
TABLE_FILTER = "Tables (*.csv *.csv.gz *.parquet);;All files (*)"


def described(
    parameter: QgsProcessingParameterDefinition, help_text: str, advanced: bool = False
) -> QgsProcessingParameterDefinition:
    """The same parameter with its help text, folded under "Advanced parameters" if asked for."""
    parameter.setHelp(help_text)
    if advanced:
        parameter.setFlags(parameter.flags() | QgsProcessingParameterDefinition.Flag.FlagAdvanced)
    return parameter


def number(
    name: str,
    label: str,
    help_text: str,
    *,
    default: Any = None,
    low: float | None = None,
    high: float | None = None,
    integer: bool = True,
    advanced: bool = True,
) -> QgsProcessingParameterDefinition:
    """A bounded number; without a default it is optional and the engine chooses."""
    kinds = QgsProcessingParameterNumber.Type
    parameter = QgsProcessingParameterNumber(
        name, label, kinds.Integer if integer else kinds.Double, default, default is None
    )
    if low is not None:
        parameter.setMinimum(low)
    if high is not None:
        parameter.setMaximum(high)
    return described(parameter, help_text, advanced)


def choice(
    name: str,
    label: str,
    help_text: str,
    options: list[str],
    *,
    default: str | None = None,
    advanced: bool = True,
) -> QgsProcessingParameterDefinition:
    """An enum whose values are the strings themselves, so that models and scripts stay readable.

    Without a default it is optional and the engine chooses.
    """
    parameter = QgsProcessingParameterEnum(
        name, label, options, False, default, optional=default is None, usesStaticStrings=True
    )
    return described(parameter, help_text, advanced)


def switch(
    name: str, label: str, help_text: str, *, default: bool, advanced: bool = True
) -> QgsProcessingParameterDefinition:
    """A check box."""
    return described(QgsProcessingParameterBoolean(name, label, default), help_text, advanced)


def text(
    name: str, label: str, help_text: str, *, default: str | None = None, advanced: bool = True
) -> QgsProcessingParameterDefinition:
    """An optional line of text."""
    return described(QgsProcessingParameterString(name, label, default, False, True), help_text, advanced)


def file_input(
    name: str, label: str, help_text: str, file_filter: str, *, optional: bool = False, advanced: bool = False
) -> QgsProcessingParameterDefinition:
    """An existing file."""
    parameter = QgsProcessingParameterFile(
        name, label, QgsProcessingParameterFile.Behavior.File, "", None, optional, file_filter
    )
    return described(parameter, help_text, advanced)


def folder_input(
    name: str, label: str, help_text: str, *, advanced: bool = False
) -> QgsProcessingParameterDefinition:
    """An optional existing folder."""
    parameter = QgsProcessingParameterFile(
        name, label, QgsProcessingParameterFile.Behavior.Folder, "", None, True
    )
    return described(parameter, help_text, advanced)


def file_output(
    name: str,
    label: str,
    help_text: str,
    file_filter: str,
    *,
    optional: bool = False,
    by_default: bool = True,
    advanced: bool = False,
) -> QgsProcessingParameterDefinition:
    """A file that the engine writes; an HTML filter makes QGIS show it in its Results Viewer."""
    parameter = QgsProcessingParameterFileDestination(name, label, file_filter, None, optional, by_default)
    return described(parameter, help_text, advanced)
