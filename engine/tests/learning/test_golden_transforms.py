"""Published padding and scaling, read from the golden file, through the collator of the training job."""

import numpy as np
import torch
from golden import EVAL, load

from sits_engine.learning.transforms import PUBLISHED_STD, Collator, Sampling, normalise_geometry
from sits_engine.models.card import BandCard
from sits_engine.samples.pixel_sets import PixelSets


def test_padding_and_scaling():
    golden = load("timematch_transforms")
    given, expected, config = golden["inputs"], golden["outputs"], golden["config"]
    dates, bands, pixels = given["pixels"].shape
    names = tuple(f"B{i}" for i in range(bands))
    sets = PixelSets(
        bands=names,
        values=(given["pixels"].permute(2, 0, 1).numpy() / 1e4).astype(np.float32),
        valid=np.ones((pixels, dates), np.bool_),
        offsets=np.array([0, pixels]),
        positions=given["positions"].numpy().astype(np.int32)[None],
        labels=np.zeros(1, np.int64),
        classes=("a",),
        ids=np.array(["1"]),
        xy=np.zeros((1, 2)),
        region=np.zeros(1, np.int16),
        blocks=np.zeros(1, np.int64),
    )
    published = Sampling(pixels=config["num_pixels"], dates=None, shift=0, small_share=0, mask_dates=False)
    normalisation = [BandCard(name=n, mean=0, std=PUBLISHED_STD) for n in names]
    batch = Collator(sets, normalisation, published)(np.array([0]), np.random.default_rng(0))
    torch.testing.assert_close(batch.pixels[0], expected["pixels"], **EVAL)
    torch.testing.assert_close(batch.pixel_mask[0].float(), expected["valid_pixels"])
    torch.testing.assert_close(batch.positions[0], expected["positions"].float())
    geometry = normalise_geometry(given["extra"])
    torch.testing.assert_close(geometry.float(), expected["extra"], **EVAL)
    assert config["max_pixel_value"] == round(PUBLISHED_STD * 1e4)
    assert [1 / normalise_geometry(torch.ones(4, dtype=torch.float64))[i] for i in range(4)] == list(
        map(torch.tensor, config["extra_divisors"])
    )
