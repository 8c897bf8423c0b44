import pytest
from support.model_hub import COMMIT, model_hub
from support.tiny_clip import tiny_clip

from sits_engine.context import JobContext
from sits_engine.errors import InputError
from sits_engine.jobs import job_class
from sits_engine.jobs.fetch_clip import NAME
from sits_engine.models.clip.fetch import DEFAULT, default_clip


def run(**params):
    return job_class("fetch-clip").parse(params).run(JobContext())


def test_it_fetches_once_and_tells_what_it_has(tmp_path, monkeypatch):
    with model_hub("somebody/tiny", tiny_clip(tmp_path / "hub")) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        params = {"name": "somebody/tiny", "revision": COMMIT, "accept": True}
        with pytest.raises(InputError, match="Nothing was fetched"):
            run(**{**params, "accept": False})
        found = run(**params)
        asked = len(hub.requests)
        again = run(**{**params, "accept": False})
        assert len(hub.requests) == asked
        elsewhere = run(**params, models_folder=str(tmp_path / "models"))
    assert found.outputs == again.outputs == {"folder": str(default_clip())}
    assert elsewhere.outputs == {"folder": str(tmp_path / "models" / "tiny")}
    assert found.scores["dim"] == 16
    assert found.scores["max_tokens"] == 300
    assert found.scores["fingerprint"] == elsewhere.scores["fingerprint"]


def test_the_default_is_the_published_model():
    assert NAME == DEFAULT
