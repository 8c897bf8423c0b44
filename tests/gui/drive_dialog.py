"""Runs inside QGIS (`qgis --code`): opens a dialog, presses Run, waits for the layers, keeps pictures.

What to do stands in the JSON file that the environment variable SITS_GUI_TASK names:
    algorithm     id, e.g. sits:mapcrops
    parameters    values that fill the dialog
    background    layers to load first: list of [path, name]
    wait_for      number of layers that the run must add
    advanced      true: unfold the advanced parameters before the picture of the dialog
    run           false: only keep the picture of the dialog
    top           name (or its start) of the layer that the last picture shows uncovered, optional
    pictures      folder for the pictures
    prefix        start of their names
    answer        file that gets the outcome as JSON
    seconds       patience
"""

import json
import os
import time
import traceback

from qgis.core import (
    QgsProject,
    QgsRasterLayer,
    QgsVectorLayer,
)
from qgis.gui import QgsCollapsibleGroupBoxBasic
from qgis.PyQt.QtCore import QTimer
from qgis.PyQt.QtWidgets import QCheckBox
from qgis.utils import iface, plugins


class Drive:
    """The steps, one a turn of QGIS's event loop: the window stays as alive as under a person's hands."""

    def __init__(self, task):
        self.task = task
        self.began = time.monotonic()
        self.dialog = None
        self.answer = {"pictures": []}
        self.steps = [
            self.load_background,
            self.open_dialog,
            self.show_dialog,
            self.press_run,
            self.wait,
            self.show_map,
        ]

    def next(self):
        """Run one step; a step that returns True is run again."""
        try:
            if not self.steps:
                self.finish(0)
            if time.monotonic() - self.began > self.task.get("seconds", 240):
                names = [layer.name() for layer in QgsProject.instance().mapLayers().values()]
                raise TimeoutError(
                    f"still in step {self.steps[0].__name__}; layers: {names}; {self.log()[-1500:]}"
                )
            if not self.steps[0]():
                self.steps.pop(0)
            QTimer.singleShot(300, self.next)
        except BaseException:
            self.answer["traceback"] = traceback.format_exc()
            if self.dialog is not None:
                self.keep(self.dialog, "failed")
            self.finish(3)

    def load_background(self):
        """Layers that a person would have open."""
        window = iface.mainWindow()
        window.showNormal()
        window.resize(1500, 900)
        for name in ("Browser", "Browser2"):
            dock = window.findChild(object, name)
            if dock is not None:
                dock.hide()
        self.answer["plugin"] = "sits_qgis" in plugins
        for path, name in self.task.get("background", []):
            kind = QgsVectorLayer if path.split("|")[0].endswith((".gpkg", ".shp")) else QgsRasterLayer
            layer = kind(path, name)
            if not layer.isValid():
                raise ValueError(f"{path} can't be loaded")
            QgsProject.instance().addMapLayer(layer)
        self.before = set(QgsProject.instance().mapLayers())

    def open_dialog(self):
        """What a double click in the Toolbox does."""
        import processing

        self.dialog = processing.createAlgorithmDialog(self.task["algorithm"], self.task["parameters"])
        self.dialog.show()
        self.dialog.resize(*self.task.get("dialog_size", (1000, 640)))

    def show_dialog(self):
        """A picture before anything runs."""
        if self.task.get("advanced"):
            for box in self.dialog.findChildren(QgsCollapsibleGroupBoxBasic):
                box.setCollapsed(False)
        for box in self.dialog.findChildren(QCheckBox):
            # Filling the dialog from outside clears it where a path is given.
            if box.text().startswith("Open output file") and box.isEnabled():
                box.setChecked(True)
        self.keep(self.dialog, "dialog")
        if not self.task.get("run", True):
            self.finish(0)

    def press_run(self):
        """The button."""
        self.dialog.runButton().click()
        self.seen_progress = False

    def wait(self):
        """Until the layers are there, or the dialog says that it failed."""
        added = self.added()
        bar = self.dialog.findChild(object, "progressBar")
        value = bar.value() if bar is not None and hasattr(bar, "value") else 0
        if 0 < value < 100 and not self.seen_progress and time.monotonic() - self.began > 2:
            self.seen_progress = True
            self.keep(self.dialog, "running")
        if len(added) >= self.task["wait_for"]:
            return False
        log = self.log()
        if "Execution failed" in log or "There were errors" in log or "Unable to execute" in log:
            raise RuntimeError(f"The dialog says: {log}")
        return True

    def show_map(self):
        """The main window with the result, after the map is drawn."""
        canvas = iface.mapCanvas()
        if not getattr(self, "zoomed", False):
            self.zoomed = time.monotonic()
            self.keep(self.dialog, "log")
            self.answer["log"] = self.log()
            self.dialog.hide()
            root = QgsProject.instance().layerTreeRoot()
            layers = self.added()
            for node in root.findLayers():
                node.setExpanded(True)
                if self.task.get("top") and not node.layer().name().startswith(self.task["top"]):
                    node.setItemVisibilityChecked(False)
            extent = canvas.mapSettings().layerExtentToOutputExtent(layers[0], layers[0].extent())
            extent.scale(1.05)
            canvas.setExtent(extent)
            canvas.refresh()
            return True
        if canvas.isDrawing() or time.monotonic() - self.zoomed < 2:
            return True
        self.keep(iface.mainWindow(), "map")
        self.answer["layers"] = [self.facts(layer) for layer in self.added()]
        return False

    def added(self):
        """Layers that were not there before."""
        return [layer for key, layer in QgsProject.instance().mapLayers().items() if key not in self.before]

    def facts(self, layer):
        """What the test checks of a layer."""
        renderer = layer.renderer()
        temporal = layer.temporalProperties()
        kind = renderer.type()
        legend = []
        if kind == "paletted":
            legend = [[c.label, c.color.name()] for c in renderer.classes()]
        elif kind == "categorizedSymbol":
            legend = [[c.label(), c.symbol().color().name()] for c in renderer.categories()]
        span = temporal.fixedTemporalRange()
        return {
            "name": layer.name(),
            "source": layer.source(),
            "renderer": kind,
            "legend": legend,
            "temporal": temporal.isActive(),
            "season": [span.begin().toString("yyyy-MM-dd"), span.end().toString("yyyy-MM-dd")],
            "map_tip": bool(layer.mapTipTemplate()) if isinstance(layer, QgsVectorLayer) else None,
        }

    def log(self):
        """Text of the dialog's log."""
        return self.dialog.findChild(object, "txtLog").toPlainText()

    def keep(self, widget, name):
        """Keep a picture."""
        os.makedirs(self.task["pictures"], exist_ok=True)
        path = os.path.join(self.task["pictures"], f"{self.task['prefix']}-{name}.png")
        widget.grab().save(path)
        self.answer["pictures"].append(path)

    def finish(self, status):
        """Write the answer and leave at once: nobody is there to answer 'Save changes?'."""
        self.answer["status"] = status
        with open(self.task["answer"], "w", encoding="utf-8") as file:
            json.dump(self.answer, file, indent=1, default=str)
        os._exit(status)


with open(os.environ["SITS_GUI_TASK"], encoding="utf-8") as file:
    drive = Drive(json.load(file))
QTimer.singleShot(1500, drive.next)
