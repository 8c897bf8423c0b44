"""The steps of a set-up: installer, Python, packages, proof that it works, ready marker."""

import json
import re
import shutil
import time

from qgis.core import QgsProcessingException, QgsProcessingMultiStepFeedback

from .. import about, environment
from ..home import envs, home
from ..i18n import tr
from . import plan as plans
from . import programs, uv
from .lock import exclusive
from .verify import verify

#: Shares of the whole: (from, to) in percent.
INSTALL = (8.0, 88.0)


def set_up(plan, feedback, repair=False):
    """Make the environment of `plan` and let it run the engine from now on; returns it.

    Repeatable: an environment that is ready is only checked. One at a time: a second call waits.

    Args:
        plan: `plan.Plan`.
        feedback: QgsProcessingFeedback.
        repair: make it anew even if it seems ready, with fresh downloads.

    Raises:
        QgsProcessingException: cancelled, or a step failed; the text says what to do.
    """
    plan.check()
    for line in plan.describe():
        feedback.pushInfo(line)
    with exclusive(feedback):
        made = environment.Environment(
            str(environment.python_of(plan.folder)), plan.flavour, str(plan.folder)
        )
        if environment.is_ready(plan.folder) and not repair:
            feedback.pushInfo(tr("This environment is ready already; checking it."))
            verify(made, feedback)
            environment.remember(made)
            return made
        _remove(plan.folder)
        if repair:
            _remove(plans.cache())
        plan.check_space()
        _build(plan, feedback)
        verify(made, _last_step(feedback))
        marker = {"made": time.strftime("%Y-%m-%d %H:%M:%S"), "plugin": about.version()}
        (plan.folder / environment.READY).write_text(json.dumps(marker), encoding="utf-8")
        environment.remember(made)
        feedback.setProgress(100)
        return made


def use_interpreter(interpreter, feedback):
    """Let a user's own Python run the engine, after it has proved that it can; returns the environment."""
    own = environment.Environment(str(interpreter), "own")
    with exclusive(feedback):
        verify(own, feedback)
        environment.remember(own)
    return own


def remove_old(keep, feedback):
    """Remove environments other than `keep` (an Environment), and kept downloads."""
    with exclusive(feedback):
        folders = [path for path in envs().iterdir() if path.is_dir()] if envs().is_dir() else []
        for folder in [*folders, plans.cache()]:
            if str(folder) != keep.folder and folder.is_dir():
                feedback.pushInfo(tr("Removing {folder}").format(folder=folder))
                _remove(folder)


def _remove(folder):
    """Remove a folder; the ready marker first, so that nothing half-removed looks ready."""
    marker = folder / environment.READY
    try:
        if marker.exists():
            marker.unlink()
        if folder.is_dir():
            shutil.rmtree(folder)
    except OSError as error:
        text = tr(
            "{folder} can't be removed: {reason}. Close other QGIS windows that run the engine, or remove "
            "the "
            "folder by hand."
        )
        raise QgsProcessingException(text.format(folder=folder, reason=error.strerror or error)) from error


def _last_step(feedback):
    """Feedback for the check at the end: its 0 to 100 % are the last tenth of ours."""
    steps = QgsProcessingMultiStepFeedback(10, feedback)
    steps.setCurrentStep(9)
    return steps


def _build(plan, feedback):
    variables = plan.variables()
    feedback.setProgressText(tr("Looking for the installer uv"))
    local = [link for link in plan.links if "://" not in link]
    program = uv.find(variables, feedback, local, plan.offline)
    feedback.setProgress(4)
    _python(program, plan, variables, feedback)
    feedback.setProgress(INSTALL[0])
    _packages(program, plan, variables, feedback)


def _python(program, plan, variables, feedback):
    feedback.setProgressText(tr("Making an environment with Python {version}").format(version=plans.PYTHON))
    command = [program, "venv", "--python", plans.PYTHON, "--no-project", str(plan.folder)]
    said = []
    if _run(command, variables, feedback, said) != 0:
        text = tr(
            "No Python {version} was found and none could be fetched. Install Python {version} (python.org, "
            "or your "
            "system's packages), or name the interpreter of an environment of your own.\n{said}"
        )
        raise QgsProcessingException(text.format(version=plans.PYTHON, said="\n".join(said[-6:])))


def _packages(program, plan, variables, feedback):
    feedback.setProgressText(tr("Downloading and installing packages"))
    command = [program, "pip", "install", "--python", str(environment.python_of(plan.folder))]
    command += ["--require-hashes", "--only-binary", ":all:", *plan.sources()]
    command += ["-r", str(environment.lock_file(plan.flavour))]
    progress = _Progress(plan, feedback)
    said = []
    if _run(command, variables, feedback, said, progress.line, progress.tick) != 0:
        raise QgsProcessingException(explain(said))
    feedback.setProgress(INSTALL[1])


def _run(command, variables, feedback, said, on_line=None, tick=None):
    def line(text):
        # uv lists every package at the end; the log of QGIS needs the rest only.
        if text.strip():
            said.append(text)
            if not re.match(r"\s[+~-] |Activate with", text):
                feedback.pushConsoleInfo(text)
        if on_line is not None:
            on_line(text)

    return programs.run(command, variables, feedback, line, tick, cwd=home())


class _Progress:
    """How far the packages are: the space that is taken, since uv is silent while it downloads."""

    def __init__(self, plan, feedback):
        self._feedback = feedback
        self._expected = plan.size.disk * plans.GIB
        self._free = shutil.disk_usage(home()).free
        self._share = 0.0

    def line(self, text):
        if text.startswith("Prepared "):
            self._show(0.9)
            self._feedback.setProgressText(tr("Installing packages"))

    def tick(self):
        taken = self._free - shutil.disk_usage(home()).free
        self._show(min(0.9, taken / self._expected))

    def _show(self, share):
        self._share = max(self._share, share)
        self._feedback.setProgress(INSTALL[0] + (INSTALL[1] - INSTALL[0]) * self._share)


#: What uv says (a pattern, in lower case), and what to do about it.
ADVICE = (
    (
        r"no space left|os error 28|disk quota",
        "The disk is full. Free some space, or name a folder on another disk in the variable SITS_QGIS_HOME.",
    ),
    (
        r"hash mismatch|hashes? (is|are) missing|no hash",
        "A downloaded file has not the expected checksum: it was changed on its way or in the folder of "
        "wheels. "
        "Fetch it again from its source.",
    ),
    (
        r"dns error|connect|timed? ?out|tunnel|certificate|tls|403|407|failed to fetch|error sending request",
        "A source can't be reached. Check the internet connection and the proxy in QGIS's options (Settings "
        "> "
        "Options > Network); a mirror of PyPI can be named in the variable UV_DEFAULT_INDEX; or install "
        "from a "
        "folder of wheels (docs/engine.md).",
    ),
    (
        r"no solution found|unsatisfiable|not found in|no matching|no wheels",
        "A package is missing where it was looked for: the folder of wheels is incomplete, or there is no "
        "build "
        "for this system. On such a system name an interpreter of your own.",
    ),
    (
        r"permission denied|read-only|access is denied",
        "A folder can't be written to: change its permissions, or name another one in the variable "
        "SITS_QGIS_HOME.",
    ),
)


def explain(said):
    """Text for a failed installation: the cause in words, then what uv said."""
    text = "\n".join(said).lower()
    known = next((advice for pattern, advice in ADVICE if re.search(pattern, text)), None)
    advice = tr(known) if known else tr("Run 'Set up engine' again; if it fails again, send this text.")
    return (
        tr("The packages could not be installed. {advice}").format(advice=advice)
        + "\n"
        + "\n".join(said[-10:])
    )
