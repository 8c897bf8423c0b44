"""Fetch CLIP model through real qgis_process and the real engine, from a hub on the loopback interface."""

import importlib.util
import json

import layout
import pytest

NAME = "somebody/tiny"


@pytest.fixture
def hub(tmp_path):
    """A hub with what looks like a CLIP model until its weights are read: nothing here needs them."""
    path = layout.ROOT / "engine" / "tests" / "support" / "model_hub.py"
    spec = importlib.util.spec_from_file_location("model_hub", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = tmp_path / "model"
    folder.mkdir()
    for name, text in (
        ("config.json", '{"model_type": "clip", "projection_dim": 16}'),
        ("preprocessor_config.json", "{}"),
        ("tokenizer.json", "{}"),
        ("model.safetensors", "weights"),
    ):
        (folder / name).write_text(text)
    with module.model_hub(NAME, folder) as running:
        running.commit = module.COMMIT
        yield running


def test_it_comes_on_the_users_word_only(real, hub, tmp_path):
    real.env["HF_ENDPOINT"] = hub.url
    asked = ["--json", "run", "sits:fetchclip", "--", f"NAME={NAME}", f"REVISION={hub.commit}"]
    status, _, errors = real.call(*asked)
    assert status != 0
    assert "Nothing was fetched" in errors
    assert hub.requests == []
    status, out, errors = real.call(*asked, "ACCEPT=true")
    assert status == 0, errors
    found = json.loads(out)["results"]
    assert found["FOLDER"] == str(tmp_path / "home" / "models" / "clip" / "tiny")
    assert found["DIM"] == 16
    assert len(found["FINGERPRINT"]) == 64
    assert json.loads((tmp_path / "home/models/clip/tiny/fetched.json").read_text())["revision"] == hub.commit
