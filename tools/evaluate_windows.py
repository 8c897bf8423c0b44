"""Scores a segmentation model on a data set of windows: published weights on published data, for example.

    python tools/evaluate_windows.py tsvit.safetensors pastis.zarr --folds 5 --numbers scores.json

The classes of the data set are found in the model by their names (or label codes); pixels of other classes,
and unlabelled ones, aren't counted. Windows are read a few at a time. Run it with the developers' Python
(`make dev`). See docs/published-windows.md.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

#: Windows that are read together.
AT_ONCE = 32


def evaluate(
    model: Path,
    data_set: Path,
    *,
    folds: list[int] | None = None,
    device: str = "auto",
    most: int | None = None,
) -> dict[str, Any]:
    """Scores, confusion and the scores of each class.

    Args:
        model: model file of a segmentation network.
        data_set: Zarr folder.
        folds: windows of these folds only; None: all.
        device: 'auto', 'cpu', 'cuda'.
        most: so many windows at most, spread evenly.

    Raises:
        SystemExit: model and data set don't go together, or there is no window of these folds.
    """
    import numpy as np
    from sits_engine import device as devices
    from sits_engine.learning.segmentation.inference import probabilities
    from sits_engine.learning.segmentation.scores import Tally, class_iou
    from sits_engine.models.model_file import load_model
    from sits_engine.models.registry import SEGMENTERS
    from sits_engine.samples.window_classes import relabelled
    from sits_engine.samples.window_data import WindowData
    from sits_engine.samples.window_store import STORE
    from sits_engine.samples.windows import WindowSet

    module, card = load_model(model)
    if card.architecture not in SEGMENTERS:
        raise SystemExit(f"{model.name} is no segmentation model but '{card.architecture}'.")
    data = WindowData.open(data_set)
    place = class_places(card, data.classes)
    check(model, card, data, place)
    region = np.asarray(STORE.open(data_set)["region"][:])
    index = np.arange(data.n_windows)
    if folds is not None:
        if data.folds is None:
            raise SystemExit(f"{data.name} has no folds.")
        index = index[np.isin(np.asarray(data.folds)[region], folds)]
        if not len(index):
            known = ", ".join(map(str, sorted(set(data.folds))))
            wanted = ", ".join(map(str, folds))
            raise SystemExit(f"{data.name} has no window of the folds {wanted}; it has {known}.")
    if most is not None and len(index) > most:
        index = index[np.linspace(0, len(index) - 1, most).round().astype(int)]
    chosen = devices.select(device)
    module = module.to(chosen.torch)
    tally = Tally(len(card.classes))
    for start in range(0, len(index), AT_ONCE):
        windows = WindowSet.load(data_set, index[start : start + AT_ONCE])
        windows = relabelled(windows, np.array([*place, -1], np.int16), card.class_names)
        for i, found in probabilities(module, card, windows, chosen):
            labels = windows.labels[i][None]
            tally.add(labels, found.argmax(axis=0)[None].astype(np.int16), labels >= 0)
        if sys.stderr.isatty():
            print(f"{min(start + AT_ONCE, len(index))} of {len(index)} windows", end="\r", file=sys.stderr)
    confusion = tally.confusion["all"]
    there = confusion.sum(axis=1) > 0
    if not there.any():
        raise SystemExit("No labelled pixel of a class that the model knows.")
    iou = class_iou(confusion)
    return {
        "model": model.name,
        "data_set": data.name,
        "folds": folds,
        "windows": len(index),
        "pixels": int(confusion.sum()),
        "not_counted": [name for name, at in zip(data.classes, place, strict=True) if at < 0],
        "scores": {name: None if math.isnan(v) else float(v) for name, v in tally.as_scores().items()},
        "classes": {
            name: {"pixels": int(confusion[k].sum()), "iou": float(iou[k]) if there[k] else None}
            for k, name in enumerate(card.class_names)
        },
        "confusion": confusion.tolist(),
    }


def class_places(card: Any, names: tuple[str, ...]) -> list[int]:
    """Place of each class of a data set in the model, -1 where it doesn't know it."""
    own = {code: k for k, one in enumerate(card.classes) for code in one.codes}
    own |= {one.name: k for k, one in enumerate(card.classes)}
    return [own.get(name, -1) for name in names]


def check(path: Path, card: Any, data: Any, place: list[int]) -> None:
    """SystemExit where a model can't be tried on a data set."""
    missing = [name for name in card.band_names if name not in data.bands]
    if missing:
        raise SystemExit(f"{data.name} has no band {', '.join(missing)}; it has {', '.join(data.bands)}.")
    if all(at < 0 for at in place):
        raise SystemExit(
            f"{path.name} and {data.name} have no class in common: {', '.join(card.class_names)}; "
            f"{', '.join(data.classes)}."
        )
    scale, window = int(card.hyperparameters.get("scale", 1)), int(card.hyperparameters["window"])
    if scale != data.scale:
        raise SystemExit(f"{path.name} works at scale {scale}, the labels of {data.name} at {data.scale}.")
    if window > min(data.size):
        raise SystemExit(
            f"{path.name} sees windows of {window} pixels, those of {data.name} have {data.size[0]} x "
            f"{data.size[1]}."
        )


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("model", type=Path, help="model (.safetensors)")
    made.add_argument("data_set", type=Path, help="data set of windows (Zarr)")
    made.add_argument("--folds", type=int, nargs="+", help="windows of these folds only")
    made.add_argument("--most", type=int, help="so many windows at most, spread evenly")
    made.add_argument("--device", default="auto", help="auto, cpu, cuda")
    made.add_argument("--numbers", type=Path, help="write everything as JSON, confusion matrix included")
    given = made.parse_args(arguments)
    from sits_engine.errors import EngineError
    from sits_engine.outputs import atomic

    try:
        found = evaluate(given.model, given.data_set, folds=given.folds, device=given.device, most=given.most)
        if given.numbers:
            with atomic(given.numbers) as temporary:
                text = json.dumps(found, ensure_ascii=False, indent=1)
                temporary.write_text(text + "\n", encoding="utf-8")
    except EngineError as error:
        raise SystemExit(str(error)) from error
    print(f"{found['windows']} windows, {found['pixels']} labelled pixels")
    for name in ("accuracy", "miou", "macro_f1"):
        print(f"{name:32} {found['scores'][name]:.4f}")
    for name, row in found["classes"].items():
        print(f"{name:32} {'-' if row['iou'] is None else format(row['iou'], '.4f')}")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "engine"))
    main()
