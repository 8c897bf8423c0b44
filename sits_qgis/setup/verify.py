"""Prove that an environment runs the engine: a real job in a real child process."""

import re

from qgis.core import QgsProcessingException

from .. import child, process
from ..diagnosis import device_text
from ..i18n import tr
from . import programs

#: Oldest Python of the engine.
OLDEST = (3, 11)


def verify(where, feedback):
    """Run the job `status`; returns its scores.

    Args:
        where: `environment.Environment` to try.
        feedback: QgsProcessingFeedback.

    Raises:
        QgsProcessingException: Python is too old, a package is missing or does not load.
    """
    feedback.setProgressText(tr("Checking that the engine runs (a virus scanner may make this slow)"))
    text = tr("{python} can't run the engine: {reason}\n{advice}")
    advice = (
        tr("Choose another interpreter, or leave it empty to have an environment made.")
        if where.flavour == "own"
        else tr("Run 'Set up engine' with the option to repair it.")
    )

    def refuse(reason):
        return QgsProcessingException(text.format(python=where.interpreter, reason=reason, advice=advice))

    _check_python(where, refuse)
    try:
        scores = process.run_job("status", {}, feedback, where).scores
    except QgsProcessingException as error:
        if feedback.isCanceled():
            raise
        raise refuse(error) from error
    missing = [name for name, version in scores.get("packages", {}).items() if version == "missing"]
    if missing:
        raise refuse(tr("it lacks the packages {names}.").format(names=", ".join(missing)))
    devices = scores.get("devices", [])
    if not scores.get("compiler"):
        feedback.pushWarning(
            tr(
                "The C++ compiler of the engine doesn't work here (a virus scanner may have stopped it): "
                "everything works, maps and training take about twice as long on the CPU."
            )
        )
        for name, reason in scores.get("compiler_failures", {}).items():
            feedback.pushInfo(f"{name}: {reason}")
    feedback.pushInfo(
        tr("The engine works: version {engine}, Python {python}, PyTorch {torch}.").format(
            engine=scores.get("engine"),
            python=scores.get("python"),
            torch=scores.get("packages", {}).get("torch"),
        )
    )
    for device in devices:
        feedback.pushInfo(tr("Device: {device}").format(device=device_text(device)))
    # 'auto' was chosen by a small computation that came out right, not by the name of a card.
    chosen = str(scores.get("auto"))
    feedback.pushInfo(tr("The device 'auto' means here: {device}").format(device=chosen))
    if where.flavour == "cuda" and chosen.startswith("CPU"):
        feedback.pushWarning(
            tr(
                "No NVIDIA card can be used: update its driver, or see whether the card is too old or too "
                "new for this PyTorch. Until then the engine uses the CPU."
            )
        )
    return scores


def _check_python(where, refuse):
    """Old Pythons can't even read the engine's code, so they are asked before."""

    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    said = programs.output([where.interpreter, "-s", "-c", code], child.clean_environment(), timeout=120)
    match = re.fullmatch(r"(\d+)\.(\d+)", said or "")
    if not match:
        raise refuse(tr("it is no Python that can be started."))
    if (int(match[1]), int(match[2])) < OLDEST:
        raise refuse(tr("it is Python {version}, 3.11 or newer is needed.").format(version=said))
