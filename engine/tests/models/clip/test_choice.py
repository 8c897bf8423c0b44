"""The CLIP model of a satellite model: found by what it is, not by where it lies."""

import shutil

import pytest
from networks import card as other_card
from support.tiny_clip import tiny_clip
from support.word_maps import photo_card, spread_encoder

from sits_engine.device import select
from sits_engine.errors import InputError, ModelError
from sits_engine.models.clip.choice import clip_of
from sits_engine.models.clip.fetch import models_folder

CPU = select("cpu")


@pytest.fixture
def clip(tmp_path):
    return tiny_clip(tmp_path / "clip", dim=16)


def card(clip):
    return photo_card(spread_encoder(), clip)


def test_where_it_lay_in_training(clip):
    assert clip_of(card(clip), None, CPU).folder.path == clip


def test_a_folder_that_the_user_names(clip, tmp_path):
    copy = shutil.copytree(clip, tmp_path / "copy")
    found = clip_of(card(clip), copy, CPU)
    assert found.folder.path == copy
    assert found.name == "copy"


def test_the_models_folder_is_searched_for_the_same_model(clip, tmp_path):
    facts = card(clip)
    tiny_clip(models_folder() / "clip", dim=16, seed=3)  # of its name, but another one
    shutil.move(clip, models_folder() / ".unfinished")
    with pytest.raises(InputError, match="CLIP model 'clip' that the satellite model was trained") as caught:
        clip_of(facts, None, CPU)
    assert "Fetch CLIP model" in caught.value.advice
    shutil.move(models_folder() / ".unfinished", models_folder() / "moved")
    assert clip_of(facts, None, CPU).name == "moved"


def test_something_else_lies_there_by_now(clip):
    facts = card(clip)
    copy = shutil.copytree(clip, models_folder() / "a copy")
    shutil.rmtree(clip)
    tiny_clip(clip, dim=16, seed=7)
    assert clip_of(facts, None, CPU).folder.path == copy


def test_what_is_there_but_useless_is_said_so(clip):
    facts = card(clip)

    def refusal() -> str:
        with pytest.raises(
            InputError, match="CLIP model 'clip' that the satellite model was trained"
        ) as caught:
            clip_of(facts, None, CPU)
        assert "not found" not in caught.value.message
        return caught.value.message

    weights = clip / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    assert f"{clip} is there, but its weights are damaged or cut short (model.safetensors)." in refusal()
    weights.unlink()
    assert f"{clip} is there, but is incomplete: model.safetensors (the weights) is missing." in refusal()
    shutil.rmtree(clip)
    tiny_clip(clip, dim=16, seed=7)
    assert f"{clip} is there, but holds another model" in refusal()
    for name in ("vocab.json", "tokenizer.json"):
        (clip / name).unlink(missing_ok=True)
    assert f"{clip} is there, but has no tokenizer" in refusal()
    models_folder().mkdir(parents=True)
    clip.rename(models_folder() / "clip")
    assert f"{clip} is not there any more. {models_folder() / 'clip'} is there, but has no" in refusal()


def test_another_model_is_an_error_that_names_both(clip, tmp_path):
    other = tiny_clip(tmp_path / "other", dim=16, seed=1)
    facts = card(clip)
    with pytest.raises(ModelError) as caught:
        clip_of(facts, other, CPU)
    assert str(other) in caught.value.message
    assert facts.provenance["clip"]["fingerprint"][:12] in caught.value.message
    assert "Choose the folder of 'clip'" in caught.value.advice


def test_a_model_without_words(clip):
    with pytest.raises(ModelError, match="knows neither words nor photos"):
        clip_of(other_card(), clip, CPU)


def test_a_folder_that_is_none(clip, tmp_path):
    with pytest.raises(InputError, match="is no folder"):
        clip_of(card(clip), tmp_path / "none", CPU)
