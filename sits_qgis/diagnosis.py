"""What a person pastes into a bug report: versions, devices, folders, last error."""

import html
import os
import platform
import re
from itertools import islice

from osgeo import gdal
from qgis.core import Qgis, QgsProcessingException, QgsProjUtils
from qgis.PyQt.QtCore import QT_VERSION_STR

from . import about, environment, process
from .home import engine_record, envs, home, logs
from .i18n import tr

#: A line of the engine's log that ended a run: '2026-05-04 10:11:12,345 ERROR name: text'.
ERROR_LINE = re.compile(r"^\d{4}-\d\d-\d\d [\d:,]+ (ERROR|CRITICAL) \S+: (?P<text>.+)$")


def collect(feedback):
    """Facts as a list of (topic, value) pairs; never fails because of a missing or broken engine."""
    facts = [
        ("SITS for QGIS", about.version()),
        (
            "QGIS",
            f"{Qgis.QGIS_VERSION} (Qt {QT_VERSION_STR}, Python {platform.python_version()}, "
            f"GDAL {gdal.VersionInfo('RELEASE_NAME')}, PROJ {_proj()})",
        ),
        (tr("System"), platform.platform()),
        (tr("Folder"), str(home())),
        (tr("Plugin"), str(about.ROOT)),
    ]
    others = sorted(path.name for path in envs().iterdir() if path.is_dir()) if envs().is_dir() else []
    facts.append((tr("Environments"), ", ".join(others) or tr("none")))
    # Before the engine is asked: its own log would be the newest.
    error = last_error()
    facts += engine_facts(feedback)
    facts.append((tr("Last error"), error or tr("none in the logs")))
    return facts


def _proj():
    return f"{QgsProjUtils.projVersionMajor()}.{QgsProjUtils.projVersionMinor()}"


def engine_facts(feedback):
    """What the engine says about itself; one sentence where it is missing or fails."""
    facts = [(tr("Logs"), str(logs()))]
    try:
        where = environment.find()
    except environment.EngineMissing as missing:
        return [*facts, (tr("Engine"), str(missing))]
    named = environment.VARIABLE if os.environ.get(environment.VARIABLE) else engine_record()
    facts.append((tr("Engine"), f"{where.flavour}, {where.interpreter} ({named})"))
    try:
        scores = process.run_job("status", {}, feedback, where).scores
    except QgsProcessingException as error:
        if feedback.isCanceled():
            raise
        return [*facts, (tr("Engine fails"), str(error))]
    # Another folder where the engine can't write into that one.
    facts[0] = (tr("Logs"), scores["logs"])
    facts.append((tr("Engine version"), f"{scores.get('engine')} (Python {scores.get('python')})"))
    packages = scores.get("packages", {})
    facts.append((tr("Packages"), ", ".join(f"{name} {number}" for name, number in packages.items())))
    for device in scores.get("devices", []):
        facts.append((tr("Device"), device_text(device)))
    facts.append((tr("Device 'auto'"), str(scores.get("auto"))))
    facts.append((tr("C++ compiler"), scores.get("compiler") or tr("none works; the CPU is slower without")))
    facts += [(name, reason) for name, reason in scores.get("compiler_failures", {}).items()]
    return facts


def device_text(device):
    """A device in words: 'cuda:0, NVIDIA RTX 3060, 12.0 GiB'."""
    parts = [str(device.get("device")), str(device.get("name"))]
    if device.get("threads"):
        parts.append(tr("{n} threads").format(n=device["threads"]))
    if device.get("memory_gib"):
        parts.append(f"{device['memory_gib']} GiB")
    return ", ".join(parts)


def last_error():
    """'file: text' of the last error in the newest logs, '' if there is none."""
    if not logs().is_dir():
        return ""
    # Names begin with date and time, so the order of names is the order of time.
    for path in islice(sorted(logs().glob("*.log"), key=lambda p: p.name, reverse=True), 20):
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
        for line in reversed(lines):
            match = ERROR_LINE.match(line)
            if match:
                return f"{path.name}: {match['text']}"
    return ""


def as_text(facts):
    """The facts as plain lines."""
    return "\n".join(f"{topic}: {value}" for topic, value in facts)


def as_html(facts):
    """The facts as a page."""
    rows = "\n".join(
        f"<tr><th>{html.escape(topic)}</th><td>{html.escape(value).replace(chr(10), '<br>')}</td></tr>"
        for topic, value in facts
    )
    return (
        "<!DOCTYPE html>\n<html><head><meta charset='utf-8'><title>SITS for QGIS</title><style>"
        "body{font-family:sans-serif} "
        "th{text-align:left;vertical-align:top;padding-right:1em;white-space:nowrap}"
        f"</style></head><body>\n<h1>SITS for QGIS</h1>\n<table>\n{rows}\n</table>\n</body></html>\n"
    )
