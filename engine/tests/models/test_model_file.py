import json
from pathlib import Path

import pytest
import torch
from networks import card, network
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from sits_engine.errors import EngineError, InputError, ModelError
from sits_engine.models.card import FastCard
from sits_engine.models.model_file import CARD_KEY, load_fast, load_model, read_card, save_model


@pytest.fixture
def path(tmp_path):
    target = tmp_path / "modèle d'été.safetensors"
    save_model(target, network(), card())
    return target


def rewrite(path, *, tensors=None, change=None, fresh_sums=False):
    """Write the file again with other tensors, or with a card changed by `change`."""
    import hashlib

    with safe_open(path, "pt") as file:
        metadata = dict(file.metadata())
    kept = load_file(path) if tensors is None else tensors
    if change:
        content = json.loads(metadata[CARD_KEY])
        change(content)
        metadata[CARD_KEY] = json.dumps(content)
    if fresh_sums:
        metadata["sits_model_card_sha256"] = hashlib.sha256(metadata[CARD_KEY].encode()).hexdigest()
    save_file(kept, path, metadata)


def test_what_was_saved_comes_back(path):
    module, description = load_model(path)
    assert not module.training
    for name, value in network().state_dict().items():
        assert torch.equal(module.state_dict()[name], value)
    assert description == read_card(path)
    assert len(description.tensors_sha256) == 64
    assert description.model_copy(update={"tensors_sha256": ""}) == card()
    assert all(p.requires_grad for p in module.parameters())


def test_no_file(tmp_path):
    with pytest.raises(ModelError, match=r"no model file .*nothing\.safetensors"):
        load_model(tmp_path / "nothing.safetensors")
    with pytest.raises(ModelError, match="no model file"):
        load_model(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a model at all", b"\x80\x04\x95pickle" * 50])
def test_a_file_that_is_no_model(path, content):
    path.write_bytes(content)
    for read in (load_model, read_card):
        with pytest.raises(ModelError, match="is no model of SITS for QGIS: it is not in the safetensors"):
            read(path)


def test_safetensors_without_a_card(path):
    save_file({"a": torch.zeros(2)}, path)
    with pytest.raises(ModelError, match="no model card"):
        load_model(path)


def test_truncated(path):
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(ModelError, match="truncated") as raised:
        load_model(path)
    assert "Get the file again" in raised.value.advice


def test_weights_tampered_with(path):
    content = bytearray(path.read_bytes())
    content[-5] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"don't match their checksum"):
        load_model(path)


def test_card_tampered_with(path):
    rewrite(path, change=lambda c: c["classes"][0].update(name="gold"))
    for read in (load_model, read_card):
        with pytest.raises(ModelError, match=r"card .* doesn't match its checksum"):
            read(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(architecture="resnet"), "network 'resnet', which this engine doesn't know"),
        (lambda c: c.update(format="sits-model/99"), "format 'sits-model/99'"),
        (lambda c: c.pop("bands"), "bands: Field required"),
        (lambda c: c["classes"].pop(), "names 3 classes, its network has 4"),
        (lambda c: c["bands"].pop(), "names 2 bands, its network has 3"),
        (lambda c: c["hyperparameters"].update(d_model=128), "don't fit the network on its card"),
        (lambda c: c["hyperparameters"].update(mlp1=[2**40, 2**40]), "don't fit|can't be built"),
        (lambda c: c["hyperparameters"].update(mlp1="many"), "can't be built"),
    ],
)
def test_a_card_that_doesn_t_fit(path, change, message):
    rewrite(path, change=change, fresh_sums=True)
    with pytest.raises(ModelError, match=message):
        load_model(path)


def test_a_card_that_is_no_json(path):
    with safe_open(path, "pt") as file:
        metadata = dict(file.metadata())
    save_file(load_file(path), path, {**metadata, CARD_KEY: "{"})
    with pytest.raises(ModelError, match=r"card in .* can't be read"):
        load_model(path)


def test_an_existing_model_survives_a_failed_save(path, monkeypatch):
    before = path.read_bytes()

    def full(target, content):
        with open(target, "wb") as file:
            file.write(content[: len(content) // 2])
        if content:  # the probe before writing is empty
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(EngineError, match="is full") as raised:
        save_model(path, network(), card())
    assert raised.value.code == "DISK_FULL"
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_colleagues_can_read_it(path):
    beside = path.with_name("beside")
    beside.write_bytes(b"")
    assert path.stat().st_mode == beside.stat().st_mode


def test_a_folder_that_can_t_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EngineError) as raised:
        save_model(tmp_path / "file" / "m.safetensors", network(), card())
    assert raised.value.code == "OUTPUT_NOT_WRITABLE"


@pytest.fixture
def both(tmp_path):
    """A file with a fast network beside the model."""
    own = FastCard(
        hyperparameters=card(width="fast").hyperparameters, temperature=1.5, scores={"agreement": 0.9}
    )
    save_model(tmp_path / "both.safetensors", network(), card(), (network(width="fast", seed=1), own))
    return tmp_path / "both.safetensors"


def test_a_fast_network_is_kept_beside_the_model(both):
    module, description = load_model(both)
    assert torch.equal(module.decoder[-1].weight, network().decoder[-1].weight)
    assert description.hyperparameters == card().hyperparameters
    fast, own = load_fast(both)
    for name, value in network(width="fast", seed=1).state_dict().items():
        assert torch.equal(fast.state_dict()[name], value)
    assert not fast.training
    assert (own.temperature, own.scores) == (1.5, {"agreement": 0.9})
    assert own.hyperparameters == card(width="fast").hyperparameters
    assert (own.bands, own.classes, own.fast) == (description.bands, description.classes, None)
    assert own.tensors_sha256 == description.tensors_sha256


def test_a_file_without_a_fast_network_says_nothing_of_one_and_older_engines_read_it(path, both, tmp_path):
    with safe_open(path, "pt") as file:
        written = json.loads(file.metadata()[CARD_KEY])
    assert "fast" not in written
    assert written["format"] == "sits-model/1"
    with pytest.raises(InputError, match="holds no fast network") as refused:
        load_fast(path)
    assert "FAST" in refused.value.advice
    # saved again with other weights, the old fast network would be wrong: it goes
    module, description = load_model(both)
    again = save_model(tmp_path / "again.safetensors", module, description)
    assert (again.fast, again.format) == (None, "sits-model/1")
    assert read_card(both).format == "sits-model/2"


def test_the_checksum_holds_the_fast_network_as_well(both):
    tensors = load_file(both)
    tensors["fast.decoder.1.weight"][0, 0] += 1
    rewrite(both, tensors=tensors)
    for read in (load_model, load_fast):
        with pytest.raises(ModelError, match="don't match their checksum"):
            read(both)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["fast"]["hyperparameters"].update(n_classes=9), "names 4 classes, its network has 9"),
        (lambda c: c["fast"]["hyperparameters"].update(d_model=128), "don't fit the network on its card"),
        (lambda c: c["fast"].update(more=1), r"fast\.more"),
    ],
)
def test_a_fast_part_that_does_not_fit(both, change, message):
    rewrite(both, change=change, fresh_sums=True)
    with pytest.raises(ModelError, match=message):
        load_fast(both)
