"""Runs inside QGIS (`qgis --code`): opens dialogs, presses Run, waits for the layers, keeps pictures.

What to do stands in the JSON file that the environment variable SITS_GUI_TASK names:
    background    layers to load first: list of [path, name]
    runs          list of dialogs, each with
        algorithm     id, e.g. sits:mapcrops
        parameters    values that fill the dialog
        wait_for      number of layers that the run must add; absent: only a picture of the dialog is kept
        show          start of the name of the one layer that the picture of the map shows; absent: all
        advanced      true: unfold the advanced parameters
        size          size of the dialog
        name          start of the names of its pictures
    pictures      folder for the pictures
    answer        file that gets the outcome as JSON
    seconds       patience
"""

import json
import os
import time
import traceback

from qgis.core import QgsProject, QgsRasterLayer, QgsVectorLayer
from qgis.PyQt.QtCore import QTimer
from qgis.PyQt.QtWidgets import QApplication, QCheckBox, QGroupBox
from qgis.utils import iface, plugins

FAILURES = ("Execution failed", "There were errors", "Unable to execute", "Traceback")


class Drive:
    """The steps, one a turn of QGIS's event loop: the window stays as alive as under a person's hands."""

    def __init__(self, task):
        self.task = task
        self.began = time.monotonic()
        self.dialog = None
        self.answer = {"pictures": [], "runs": []}
        self.steps = [self.load_background]
        for run in task["runs"]:
            steps = [self.open_dialog, self.show_dialog]
            if "wait_for" in run:
                steps += [self.press_run, self.wait, self.show_map]
            self.steps += [lambda step=step, run=run: step(run) for step in [*steps, self.close_dialog]]

    def next(self):
        """Run one step; a step that returns True is run again."""
        try:
            if not self.steps:
                self.finish(0)
            if time.monotonic() - self.began > self.task.get("seconds", 240):
                names = [layer.name() for layer in QgsProject.instance().mapLayers().values()]
                raise TimeoutError(f"no end; layers: {names}; log: {self.log()[-1500:]}")
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

    def open_dialog(self, run):
        """What a double click in the Toolbox does."""
        import processing

        self.before = set(QgsProject.instance().mapLayers())
        self.name = run["name"]
        self.zoomed = None
        self.dialog = processing.createAlgorithmDialog(run["algorithm"], run.get("parameters", {}))
        self.dialog.show()
        self.dialog.resize(*run.get("size", (1000, 640)))

    def show_dialog(self, run):
        """A picture before anything runs."""
        for box in self.dialog.findChildren(QCheckBox):
            # Filling the dialog from outside clears it where a path is given.
            if box.text().startswith("Open output file") and box.isEnabled():
                box.setChecked(True)
        if run.get("advanced"):
            for group in self.dialog.findChildren(QGroupBox, "grpAdvanced"):
                group.setProperty("collapsed", False)  # Python sees QGIS's own class as a plain group box
            QApplication.processEvents()
        self.keep(self.dialog, "dialog")

    def press_run(self, run):
        """The button."""
        self.dialog.runButton().click()
        self.pressed = time.monotonic()
        self.seen_progress = False

    def wait(self, run):
        """Until the layers are there, or the dialog says that it failed."""
        bar = self.dialog.findChild(object, "progressBar")
        value = bar.value() if hasattr(bar, "value") else 0
        if 0 < value < 100 and not self.seen_progress and time.monotonic() - self.pressed > 2:
            self.seen_progress = True
            self.keep(self.dialog, "running")
        log = self.log()
        if any(words in log for words in FAILURES):
            raise RuntimeError(f"The dialog says: {log}")
        return len(self.added()) < run["wait_for"] or "finished" not in log

    def show_map(self, run):
        """The main window with the result, after the map is drawn."""
        canvas = iface.mapCanvas()
        if self.zoomed is None:
            self.zoomed = time.monotonic()
            self.keep(self.dialog, "log")
            self.dialog.hide()
            layers = self.added()
            chosen = [layer for layer in layers if layer.name().startswith(run.get("show", ""))]
            for node in QgsProject.instance().layerTreeRoot().findLayers():
                node.setExpanded(node.layer() in layers)
                node.setItemVisibilityChecked(node.layer() in chosen or not run.get("show"))
            layers = [layer for layer in layers if layer.isSpatial()]
            if layers:
                extent = canvas.mapSettings().layerExtentToOutputExtent(layers[0], layers[0].extent())
                extent.scale(1.05)
                canvas.setExtent(extent)
            canvas.refresh()
            return True
        if canvas.isDrawing() or time.monotonic() - self.zoomed < 2:
            return True
        iface.messageBar().clearWidgets()
        self.keep(iface.mainWindow(), "map")
        facts = [self.facts(layer) for layer in self.added()]
        self.answer["runs"].append({"algorithm": run["algorithm"], "log": self.log(), "layers": facts})
        return False

    def close_dialog(self, run):
        """The dialog goes away."""
        self.dialog.close()

    def added(self):
        """Layers that were not there before."""
        return [layer for key, layer in QgsProject.instance().mapLayers().items() if key not in self.before]

    def facts(self, layer):
        """What the test checks of a layer."""
        if not layer.isSpatial():
            rows = [feature.attributes() for feature in layer.getFeatures()]
            return {"name": layer.name(), "fields": [f.name() for f in layer.fields()], "rows": rows}
        renderer = layer.renderer()
        temporal = layer.temporalProperties()
        legend = []
        if renderer.type() == "paletted":
            legend = [[c.label, c.color.name()] for c in renderer.classes()]
        elif renderer.type() == "categorizedSymbol":
            legend = [[c.label(), c.symbol().color().name()] for c in renderer.categories()]
        span = temporal.fixedTemporalRange()
        found = {
            "name": layer.name(),
            "source": layer.source(),
            "renderer": renderer.type(),
            "legend": legend,
            "temporal": temporal.isActive(),
            "season": [span.begin().toString("yyyy-MM-dd"), span.end().toString("yyyy-MM-dd")],
        }
        if isinstance(layer, QgsVectorLayer):
            found["map_tip"] = layer.mapTipTemplate()
            found["count"] = layer.featureCount()
            setups = {f.name(): f.editorWidgetSetup() for f in layer.fields()}
            found["form"] = {name: [setup.type(), setup.config()] for name, setup in setups.items()}
        return found

    def log(self):
        """Text of the dialog's log."""
        return self.dialog.findChild(object, "txtLog").toPlainText() if self.dialog is not None else ""

    def keep(self, widget, name):
        """Keep a picture."""
        os.makedirs(self.task["pictures"], exist_ok=True)
        path = os.path.join(self.task["pictures"], f"{self.name}-{name}.png")
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
