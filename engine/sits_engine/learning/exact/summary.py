"""What making masks from labels of windows leaves for people: plain data of its report and its numbers."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass
class ExactEpochRow:
    """One epoch of the classifier.

    Attributes:
        epoch: from 1.
        learning_rate: of its last step.
        loss: the weighted sum, mean of the epoch's steps.
        classes, temporal, spatial, contrast, affinity: its parts before their weights; None where a part
            wasn't trained in this epoch (the contrastive loss starts later) or is switched off.
        validation_map_macro, validation_map_micro: mean average precision of the classes that polygons hold,
            on polygons that were held out: macro is the mean over classes, micro takes all pairs of polygon
            and class together. None without held-out polygons. Nothing is chosen by them.
    """

    epoch: int
    learning_rate: float
    loss: float
    classes: float
    temporal: float
    spatial: float
    contrast: float | None
    affinity: float | None
    validation_map_macro: float | None = None
    validation_map_micro: float | None = None


@dataclass
class ExactClassRow:
    """One class; the last one is 'background' (none of the ticked crops).

    Attributes:
        name, color: as in the legend of the masks.
        value: in the raster of masks; 0 for a background that stays unlabelled.
        ticked: polygons with a tick; None for the background.
        windows: windows of these polygons; None for the background.
        pixels: pixels of the masks.
        share: of all pixels inside of the polygons, 0..1.
        average_precision: of the classifier on held-out polygons; None where none of them has the class or
            all have.
        iou, precision, recall: of the masks against pixel labels, where these are given and know the class.
        unsharpened_iou, plain_iou: IoU of the masks before they were sharpened, and of plain CAM of the same
            network (not sharpened); None where these are what stands before them, see `TruthScores`.
        held: held-out polygons with a tick; None for the background.
    """

    name: str
    color: str
    value: int
    ticked: int | None
    windows: int | None
    pixels: int
    share: float
    average_precision: float | None = None
    iou: float | None = None
    precision: float | None = None
    recall: float | None = None
    unsharpened_iou: float | None = None
    plain_iou: float | None = None
    held: int | None = None


@dataclass
class Activation:
    """Where a window shows a ticked class: (H, W) float32, 0..1, at the resolution of the images."""

    name: str
    color: str
    values: npt.NDArray[np.float32]


@dataclass
class Thumbnail:
    """One window as pictures, all H x W pixels of the images.

    Attributes:
        title: place in words, e.g. 'window A12, row 480, column 960'.
        picture: (H, W, 3) uint8, the image of one clear date.
        picture_words: date and bands of it.
        activations: maps of the ticked classes, in the order of the classes; may be empty.
        mask: (H, W) int16, place in `classes` of the report (the background is the last), -1 outside of the
            polygon or left unlabelled for its low confidence.
        confidence: (H, W) float32, 0..1; 0 outside.
        truth: (H, W) int16 as `mask`, -1 unknown; None without pixel labels.
    """

    title: str
    picture: npt.NDArray[np.uint8]
    picture_words: str
    activations: list[Activation]
    mask: npt.NDArray[np.int16]
    confidence: npt.NDArray[np.float32]
    truth: npt.NDArray[np.int16] | None = None


@dataclass
class TruthScores:
    """Masks against pixel labels that were given for the report only.

    Attributes:
        reference: name of the labels.
        pixels: that were compared: inside of polygons, with a known label.
        scores: accuracy, miou, macro_f1 of the masks.
        unsharpened: of the masks before they were sharpened; None where they were not.
        plain: of plain CAM of the same network with the same threshold, without affinity propagation and not
            sharpened, so to be compared with `unsharpened`; None where the masks are made of just that.
        confusion: (K + 1, K + 1) counts of the masks, rows = reference, columns = masks, background last.
        background: whether the labels tell background (pixels of other classes than the ticked ones); its
            row of the confusion is empty otherwise.
    """

    reference: str
    pixels: int
    scores: dict[str, float]
    unsharpened: dict[str, float] | None
    plain: dict[str, float] | None
    confusion: npt.NDArray[np.int64]
    background: bool


@dataclass
class PseudoMaskReportData:
    """All that the report on masks shows; `as_json` gives the numbers file beside it.

    Attributes:
        title: heading.
        provenance: words and numbers about the inputs.
        parameters: every parameter of the run with the value used.
        classes: crops in the order of the model, then the background.
        epochs: curves.
        contrast_from: first epoch with the contrastive loss; None where it is never on.
        n_polygons, n_windows, n_held: polygons used, windows used, polygons held out for the curve only.
        n_pixels: pixels inside of the polygons.
        ticks: (K + 1,) polygons with 0, 1, ... K ticks.
        threshold: score of the background, 0..1; a class must exceed it.
        threshold_words: how it was chosen, a sentence.
        maps: 'clues' (similarity to prototypes) or 'plain'.
        affinity: whether maps were propagated.
        confidence: (10,) pixels by confidence, in steps of 0.1.
        unlabelled: pixels inside of polygons that were left unlabelled for their low confidence.
        thumbnails: up to six windows.
        scores: map_macro, map_micro of the last epoch, mean_confidence; with pixel labels also accuracy,
            miou, unsharpened_miou, plain_miou (equal where the masks are the same); NaN where it can't be
            measured.
        truth: with pixel labels.
        pixel_size: metres.
        seconds: of training and of making the masks.
        notes, warnings: sentences.
    """

    title: str
    provenance: dict[str, Any]
    parameters: dict[str, Any]
    classes: list[ExactClassRow]
    epochs: list[ExactEpochRow]
    contrast_from: int | None
    n_polygons: int
    n_windows: int
    n_held: int
    n_pixels: int
    ticks: npt.NDArray[np.int64]
    threshold: float
    threshold_words: str
    maps: str
    affinity: bool
    confidence: npt.NDArray[np.int64]
    unlabelled: int
    thumbnails: list[Thumbnail]
    scores: dict[str, float]
    truth: TruthScores | None = None
    pixel_size: float | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """JSON-serialisable numbers of the report; pictures stay out, NaN becomes None."""
        plain: dict[str, Any] = {
            "title": self.title,
            "scores": _plain(self.scores),
            "threshold": {"value": self.threshold, "chosen": self.threshold_words},
            "maps": self.maps,
            "affinity": self.affinity,
            "classes": [_plain(asdict(row)) for row in self.classes],
            "polygons": {"used": self.n_polygons, "held_out": self.n_held, "by_ticks": self.ticks.tolist()},
            "windows": self.n_windows,
            "pixels": {"inside": self.n_pixels, "unlabelled": self.unlabelled},
            "confidence": {"step": 0.1, "pixels": self.confidence.tolist()},
            "epochs": [_plain(asdict(row)) for row in self.epochs],
            "contrast_from": self.contrast_from,
            "pixel_size": self.pixel_size,
            "seconds": _plain(self.seconds),
            "provenance": self.provenance,
            "parameters": self.parameters,
            "notes": self.notes,
            "warnings": self.warnings,
        }
        if self.truth is not None:
            plain["pixel_labels"] = {
                "reference": self.truth.reference,
                "pixels": self.truth.pixels,
                "scores": _plain(self.truth.scores),
                "not_sharpened": None if self.truth.unsharpened is None else _plain(self.truth.unsharpened),
                "plain_cam_not_sharpened": None if self.truth.plain is None else _plain(self.truth.plain),
                "background": self.truth.background,
                "confusion": {
                    "rows": "reference",
                    "columns": "masks",
                    "counts": self.truth.confusion.tolist(),
                },
            }
        return plain


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Floats rounded, NaN as None."""
    return {
        name: (None if np.isnan(value) else round(value, 6)) if isinstance(value, float) else value
        for name, value in values.items()
    }
