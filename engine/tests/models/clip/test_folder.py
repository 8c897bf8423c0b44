import json
import os
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from support.tiny_clip import tiny_clip

from sits_engine.device import select
from sits_engine.errors import InputError
from sits_engine.models.clip import ClipEncoder, store
from sits_engine.models.clip.folder import check_folder


@pytest.fixture
def copy(model, tmp_path):
    return shutil.copytree(model, tmp_path / "copy")


def change(file, **values):
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def texts(folder):
    return ClipEncoder.open(folder, select("cpu")).texts(["rye"])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("config.json", "config.json is missing"),
        ("model.safetensors", r"model.safetensors \(the weights\) is missing"),
        ("vocab.json", "no tokenizer"),
        ("preprocessor_config.json", "preprocessor_config.json is missing"),
    ],
)
def test_a_missing_part_is_named(copy, name, words):
    (copy / name).unlink()
    with pytest.raises(InputError, match=words) as caught:
        check_folder(copy)
    assert "Fetch CLIP model" in caught.value.advice


def test_no_folder(tmp_path):
    with pytest.raises(InputError, match="is no folder"):
        check_folder(tmp_path / "none")


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ({"model_type": "bert"}, "'bert'"),
        ({"model_type": "", "architectures": ["GPT2LMHeadModel"]}, "'GPT2LMHeadModel'"),
        ({"model_type": None}, "'CLIPModel'"),
    ],
)
def test_another_architecture_is_named(copy, config, found):
    change(copy / "config.json", **config)
    with pytest.raises(InputError, match=f"names the architecture {found}, readable are clip and siglip"):
        check_folder(copy)


def test_a_configuration_that_is_no_json(copy):
    (copy / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config.json can't be read"):
        check_folder(copy)
    (copy / "config.json").write_text("[]")
    with pytest.raises(InputError, match="not what it should be"):
        check_folder(copy)


def test_weights_of_pytorch_are_read_as_tensors_only(tmp_path, model):
    bin_folder = tiny_clip(tmp_path / "bin", safe=False)
    assert not (bin_folder / "model.safetensors").exists()
    np.testing.assert_allclose(texts(bin_folder), texts(model), atol=1e-6)


def test_a_file_of_weights_that_would_run_code_is_refused(tmp_path):
    folder = tiny_clip(tmp_path / "bin", safe=False)
    trace = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(trace),)

    torch.save({"logit_scale": Evil()}, folder / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"weights in .* can't be read"):
        texts(folder)
    assert not trace.exists()


def test_safetensors_are_preferred(copy):
    (copy / "pytorch_model.bin").write_bytes(b"nothing that can be read")
    assert check_folder(copy).safe
    assert texts(copy).shape == (1, 16)


def test_weights_in_several_files(copy):
    tensors = load_file(copy / "model.safetensors")
    names = sorted(tensors)
    parts = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, own in parts.items():
        save_file({name: tensors[name] for name in own}, copy / file, metadata={"format": "pt"})
    where = {name: file for file, own in parts.items() for name in own}
    (copy / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))
    whole = texts(copy)
    (copy / "model.safetensors").unlink()
    np.testing.assert_allclose(texts(copy), whole, atol=1e-6)
    (copy / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(InputError, match=r"model-00002-of-00002.safetensors is missing"):
        check_folder(copy)


def test_damaged_weights(copy):
    content = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(content[:1000])
    with pytest.raises(InputError, match=r"weights in .* can't be read"):
        texts(copy)


def test_weights_that_are_missing_are_not_made_up(copy):
    tensors = load_file(copy / "model.safetensors")
    del tensors["text_projection.weight"]
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"don't fit its config.json: 1 are missing.*text_projection.weight"):
        texts(copy)


def test_weights_of_another_size(copy):
    change(copy / "config.json", projection_dim=24)
    with pytest.raises(InputError, match="weights in"):
        texts(copy)


def test_a_tokenizer_that_cannot_be_read(copy):
    (copy / "vocab.json").write_text("{")
    with pytest.raises(InputError, match=r"tokenizer in .* can't be read"):
        texts(copy)


def test_code_in_a_folder_is_not_run(copy, tmp_path):
    (copy / "evil.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'ran')!r})\nclass M: pass\n")
    for file in ("config.json", "preprocessor_config.json", "tokenizer_config.json"):
        change(copy / file, auto_map={"AutoModel": "evil.M", "AutoTokenizer": ["evil.M", "evil.M"]})
    ClipEncoder.open(copy, select("cpu"))._processor()
    assert texts(copy).shape == (1, 16)
    assert not (tmp_path / "ran").exists()


def test_large_files_are_hashed_once(model, monkeypatch):
    real, hashed = store.hashlib.file_digest, []
    monkeypatch.setattr(store.hashlib, "file_digest", lambda f, kind: hashed.append(f.name) or real(f, kind))
    first = check_folder(model)
    assert str(model / "model.safetensors") in hashed
    hashed.clear()
    assert check_folder(model) == first
    assert hashed == []
    times = (model / "model.safetensors").stat()
    os.utime(model / "model.safetensors", ns=(times.st_atime_ns, times.st_mtime_ns + 10**9))
    assert check_folder(model) == first
    assert hashed == [str(model / "model.safetensors")]
