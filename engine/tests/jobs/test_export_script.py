"""The script of docs/export.md maps without PyTorch and without this engine what `sits map` maps."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from support.maps import BANDS, CLASSES, COLORS, write_model, write_series
from support.small_segmenters import SMALL

from sits_engine.context import JobContext
from sits_engine.jobs.export_model import ExportModel
from sits_engine.jobs.map_crops import MapCrops
from sits_engine.models.card import BandCard, ClassCard, ModelCard
from sits_engine.models.model_file import save_model
from sits_engine.models.registry import build, segmentation_hyperparameters

PAGE = Path(__file__).parents[3] / "docs" / "export.md"


def write_segmenter(path):
    """A UNet3Df of random weights with maps twice as fine, whose answers are spread so that fields differ."""
    torch.manual_seed(3)
    numbers = segmentation_hyperparameters(
        "unet3df", len(BANDS), len(CLASSES), n_dates=6, window=16, scale=2, **SMALL["unet3df"]
    )
    module = build("unet3df", numbers).eval()
    with torch.no_grad():
        images = torch.rand(8, 5, len(BANDS), 2, 2).repeat_interleave(8, 3).repeat_interleave(8, 4) * 4 - 1.4
        days = torch.tensor([59.0, 99.0, 139.0, 180.0, 221.0]).expand(8, -1)
        logits = module(images, days, torch.ones(8, 5, dtype=torch.bool)).transpose(0, 1).flatten(1)
        module.head.weight.div_(logits.std(1)[:, None, None, None])
        module.head.bias.copy_((module.head.bias - logits.mean(1)) / logits.std(1))
    card = ModelCard(
        architecture="unet3df",
        hyperparameters=numbers,
        bands=[BandCard(name=name, mean=0.18, std=0.1) for name in BANDS],
        classes=[ClassCard(name=n, color=c) for n, c in zip(CLASSES, COLORS, strict=True)],
        season_year=2023,
        positions=[59.0, 221.0],
    )
    save_model(path, module, card)
    return path


@pytest.mark.parametrize("write", [write_model, write_segmenter])
def test_the_same_map(write, tmp_path):
    series = write_series(tmp_path, height=44, width=52, dark=(slice(0, 44), slice(0, 6)))
    model = write(tmp_path / "m.safetensors")
    ExportModel(model=model, output=tmp_path / "m.onnx").run(JobContext())
    MapCrops.parse(
        {"series": str(series), "model": str(model), "device": "cpu", "output": str(tmp_path / "own.tif")}
    ).run(JobContext())

    script = PAGE.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    (tmp_path / "map_onnx.py").write_text(script, encoding="utf-8")
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    for name in ("torch", "sits_engine"):
        (blocked / f"{name}.py").write_text(f"raise ImportError('{name} is not to be used')\n")
    done = subprocess.run(
        [sys.executable, "map_onnx.py", "m.onnx", "series.json", "other.tif"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(blocked)},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    assert done.returncode == 0, done.stderr

    with rasterio.open(tmp_path / "own.tif") as image, rasterio.open(tmp_path / "other.tif") as other:
        assert (other.crs, other.shape) == (image.crs, image.shape)
        assert other.transform.almost_equals(image.transform)
        assert other.colormap(1)[2] == image.colormap(1)[2]
        wanted, found = image.read(), other.read()
    assert len(np.unique(wanted[0])) >= 3  # nodata and several classes: the comparison says something
    assert (found[0] == wanted[0]).mean() >= 0.999
    assert np.abs(found[1].astype(int) - wanted[1]).max() <= 1
