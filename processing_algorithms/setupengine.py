"""Set up engine: makes the Python environment that computes, outside QGIS."""

import os
import shutil
from pathlib import Path

from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingOutputString,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFile,
)

from ..environment import FLAVOURS, VARIABLE
from ..home import home
from ..i18n import tr
from ..setup import install
from ..setup.plan import SIZES, Plan, links


class SetUpEngine(QgsProcessingAlgorithm):
    """Builds the engine's environment with uv from hashed lock files, or takes an interpreter of the
    user's."""

    def createInstance(self):
        """A fresh instance."""
        return SetUpEngine()

    def name(self):
        """Stable id."""
        return "setupengine"

    def displayName(self):
        """Name in the Toolbox."""
        return tr("Set up engine")

    def group(self):
        """Group in the Toolbox."""
        return tr("Engine")

    def groupId(self):
        """Stable id of the group."""
        return "engine"

    def tags(self):
        """Words that find it."""
        return tr("install,setup,dependencies,pytorch,cuda,gpu,environment,offline,proxy,repair").split(",")

    def shortDescription(self):
        """One line for tooltip and command line."""
        return tr("Makes the Python environment of the engine, once, before anything else of SITS runs.")

    def shortHelpString(self):
        """Help beside the dialog."""
        sizes = {
            f"{name}_{kind}": getattr(SIZES[name], kind) for name in SIZES for kind in ("download", "disk")
        }
        return tr(
            "<p>The networks run in a program of their own, the engine, and not inside QGIS. This algorithm "
            "makes "
            "its Python environment in<br><code>{folder}</code>.<br>Nothing is installed into QGIS's "
            "Python.</p>"
            "<p><b>Size.</b> CPU: about {cpu_download} GiB to download and {cpu_disk} GiB on disk. CUDA "
            "(NVIDIA "
            "cards): about {cuda_download} and {cuda_disk} GiB. A few minutes to half an hour.</p>"
            "<p><b>Sources.</b> Packages from PyPI, for the CPU flavour on Linux PyTorch from "
            "download.pytorch.org; Python 3.11, if there is none, from the releases of "
            "python-build-standalone. "
            "Every package is checked against a list of checksums.</p>"
            "<p><b>Without internet</b> name a folder of wheels and tick Offline. Proxies of QGIS's options "
            "are "
            "used. Other places: environment variable <code>SITS_QGIS_HOME</code>.</p>"
            "<p>It can be cancelled and run again at any time: what was downloaded is kept.</p>"
        ).format(folder=home(), **sizes)

    def helpUrl(self):
        """Page of the documentation."""
        return "https://github.com/sits-for-qgis/sits-for-qgis/blob/main/docs/algorithms/setupengine.md"

    def initAlgorithm(self, config=None):
        """Declare parameters and outputs."""
        files = QgsProcessingParameterFile
        flavour = QgsProcessingParameterEnum(
            "FLAVOUR", tr("Flavour"), list(FLAVOURS), False, "cpu", optional=False, usesStaticStrings=True
        )
        flavour.setHelp(tr("cpu: runs everywhere, uses Apple's graphics on a Mac. cuda: for NVIDIA cards."))
        wheels = files("WHEELS", tr("Folder of wheels"), files.Behavior.Folder, "", None, True)
        wheels.setHelp(
            tr("Packages that were downloaded before (.whl files); searched first, and alone when offline.")
        )
        offline = QgsProcessingParameterBoolean(
            "OFFLINE", tr("Offline: use the folder of wheels only"), False
        )
        offline.setHelp(tr("Nothing is fetched from the internet; Python 3.11 must be installed."))
        interpreter = files(
            "INTERPRETER", tr("Use this Python interpreter instead"), files.Behavior.File, "", None, True
        )
        interpreter.setHelp(
            tr(
                "Python of an environment that you made (3.11 or newer, with the engine's packages); "
                "nothing is installed."
            )
        )
        repair = QgsProcessingParameterBoolean("REPAIR", tr("Repair: make it anew"), False)
        repair.setHelp(tr("Removes the environment and downloads, and makes them again."))
        old = QgsProcessingParameterBoolean(
            "REMOVE_OLD", tr("Remove old environments and kept downloads"), False
        )
        old.setHelp(tr("After success: frees the space of environments of other versions and flavours."))
        for parameter in (repair, old):
            parameter.setFlags(parameter.flags() | QgsProcessingParameterDefinition.Flag.FlagAdvanced)
        for parameter in (flavour, wheels, offline, interpreter, repair, old):
            self.addParameter(parameter)
        self.addOutput(QgsProcessingOutputString("PYTHON", tr("Interpreter of the engine")))

    def checkParameterValues(self, parameters, context):
        """Checks of QGIS, and those that need no network."""
        ok, message = super().checkParameterValues(parameters, context)
        if not ok:
            return ok, message
        wheels = self.parameterAsFile(parameters, "WHEELS", context)
        if wheels and not Path(wheels).is_dir():
            return False, tr("The folder of wheels {folder} does not exist.").format(folder=wheels)
        interpreter = self.parameterAsFile(parameters, "INTERPRETER", context)
        if interpreter and not Path(interpreter).is_file():
            return False, tr("The interpreter {path} does not exist.").format(path=interpreter)
        if self.parameterAsBoolean(parameters, "OFFLINE", context) and not (interpreter or links(wheels)):
            return False, tr("Offline needs a folder of wheels.")
        return True, ""

    def processAlgorithm(self, parameters, context, feedback):
        """Make the environment, or check the given interpreter."""
        if os.environ.get(VARIABLE):
            text = tr(
                "The variable {name} is set: the Python that it names runs the engine, whatever is made here."
            )
            feedback.pushWarning(text.format(name=VARIABLE))
        interpreter = self.parameterAsFile(parameters, "INTERPRETER", context)
        if interpreter:
            made = install.use_interpreter(Path(interpreter).expanduser().absolute(), feedback)
        else:
            plan = Plan(
                self.parameterAsEnumString(parameters, "FLAVOUR", context),
                links(self.parameterAsFile(parameters, "WHEELS", context)),
                self.parameterAsBoolean(parameters, "OFFLINE", context),
            )
            if plan.flavour == "cpu" and shutil.which("nvidia-smi"):
                feedback.pushInfo(tr("There is an NVIDIA card: the flavour 'cuda' would use it."))
            repair = self.parameterAsBoolean(parameters, "REPAIR", context)
            made = install.set_up(plan, feedback, repair)
        if self.parameterAsBoolean(parameters, "REMOVE_OLD", context):
            install.remove_old(made, feedback)
        feedback.pushInfo(tr("The engine is ready: {path}").format(path=made.interpreter))
        return {"PYTHON": made.interpreter}
