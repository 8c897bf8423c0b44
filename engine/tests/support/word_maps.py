"""A tiny CLIP model, a satellite encoder in its space that tells pixels apart, and a series for both."""

from dataclasses import dataclass
from pathlib import Path

import torch
from support.maps import BANDS, write_series
from support.photo_series import satellite_card, satellite_encoder
from support.tiny_clip import tiny_clip

from sits_engine.device import select
from sits_engine.models.card import ModelCard
from sits_engine.models.clip import ClipEncoder
from sits_engine.models.model_file import save_model
from sits_engine.models.timesenclip.encoder import SatelliteEncoder

DIM = 16
#: A year in eleven months; two images in June.
DAYS = (
    "20230115", "20230212", "20230318", "20230420", "20230511", "20230605", "20230628", "20230710",
    "20230814", "20230918", "20231009", "20231107",
)  # fmt: skip


@dataclass(frozen=True)
class World:
    """Files that belong together."""

    series: Path
    model: Path
    clip: Path


def spread_encoder(context: int = 1, seed: int = 0) -> SatelliteEncoder:
    """An encoder whose vectors point in all directions: centred and scaled over random images."""
    module = satellite_encoder(bands=len(BANDS), embedding=DIM, context=context, seed=seed)
    with torch.no_grad():
        images = torch.rand(256, 12, len(BANDS), context, context)
        # as different as places are: each has its own level
        images = (images * 0.2 + 0.8 * torch.rand(256, 1, 1, 1, 1)).clamp(0, 1)
        mask = torch.ones(256, 12, dtype=torch.bool)
        out = module(images, torch.arange(12).expand(256, -1), mask)
        last = module.mlp_head[-1]
        last.weight.div_(out.std(0)[:, None])
        last.bias.copy_((last.bias - out.mean(0)) / out.std(0))
    return module.eval()


def photo_card(module: SatelliteEncoder, clip: Path, bands=BANDS) -> ModelCard:
    """The card of an encoder that was trained with a CLIP model."""
    encoder = ClipEncoder.open(clip, select("cpu"))
    facts = {
        "name": encoder.name,
        "fingerprint": encoder.fingerprint,
        "dim": encoder.dim,
        "path": str(clip.resolve()),
    }
    return satellite_card(module, bands, provenance={"clip": facts})


def write_world(folder: Path, context: int = 1, **images) -> World:
    """A series of a year (70 x 90 pixels by default), a CLIP model and a photo model."""
    clip = tiny_clip(folder / "clip", dim=DIM)
    series = write_series(folder, days=DAYS, **images)
    return World(series, write_photo_model(folder / f"photos {context}.safetensors", clip, context), clip)


def write_photo_model(path: Path, clip: Path, context: int = 1) -> Path:
    """A photo model."""
    module = spread_encoder(context)
    save_model(path, module, photo_card(module, clip))
    return path
