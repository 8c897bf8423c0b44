import shutil
import socket

import numpy as np
import pytest
import torch
from PIL import Image
from support.tiny_clip import tiny_clip

from sits_engine.device import Device, select
from sits_engine.errors import InputError
from sits_engine.models.clip import ClipEncoder
from sits_engine.models.clip import encoder as module


def test_texts_and_photos_are_what_the_library_says(encoder, model, photos):
    from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer

    net = CLIPModel.from_pretrained(model).eval()
    words = ["a field of wheat", "vineyard"]
    with torch.no_grad():
        tokens = CLIPTokenizer.from_pretrained(model)(words, padding=True, return_tensors="pt")
        wanted = net.get_text_features(**tokens)
        pixels = CLIPImageProcessor.from_pretrained(model)(
            [Image.open(path) for path in photos], return_tensors="pt"
        )
        seen = net.get_image_features(**pixels)
    texts, images = encoder.texts(words), encoder.images(photos)
    np.testing.assert_allclose(texts, torch.nn.functional.normalize(wanted).numpy(), atol=1e-6)
    np.testing.assert_allclose(images.vectors, torch.nn.functional.normalize(seen).numpy(), atol=1e-6)
    assert texts.dtype == images.vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(images.vectors, axis=1), 1, atol=1e-6)
    assert images.kept.tolist() == [0, 1, 2]
    assert images.problems == []


def test_a_text_does_not_depend_on_those_beside_it(encoder):
    alone = encoder.texts(["rye"])
    beside = encoder.texts(["rye", "a very much longer text about a field"])
    np.testing.assert_allclose(alone[0], beside[0], atol=1e-5)


def test_facts_of_a_folder(encoder, model):
    assert (encoder.name, encoder.dim, encoder.max_tokens) == ("tiny", 16, 300)
    assert encoder.texts([]).shape == (0, 16)
    assert encoder.images([]).vectors.shape == (0, 16)


def test_a_folder_is_known_by_its_content(model, tmp_path):
    cpu = select("cpu")
    first = ClipEncoder.open(model, cpu).fingerprint
    copy = shutil.copytree(model, tmp_path / "copy")
    assert ClipEncoder.open(copy, cpu).fingerprint == first
    vocabulary = (copy / "merges.txt").read_text()
    (copy / "merges.txt").write_text(vocabulary + "a b</w>\n")
    assert ClipEncoder.open(copy, cpu).fingerprint != first
    other = tiny_clip(tmp_path / "other", seed=1)
    assert ClipEncoder.open(other, cpu).fingerprint != first


def test_preprocessing_is_a_key_of_its_own(model, tmp_path):
    copy = shutil.copytree(model, tmp_path / "copy")
    text = (copy / "preprocessor_config.json").read_text()
    (copy / "preprocessor_config.json").write_text(
        text.replace('"do_center_crop": true', '"do_center_crop": false')
    )
    cpu = select("cpu")
    one, two = ClipEncoder.open(model, cpu), ClipEncoder.open(copy, cpu)
    assert one.fingerprint == two.fingerprint
    assert one.photo_key != two.photo_key


def test_a_text_that_is_too_long_is_named_and_not_cut(model, tmp_path):
    short = ClipEncoder.open(tiny_clip(tmp_path / "short", max_tokens=12), select("cpu"))
    assert short.texts(["0123456789"]).shape == (1, 16)
    with pytest.raises(
        InputError, match=r"too long for short: it has 13 tokens .*reads 12: '01234567890'"
    ) as caught:
        short.texts(["rye", "01234567890"])
    assert caught.value.details == {"text": "01234567890", "tokens": 13, "limit": 12}


def test_photos_that_cannot_be_read_are_named_and_left_out(encoder, photos, tmp_path):
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(photos[0].read_bytes()[:400])
    (tmp_path / "words.jpg").write_text("no image")
    paths = [tmp_path / "none.jpg", photos[0], cut, photos[1], tmp_path / "words.jpg"]
    found = encoder.images(paths)
    assert found.kept.tolist() == [1, 3]
    assert found.vectors.shape == (2, 16)
    assert [problem.split(": ")[0] for problem in found.problems] == [str(paths[0]), str(cut), str(paths[4])]
    with pytest.raises(InputError, match=r"None of the 2 photos can be read.*none.jpg: not found.*1 more"):
        encoder.images([paths[0], cut])


def test_progress_reaches_the_end(encoder, photos, tmp_path):
    seen = []
    encoder.batch = 2
    encoder.images([*photos, tmp_path / "none.jpg"], seen.append)
    assert seen == [0.5, 1.0]


def test_a_full_card_halves_the_batch(encoder, photos, monkeypatch):
    whole = encoder.images(photos).vectors
    real = encoder._model().get_image_features

    def small(pixel_values):
        if len(pixel_values) > 1:
            raise torch.OutOfMemoryError("full")
        return real(pixel_values=pixel_values)

    monkeypatch.setattr(encoder._model(), "get_image_features", small)
    np.testing.assert_allclose(encoder.images(photos).vectors, whole, atol=1e-6)
    assert encoder.batch == 1


def test_nothing_is_asked_of_the_network(model, photos, monkeypatch):
    def refuse(*_arguments, **_options):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    fresh = ClipEncoder.open(model, select("cpu"))
    fresh.texts(["rye"])
    fresh.images(photos)


def test_siglip(tmp_path, photos):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, SiglipConfig, SiglipImageProcessor, SiglipModel

    narrow = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_hidden_layers": 1}
    net = SiglipModel(
        SiglipConfig(
            text_config={**narrow, "vocab_size": 4, "max_position_embeddings": 8, "projection_size": 16},
            vision_config={**narrow, "image_size": 16, "patch_size": 8},
        )
    ).eval()
    net.save_pretrained(tmp_path)
    SiglipImageProcessor(size={"height": 16, "width": 16}).save_pretrained(tmp_path)
    words = Tokenizer(models.WordLevel({"<pad>": 0, "</s>": 1, "field": 2, "of": 3}, unk_token="<pad>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="</s>").save_pretrained(
        tmp_path
    )
    encoder = ClipEncoder.open(tmp_path, select("cpu"))
    assert (encoder.folder.family, encoder.dim, encoder.max_tokens) == ("siglip", 16, 8)
    with torch.no_grad():
        wanted = net.get_text_features(torch.tensor([[2, 3, 1, 0, 0, 0, 0, 0]]))
    np.testing.assert_allclose(
        encoder.texts(["field of"]), torch.nn.functional.normalize(wanted).numpy(), atol=1e-6
    )
    assert encoder.images(photos).vectors.shape == (3, 16)
    with pytest.raises(InputError, match="9 tokens"):
        encoder.texts(["field " * 8])


def test_a_tokenizer_that_needs_another_package_is_told(tmp_path, model):
    for name in ("model.safetensors", "preprocessor_config.json"):
        shutil.copy(model / name, tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "siglip"}')
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "SiglipTokenizer"}')
    (tmp_path / "spiece.model").write_bytes(b"x")
    with pytest.raises(InputError, match=r"tokenizer in .* can't be read: .*SentencePiece"):
        ClipEncoder.open(tmp_path, select("cpu")).texts(["rye"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA card")
def test_half_precision_on_a_card_is_close_to_float32(model, encoder, photos):
    card = ClipEncoder.open(model, select("cuda"))
    assert card.precision != encoder.precision
    assert (card.images(photos).vectors * encoder.images(photos).vectors).sum(1).min() > 0.995
    assert (card.texts(["rye"]) * encoder.texts(["rye"])).sum() > 0.995


def test_precision_of_a_device_is_named(model):
    assert ClipEncoder.open(model, Device(torch.device("cpu"), "cpu")).precision == "float32"
    assert module.BATCH_GPU > module.BATCH_CPU
