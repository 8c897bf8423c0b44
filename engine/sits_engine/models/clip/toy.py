"""A toy CLIP, trained in a minute or two on the drawn photos and captions of the demo.

It has CLIP's architecture and file layout at a thousandth of the size, and knows nothing but the demo. It
exists so that everything which needs a CLIP model can be tried and tested without the internet, through the
same loading code.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from sits_engine.errors import InputError
from sits_engine.models.clip.encoder import no_progress
from sits_engine.models.clip.toy_words import write_tokenizer
from sits_engine.outputs import discard, partial, publish

PIXELS, PATCH = 64, 8
#: Photos are kept a little larger than the network sees them, so that crops can move and zoom.
KEPT = 76
MAX_TOKENS = 77
MEAN, SPREAD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
NOTE = "Toy CLIP of SITS for QGIS, trained on drawn photos of a simulated region; of no use for anything else"


def _nothing() -> None:
    """No check for cancellation."""


@dataclass(frozen=True)
class ToyOptions:
    """Sizes and schedule; the defaults take about two minutes on one core.

    Attributes:
        steps, batch: of training.
        rate: highest learning rate.
        width, layers: of the image tower; the text tower is narrower.
        dim: length of the vectors.
        same_class: weight of captions of other photos of the class in a batch as targets; the own one
            weighs 1.
        seed: of weights, batches and augmentation.
    """

    steps: int = 800
    batch: int = 64
    rate: float = 1.2e-3
    width: int = 96
    layers: int = 3
    dim: int = 64
    same_class: float = 0.5
    seed: int = 0


@dataclass(frozen=True)
class ToyReport:
    """Loss of each step, and how many photos and different captions were learned from."""

    losses: tuple[float, ...]
    photos: int
    captions: int


def read_captions(table: Path, split: str) -> tuple[list[Path], list[list[str]], list[str]]:
    """Photos, the captions of each in wordings of this split, and classes, of a demo's captions.csv."""
    captions: dict[Path, list[str]] = {}
    kinds: dict[Path, str] = {}
    with table.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["split"] == split:
                path = table.parent / row["photo"]
                captions.setdefault(path, []).append(row["caption"])
                kinds[path] = row["class"]
    return list(captions), list(captions.values()), list(kinds.values())


def train_toy_clip(
    folder: Path,
    photos: Sequence[Path],
    captions: Sequence[Sequence[str]],
    kinds: Sequence[str],
    options: ToyOptions,
    progress: Callable[[float], None] = no_progress,
    check: Callable[[], None] = _nothing,
) -> ToyReport:
    """Train on N photos and write the model to `folder` in Hugging Face layout (safetensors).

    Args:
        folder: replaced when training is complete.
        photos: N files.
        captions: of each photo, one or more; each step draws one of them.
        kinds: N classes; photos of the same class are no negatives of each other.
        options: sizes and schedule.
        progress: gets the finished share.
        check: called before each step; may raise to cancel.

    Raises:
        InputError: fewer than two photos.
    """
    if len(photos) < 2:
        raise InputError("The toy CLIP needs at least two photos.", "Ask for more places with photos.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        work = partial(folder)
        discard(work)
        work.mkdir(parents=True)
        try:
            texts = sorted({text for some in captions for text in some})
            tokens = write_tokenizer(work, texts, MAX_TOKENS)
            model = _network(options, tokens)
            pixels = torch.from_numpy(np.stack([_kept(path) for path in photos]))
            losses = _fit(model, pixels, captions, kinds, _tokenizer(work), options, progress, check)
            model.eval().save_pretrained(work, safe_serialization=True)
            _write_processor(work)
            (work / "README.txt").write_text(NOTE + "\n", encoding="utf-8")
            discard(folder)
            publish({work: folder})
        except BaseException:
            discard(work)
            raise
    return ToyReport(tuple(losses), len(photos), len(texts))


def _network(options: ToyOptions, tokens: int) -> Any:
    from transformers import CLIPConfig, CLIPModel

    text = {
        "hidden_size": options.dim,
        "intermediate_size": 2 * options.dim,
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "vocab_size": tokens,
        "max_position_embeddings": MAX_TOKENS,
        "bos_token_id": tokens - 2,
        "eos_token_id": tokens - 1,
        "pad_token_id": tokens - 1,
    }
    vision = {
        "hidden_size": options.width,
        "intermediate_size": 2 * options.width,
        "num_attention_heads": 4,
        "num_hidden_layers": options.layers,
        "image_size": PIXELS,
        "patch_size": PATCH,
    }
    config: Any = CLIPConfig  # untyped
    return CLIPModel(config(text_config=text, vision_config=vision, projection_dim=options.dim))


def _tokenizer(folder: Path) -> Any:
    from transformers import CLIPTokenizerFast

    return CLIPTokenizerFast.from_pretrained(folder, local_files_only=True)  # nosec B615 - a local folder


def _write_processor(folder: Path) -> None:
    from transformers import CLIPImageProcessor

    size = {"height": PIXELS, "width": PIXELS}
    processor = CLIPImageProcessor(
        size={"shortest_edge": PIXELS}, crop_size=size, image_mean=list(MEAN), image_std=list(SPREAD)
    )
    processor.save_pretrained(folder)
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"note": NOTE}, indent=1), encoding="utf-8")


def _kept(path: Path) -> npt.NDArray[np.uint8]:
    """(3, KEPT, 4/3 KEPT) uint8: the middle of the photo, its shorter side reduced to KEPT."""
    with Image.open(path) as picture:
        shorter = min(picture.size)
        size = (round(picture.width * KEPT / shorter), round(picture.height * KEPT / shorter))
        small = picture.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    wide = round(KEPT * 4 / 3)
    left, top = (size[0] - wide) // 2, (size[1] - KEPT) // 2
    return np.ascontiguousarray(
        np.asarray(small.crop((left, top, left + wide, top + KEPT))).transpose(2, 0, 1)
    )


def _fit(
    model: Any,
    pixels: Tensor,
    captions: Sequence[Sequence[str]],
    kinds: Sequence[str],
    tokenizer: Any,
    options: ToyOptions,
    progress: Callable[[float], None],
    check: Callable[[], None],
) -> list[float]:
    """Symmetric contrastive training; gives the loss of each step."""
    rng = np.random.default_rng([options.seed, 7])
    chance = torch.Generator().manual_seed(options.seed)
    kind = np.unique(np.asarray(kinds), return_inverse=True)[1]
    plain = [p for name, p in model.named_parameters() if p.ndim < 2 or "embedding" in name]
    decayed = [p for name, p in model.named_parameters() if not (p.ndim < 2 or "embedding" in name)]
    groups = [{"params": decayed, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=options.rate, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, options.rate, total_steps=options.steps, pct_start=0.12, cycle_momentum=False
    )
    model.train()
    losses = []
    for step in range(options.steps):
        check()
        chosen = rng.choice(len(pixels), min(options.batch, len(pixels)), replace=False)
        texts = [str(rng.choice(np.asarray(captions[one]))) for one in chosen]
        words = tokenizer(texts, padding=True, return_tensors="pt")
        found = model(
            input_ids=words["input_ids"],
            attention_mask=words["attention_mask"],
            pixel_values=augmented(pixels[chosen], chance),
        )
        target = soft_targets(texts, kind[chosen], options.same_class)
        loss = symmetric_loss(found.logits_per_image, target)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        with torch.no_grad():  # as CLIP: at most 100
            model.logit_scale.clamp_(0, float(np.log(100.0)))
        losses.append(float(loss.detach()))
        progress((step + 1) / options.steps)
    return losses


def soft_targets(texts: Sequence[str], kinds: npt.NDArray[np.int64], same_class: float) -> Tensor:
    """(B, B), rows sum to 1: the own caption and equal ones weigh 1, others of the class `same_class`."""
    captions = np.asarray(texts)
    weight = np.where(kinds[:, None] == kinds[None], same_class, 0.0)
    weight = np.where(captions[:, None] == captions[None], 1.0, weight)
    return torch.from_numpy((weight / weight.sum(axis=1, keepdims=True)).astype(np.float32))


def symmetric_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of photos over captions and of captions over photos, averaged; `target` is symmetric
    before its rows are normalised, so it serves both ways."""
    return 0.5 * (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target))


def augmented(pixels: Tensor, chance: torch.Generator) -> Tensor:
    """Random crops, mirrored and lit otherwise: (B, 3, h, w) uint8 -> (B, 3, PIXELS, PIXELS) normalised."""
    count, _, height, width = pixels.shape
    draw = torch.rand((6, count), generator=chance)
    # The crop's half side as a share of half the picture: 0.72 to 1 of its height.
    half = 0.72 + 0.28 * draw[0]
    shape = height / width
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0] = half * shape * torch.where(draw[1] < 0.5, -1.0, 1.0)
    theta[:, 1, 1] = half
    theta[:, 0, 2] = (2 * draw[2] - 1) * (1 - half * shape)
    theta[:, 1, 2] = (2 * draw[3] - 1) * (1 - half)
    grid = functional.affine_grid(theta, [count, 3, PIXELS, PIXELS], align_corners=False)
    values = functional.grid_sample(pixels.float() / 255, grid, align_corners=False, padding_mode="border")
    gain = 0.85 + 0.3 * draw[4]
    tint = 1 + 0.06 * (torch.rand((count, 3), generator=chance) - 0.5)
    contrast = 0.85 + 0.3 * draw[5]
    middle = values.mean(dim=(1, 2, 3), keepdim=True)
    values = (values - middle) * contrast[:, None, None, None] + middle
    values = (values * (gain[:, None] * tint)[:, :, None, None]).clamp(0, 1)
    mean, spread = torch.tensor(MEAN)[:, None, None], torch.tensor(SPREAD)[:, None, None]
    return (values - mean) / spread
