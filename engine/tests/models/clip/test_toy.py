import json

import numpy as np
import pytest
import torch

from sits_engine import device as devices
from sits_engine.errors import InputError
from sits_engine.models.clip import ClipEncoder
from sits_engine.models.clip.toy import ToyOptions, augmented, read_captions, soft_targets, train_toy_clip
from sits_engine.models.clip.toy_words import write_tokenizer
from sits_engine.series.simulate.photos import write_photos
from sits_engine.series.simulate.region import make_region
from sits_engine.series.simulate.settings import DIFFICULTIES, REGION_A

SHORT = ToyOptions(steps=30, batch=24, width=48, layers=1, dim=24, rate=2e-3)


def nothing(*_):
    pass


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """16 places."""
    folder = tmp_path_factory.mktemp("demo")
    region = make_region(REGION_A, DIFFICULTIES["easy"], seed=3, size=256, dates=3, shift_days=0)
    write_photos(region, folder, 16, nothing, nothing)
    return folder


@pytest.fixture(scope="module")
def toy(demo, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "clip"
    report = train_toy_clip(folder, *read_captions(demo / "captions.csv", "train"), SHORT)
    return folder, report


def test_the_loss_falls(toy):
    _, report = toy
    assert np.mean(report.losses[-5:]) < np.mean(report.losses[:5]) - 0.2


def test_captions_of_the_test_are_no_part_of_training(demo):
    _, train, _ = read_captions(demo / "captions.csv", "train")
    photos, test, _ = read_captions(demo / "captions.csv", "test")
    assert len(photos) == 64
    assert not {text for some in train for text in some} & {text for some in test for text in some}


def test_it_is_read_like_a_real_model(demo, toy):
    folder, _ = toy
    assert {"config.json", "model.safetensors", "preprocessor_config.json", "vocab.json", "merges.txt"} <= {
        path.name for path in folder.iterdir()
    }
    encoder = ClipEncoder.open(folder, devices.select("cpu"))
    words = encoder.texts(["a photo of maize", "Un champ de blé, naïve words ☂", "water"])
    photos = encoder.images(sorted((demo / "photos").iterdir())[:6])
    assert words.shape == (3, SHORT.dim)
    assert photos.vectors.shape == (6, SHORT.dim)
    assert np.linalg.norm(words, axis=1) == pytest.approx(1, abs=1e-5)
    assert len(np.unique(words.round(4), axis=0)) == 3


def test_the_same_seed_gives_the_same_weights(demo, toy, tmp_path):
    folder, report = toy
    again = train_toy_clip(tmp_path / "clip", *read_captions(demo / "captions.csv", "train"), SHORT)
    assert again.losses == pytest.approx(report.losses, rel=1e-4)
    assert (tmp_path / "clip" / "vocab.json").read_bytes() == (folder / "vocab.json").read_bytes()


def test_words_of_the_captions_are_tokens(tmp_path):
    from transformers import CLIPTokenizerFast

    write_tokenizer(tmp_path, ["a field of maize", "maize in flower"], 20)
    tokenizer = CLIPTokenizerFast.from_pretrained(tmp_path)
    assert tokenizer.tokenize("Maize in a field") == ["maize</w>", "in</w>", "a</w>", "field</w>"]
    assert "".join(tokenizer.tokenize("zoo")).startswith("zoo")
    tokens = json.loads((tmp_path / "vocab.json").read_text(encoding="utf-8"))
    assert tokenizer("maize")["input_ids"][-1] == len(tokens) - 1


def test_photos_of_a_class_and_equal_captions_are_no_negatives():
    target = soft_targets(["x", "y", "x", "z"], np.array([0, 0, 1, 2]), 0.5)
    assert target.sum(dim=1).tolist() == pytest.approx([1] * 4)
    assert target[0].tolist() == pytest.approx([0.4, 0.2, 0.4, 0])
    assert target[3].tolist() == [0, 0, 0, 1]


def test_crops_differ_and_keep_their_size():
    pixels = torch.arange(2 * 3 * 76 * 101, dtype=torch.int64).remainder(255).to(torch.uint8)
    pixels = pixels.reshape(2, 3, 76, 101)
    chance = torch.Generator().manual_seed(1)
    first, second = augmented(pixels, chance), augmented(pixels, chance)
    assert first.shape == (2, 3, 64, 64)
    assert not torch.allclose(first, second)
    assert torch.isfinite(first).all()


def test_one_photo_is_too_few(demo, tmp_path):
    photos, captions, kinds = read_captions(demo / "captions.csv", "train")
    with pytest.raises(InputError, match="at least two photos"):
        train_toy_clip(tmp_path / "clip", photos[:1], captions[:1], kinds[:1], SHORT)
    assert not (tmp_path / "clip").exists()


def test_stopping_leaves_nothing(demo, tmp_path):
    class Stop(Exception):
        pass

    def stop():
        raise Stop

    with pytest.raises(Stop):
        train_toy_clip(tmp_path / "clip", *read_captions(demo / "captions.csv", "train"), SHORT, check=stop)
    assert not any(tmp_path.iterdir())
