"""Export model: files, their content, what is refused."""

from __future__ import annotations

import json

import onnxruntime
import pytest
from networks import card, network

from sits_engine.context import JobContext
from sits_engine.errors import InputError, ModelError
from sits_engine.jobs.export_model import ExportModel
from sits_engine.models.card import FastCard
from sits_engine.models.model_file import CARD_KEY, save_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model file with a fast network beside the full one."""
    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    small, own = network(seed=1, width="fast"), card(width="fast")
    fast = FastCard(hyperparameters=own.hyperparameters, temperature=0.5, scores={"macro_f1": 0.5})
    save_model(path, network(), card(), (small, fast))
    return path


def run(**given):
    said = []
    ctx = JobContext(lambda kind, fields: said.append(fields.get("text", "")))
    return ExportModel.parse({key: str(value) for key, value in given.items()}).run(ctx), said


def test_network_and_item(model, tmp_path):
    result, said = run(model=model, output=tmp_path / "out" / "m", stac=tmp_path / "m.json")
    output = tmp_path / "out" / "m.onnx"
    assert result.outputs == {"output": str(output), "stac": str(tmp_path / "m.json")}
    assert result.scores["difference"] < 1e-5
    assert result.scores["bytes"] == output.stat().st_size
    assert result.scores["inputs"] == "pixels, valid, positions"
    item = json.loads((tmp_path / "m.json").read_text())
    assert item["assets"]["model"]["href"] == "./out/m.onnx"
    assert item["properties"]["mlm:total_parameters"] == result.scores["parameters"]
    assert any("differ by" in line for line in said)
    assert any(line.startswith("Input 'valid' (bool; batch, dates, pixels)") for line in said)


def test_the_fast_network_has_a_card_of_its_own(model, tmp_path):
    full, _ = run(model=model, output=tmp_path / "full.onnx")
    fast, _ = run(model=model, output=tmp_path / "fast.onnx", fast=True)
    assert fast.scores["parameters"] < full.scores["parameters"]
    session = onnxruntime.InferenceSession(fast.outputs["output"])
    told = json.loads(session.get_modelmeta().custom_metadata_map[CARD_KEY])
    assert told["temperature"] == 0.5
    assert told["hyperparameters"]["mlp1"] == [32]
    assert "fast" not in told


@pytest.mark.parametrize(("output", "stac"), [("m.tif", None), ("m.onnxf", None), ("m.onnx", "m.geojson")])
def test_another_ending_is_refused(model, tmp_path, output, stac):
    more = {} if stac is None else {"stac": tmp_path / stac}
    with pytest.raises(InputError, match=r"must end in \.(onnx|json)\."):
        run(model=model, output=tmp_path / output, **more)
    assert not list(tmp_path.iterdir())


def test_what_is_refused(model, tmp_path):
    with pytest.raises(InputError, match="Model not found"):
        run(model=tmp_path / "none.safetensors", output=tmp_path / "m.onnx")
    (tmp_path / "text.safetensors").write_text("no model")
    with pytest.raises(ModelError, match="not in the safetensors format"):
        run(model=tmp_path / "text.safetensors", output=tmp_path / "m.onnx")
    plain = tmp_path / "plain.safetensors"
    save_model(plain, network(), card())
    with pytest.raises(InputError, match="holds no fast network"):
        run(model=plain, output=tmp_path / "m.onnx", fast=True)
    linked = tmp_path / "m.onnx"
    linked.symlink_to(model)
    with pytest.raises(InputError, match="would be overwritten"):
        run(model=model, output=linked)
