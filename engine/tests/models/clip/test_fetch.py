import json
import threading

import pytest
from support.model_hub import COMMIT, model_hub
from support.tiny_clip import tiny_clip

from sits_engine.context import JobContext
from sits_engine.device import select
from sits_engine.errors import Cancelled, EngineError, InputError
from sits_engine.models.clip import ClipEncoder, default_clip, fetch_clip
from sits_engine.models.clip.fetch import DEFAULT, KNOWN, RECORD, models_folder

NAME = "somebody/tiny-clip"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_clip(tmp_path_factory.mktemp("hub") / "model")


@pytest.fixture
def hub(model, monkeypatch):
    with model_hub(NAME, model) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


def fetched(revision: str | None = COMMIT, **options):
    return fetch_clip(NAME, revision, None, JobContext(), **{"accept": True, **options})


def unfinished():
    return list(models_folder().glob(".*")) if models_folder().exists() else []


def test_a_model_arrives_complete_and_works(hub, model):
    (model / "README.md").write_text("not needed")
    (model / "pytorch_model.bin").write_bytes(b"not needed: there are safetensors")
    steps = []
    ctx = JobContext(lambda kind, fields: steps.append((kind, fields)))
    try:
        found = fetch_clip(NAME, COMMIT, None, ctx, accept=True)
    finally:
        (model / "README.md").unlink()
        (model / "pytorch_model.bin").unlink()
    assert found == models_folder() / "tiny-clip"
    assert {path.name for path in found.iterdir()} == {path.name for path in model.iterdir()} | {RECORD}
    device = select("cpu")
    assert ClipEncoder.open(found, device).fingerprint == ClipEncoder.open(model, device).fingerprint
    record = json.loads((found / RECORD).read_text())
    assert (record["name"], record["revision"], record["from"]) == (NAME, COMMIT, hub.url)
    assert default_clip() == found
    percents = [fields["percent"] for kind, fields in steps if kind == "progress"]
    assert percents == sorted(percents)
    assert percents[-1] == 100
    assert any("0.3 MB" in fields["text"] for kind, fields in steps if kind == "log")
    assert unfinished() == []


def test_nothing_of_the_user_is_sent(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secretsecretsecret")
    fetched()
    assert hub.requests
    assert not any("authorization" in map(str.lower, headers) for _, _, headers in hub.requests)


def test_a_model_that_is_there_is_not_fetched_again(hub):
    first = fetched()
    before = len(hub.requests)
    assert fetched(accept=False) == first
    assert len(hub.requests) == before


def test_a_branch_is_looked_up_once_and_the_commit_written_down(hub):
    found = fetched("main")
    record = json.loads((found / RECORD).read_text())
    assert (record["asked"], record["revision"]) == ("main", COMMIT)
    downloads = [path for method, path, _ in hub.requests if "/resolve/" in path]
    assert downloads
    assert all(f"/resolve/{COMMIT}/" in path for path in downloads)
    before = len(hub.requests)
    assert fetched("main") == fetched(COMMIT) == found
    assert len(hub.requests) == before


def test_without_the_users_word_nothing_is_asked(hub):
    with pytest.raises(InputError, match=r"Nothing was fetched.*ACCEPT"):
        fetched(accept=False)
    assert hub.requests == []
    assert not models_folder().exists()


def test_known_models_have_a_fixed_commit():
    assert DEFAULT in KNOWN
    assert all(len(commit) == 40 for commit in KNOWN.values())
    with pytest.raises(InputError, match=r"revision 'main' of .* is no commit"):
        fetch_clip(DEFAULT, "main", None, JobContext(), accept=True)


@pytest.mark.parametrize(
    ("name", "words"), [("clip", "no name of a model"), ("a/../b", "no name of a model")]
)
def test_what_is_no_name(name, words):
    with pytest.raises(InputError, match=words):
        fetch_clip(name, None, None, JobContext(), accept=True)


def test_other_models_need_a_revision(hub):
    with pytest.raises(InputError, match=r"revision of somebody/tiny-clip is not stated.*branch"):
        fetched(None)
    assert hub.requests == []


def test_offline_says_the_way_out(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(
        EngineError, match=r"can't be fetched from http://127.0.0.1:9.*copy its folder"
    ) as caught:
        fetched()
    assert caught.value.code == "NETWORK"
    assert str(models_folder()) in caught.value.advice


def test_unknown_model_and_revision(hub):
    with pytest.raises(InputError, match="no model somebody/else"):
        fetch_clip("somebody/else", COMMIT, None, JobContext(), accept=True)
    with pytest.raises(InputError, match=r"no revision 'f{40}'"):
        fetched("f" * 40)


def test_a_model_with_terms(hub):
    hub.gated = True
    with pytest.raises(InputError, match="log in and agree"):
        fetched()


def test_a_hub_that_answers_another_commit_is_refused(hub):
    hub.claimed = "9" * 40
    with pytest.raises(EngineError, match=r"answers 9{40}"):
        fetched()


def test_a_damaged_file_is_noticed_and_nothing_stays(hub):
    hub.damage = "model.safetensors"
    with pytest.raises(EngineError, match=r"model.safetensors arrived damaged"):
        fetched()
    assert not (models_folder() / "tiny-clip").exists()
    assert unfinished() == []


def test_another_architecture_is_noticed_before_its_weights_come(tmp_path, monkeypatch):
    for name, text in (("config.json", '{"model_type": "bert"}'), ("model.safetensors", "x" * 100_000)):
        (tmp_path / name).write_text(text)
    with model_hub(NAME, tmp_path) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        with pytest.raises(InputError, match="architecture 'bert'"):
            fetched()
        assert not any(path.endswith("model.safetensors") for _, path, _ in hub.requests)
    assert unfinished() == []


def test_a_model_without_weights_for_pytorch(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text('{"model_type": "clip"}')
    (tmp_path / "tf_model.h5").write_text("x")
    with model_hub(NAME, tmp_path) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        with pytest.raises(InputError, match="no weights for PyTorch"):
            fetched()


def test_cancelled_in_the_middle_of_a_file(hub):
    hub.hold = threading.Event()
    ctx = JobContext()

    def watch() -> None:
        while not any(method == "GET" and path.endswith("safetensors") for method, path, _ in hub.requests):
            threading.Event().wait(0.02)
        ctx.cancel()

    threading.Thread(target=watch, daemon=True).start()
    with pytest.raises(Cancelled):
        fetch_clip(NAME, COMMIT, None, ctx, accept=True)
    hub.hold.set()
    assert not (models_folder() / "tiny-clip").exists()
    assert unfinished() == []


def test_something_else_in_the_way_is_left_alone(hub):
    there = models_folder() / "tiny-clip"
    there.mkdir(parents=True)
    (there / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="is in the way: it holds something else"):
        fetched()
    assert (there / "mine.txt").read_text() == "mine"


def test_the_default_is_a_single_model(model):
    assert default_clip() is None
    for name in ("one", "two"):
        tiny_clip(models_folder() / name)
        (models_folder() / ".three.partial-1").mkdir(exist_ok=True)
        assert default_clip() == (models_folder() / "one" if name == "one" else None)
