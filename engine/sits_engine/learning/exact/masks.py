"""Masks of windows from a trained classifier."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from sits_engine.device import Device
from sits_engine.learning.exact.batches import BagBatch, BagCutter
from sits_engine.learning.exact.cam import CamSettings, raw_cam, scaled
from sits_engine.learning.exact.fit import judged
from sits_engine.learning.exact.pseudo_labels import enlarged, inside_patches, pseudo_labels
from sits_engine.learning.exact.refine import RefineSettings, refined_masks
from sits_engine.models.card import BandCard
from sits_engine.models.exact.classifier import ExactClassifier, ExactOutput
from sits_engine.samples.bags import Bags

Progress = Callable[[float], None]


@dataclass
class Masks:
    """Masks of N windows.

    Attributes:
        labels: (N, H, W) int16, place of the class, K for background, -1 outside of the polygon or left
            unlabelled.
        confidence: (N, H, W) float32, 0..1; 0 outside.
        cam: (N, K, h, w) float32, maps of the ticked classes, 0..1, one score a patch.
        unlabelled: pixels inside that were left out for their low confidence.
        kept: places of crops that sharpening would have lost, and that kept the pixels drawn before.
    """

    labels: npt.NDArray[np.int16]
    confidence: npt.NDArray[np.float32]
    cam: Tensor
    unlabelled: int
    kept: tuple[int, ...] = ()


def raw_maps(
    module: ExactClassifier,
    cutter: BagCutter,
    n_windows: int,
    kinds: list[CamSettings],
    device: Device,
    progress: Progress = lambda share: None,
) -> list[Tensor]:
    """Maps before scaling, (N, K, h, w) for each kind; the network sees each window once."""

    def of(output: ExactOutput, batch: BagBatch) -> Tensor:
        ticks = batch.ticks[batch.bags]
        return torch.stack([raw_cam(output, ticks, module.clues, kind, batch.inside) for kind in kinds], 1)

    dates = any(kind.affinity is not None for kind in kinds)
    found = judged(of, module, cutter, np.arange(n_windows), device, progress, dates=dates)
    return list(found.unbind(1))


def masks_of(
    raw: Tensor,
    bags: Bags,
    patch: int,
    *,
    scaling: str,
    background: float,
    least_confidence: float = 0.0,
) -> Masks:
    """Scale maps, and give each pixel its class.

    Args:
        raw: (N, K, h, w), of `raw_maps`.
        bags: the same windows.
        patch: pixels along a side of a patch.
        scaling: of `cam.scaled`.
        background: score of the background.
        least_confidence: pixels with less are left unlabelled.
    """
    ticks, inside = torch.from_numpy(bags.present), torch.from_numpy(bags.inside)
    owner = torch.from_numpy(bags.bag.astype(np.int64))
    cam = scaled(raw, ticks, scaling, bags=owner, inside=inside_patches(inside, patch))
    found = pseudo_labels(cam, ticks, patch, background=background, inside=inside)
    n_classes = cam.shape[1]
    labels = found.labels.numpy()
    labels = np.where(labels == 0, n_classes, labels - 1).astype(np.int16)
    labels[~bags.inside] = -1
    confidence = found.confidence.numpy()
    doubtful = bags.inside & (confidence < least_confidence)
    labels[doubtful] = -1
    return Masks(labels, confidence, cam, int(doubtful.sum()))


def sharpened(
    masks: Masks,
    bags: Bags,
    bands: list[BandCard],
    settings: RefineSettings,
    device: Device,
    *,
    seed: int,
    background: float,
    least_confidence: float = 0.0,
    progress: Progress = lambda share: None,
) -> Masks:
    """The masks after `refine.refined_masks`; the maps stay those of the classifier.

    Args:
        masks, bags: of the same windows.
        bands, settings, device, seed, progress: of `refine.refined_masks`.
        background: score of the background beside those of the maps.
        least_confidence: pixels with less are left unlabelled.
    """

    def scores(here: slice) -> Tensor:
        return shares_of_maps(masks.cam[here], bags, here, background)

    found = refined_masks(
        masks.labels, bags, bands, settings, device, seed=seed, scores=scores, progress=progress
    )
    kept = tuple(int(k) for k in np.unique(found.labels[found.kept]))
    # where the sharpening network has no say, the choice was as close as it was before
    confidence = np.where(found.kept, masks.confidence, found.confidence)
    doubtful = bags.inside & (confidence < least_confidence)
    labels = np.where(doubtful, -1, found.labels).astype(np.int16)
    return Masks(labels, confidence, masks.cam, int(doubtful.sum()), kept)


def shares_of_maps(cam: Tensor, bags: Bags, here: slice, background: float) -> Tensor:
    """Scores of the ticked classes and of the background at each pixel, as shares of their sum.

    Args:
        cam: (n, K, h, w), maps of these windows, 0..1.
        bags, here: the windows.
        background: its score.

    Returns:
        (n, K + 1, H, W); the background comes last.
    """
    inside = torch.from_numpy(bags.inside[here])
    patch = inside.shape[-1] // cam.shape[-1]
    grown = enlarged(cam, patch, inside_patches(inside, patch))
    grown = grown * torch.from_numpy(bags.present[here])[:, :, None, None]
    shares = F.pad(grown, (0, 0, 0, 0, 0, 1), value=background)
    return shares / shares.sum(1, keepdim=True)


def maps_of_window(masks: Masks, bags: Bags, i: int, patch: int) -> dict[int, npt.NDArray[np.float32]]:
    """Maps of one window's ticked classes at the resolution of the images, (H, W), by place of the class."""
    ticked = np.flatnonzero(bags.present[i])
    inside = torch.from_numpy(bags.inside[i : i + 1])
    grown = enlarged(masks.cam[i : i + 1, ticked], patch, inside_patches(inside, patch))[0]
    shown = (grown * inside).numpy()
    return {int(k): shown[place] for place, k in enumerate(ticked)}
