"""The tool that makes a model file of the published TimeSenCLIP encoder."""

import sys

import convert_timesenclip as convert
import layout
import pytest
import torch

sys.path.append(str(layout.ROOT / "engine" / "tests"))
from sits_engine.device import select
from sits_engine.models.clip.choice import clip_of
from sits_engine.models.model_file import load_model
from sits_engine.models.timesenclip.steps import aggregated
from support.tiny_clip import tiny_clip

GOLDEN = layout.ROOT.parent / "shared" / "golden"


def golden():
    path = GOLDEN / "timesenclip_small.pt"
    if not path.is_file():
        pytest.skip(f"golden file {path} is missing")
    return torch.load(path, weights_only=True)


def checkpoint(path, state, prefix="learner.ts_encoder.", token="time_token", **others):
    """A made-up Lightning checkpoint."""
    named = {prefix + name.replace("time_token", token): value for name, value in state.items()}
    torch.save({"epoch": 3, "global_step": 7, "state_dict": {**named, **others}, "loops": {}}, path)
    return path


@pytest.mark.parametrize("token", ["time_token", "class_token"])
@pytest.mark.parametrize("prefix", ["learner.ts_encoder.", "learner.TS_ViT.", ""])
def test_both_prefixes_and_both_names_of_the_token(tmp_path, prefix, token) -> None:
    data = golden()
    others = {"learner.logit_scale": torch.tensor(3.3), "learner.queue": torch.zeros(4, 8)}
    source = checkpoint(tmp_path / "a.ckpt", data["state_dict"], prefix, token, **others)
    convert.main([str(source), str(tmp_path / "a.safetensors"), "--heads", "4", "--reference"])
    module, card = load_model(tmp_path / "a.safetensors")
    assert card.band_names == list(convert.BANDS)
    assert float(module.logit_scale.detach()) == pytest.approx(3.3)
    # raw digital numbers are reflectance times 10,000; the card's constants are published
    raw = data["inputs"]["raw"] / 1e4
    mean = torch.tensor([band.mean for band in card.bands])[:, None, None]
    std = torch.tensor([band.std for band in card.bands])[:, None, None]
    images = ((raw - mean) / std).clamp(0, 1)
    for steps, name in ((12, "inf_T12"), (4, "inf_T4_median_input"), (1, "inf_T1_median_input")):
        x, used = aggregated(images, torch.ones(5, 12, dtype=torch.bool), steps)
        with torch.no_grad():
            out = module(x, module.months_of(steps).expand(5, -1), used)
        torch.testing.assert_close(out, data["outputs"][name], atol=1e-5, rtol=1e-4)


def test_the_clip_model_is_named_and_must_fit(tmp_path) -> None:
    source = checkpoint(tmp_path / "a.ckpt", golden()["state_dict"])
    given = [str(source), str(tmp_path / "a.safetensors"), "--heads", "4", "--clip"]
    convert.main([*given, str(tiny_clip(tmp_path / "fits", dim=32))])
    card = load_model(tmp_path / "a.safetensors")[1]
    assert clip_of(card, None, select("cpu")).name == "fits"
    assert card.provenance["scale_learned"] is False
    with pytest.raises(SystemExit, match="belongs to another CLIP model"):
        convert.main([*given, str(tiny_clip(tmp_path / "other", dim=16))])


def test_bands_in_the_older_order(tmp_path) -> None:
    source = checkpoint(tmp_path / "a.ckpt", golden()["state_dict"])
    convert.main([str(source), str(tmp_path / "a.safetensors"), "--heads", "4", "--swap-blue-red"])
    card = load_model(tmp_path / "a.safetensors")[1]
    assert card.band_names[:4] == ["B04", "B03", "B02", "B05"]
    assert card.bands[0].mean == pytest.approx(93.27e-4)


def test_what_is_no_encoder_is_said(tmp_path) -> None:
    state, target = golden()["state_dict"], str(tmp_path / "b.safetensors")
    with pytest.raises(SystemExit, match="holds no TimeSenCLIP satellite encoder"):
        convert.main([str(checkpoint(tmp_path / "a.ckpt", {"x.weight": torch.ones(2)})), target])
    even = {**state, "spectral_embedding.1.weight": torch.ones(32, 40)}
    with pytest.raises(SystemExit, match="takes 40 numbers a date"):
        convert.main([str(checkpoint(tmp_path / "a.ckpt", even)), target])
    with pytest.raises(SystemExit, match="5 attention heads don't divide 32"):
        convert.main([str(checkpoint(tmp_path / "a.ckpt", state)), target, "--heads", "5"])
    lacking = {name: value for name, value in state.items() if name != "time_pos_encoding"}
    with pytest.raises(SystemExit, match="no TimeSenCLIP encoder of the released form"):
        convert.main([str(checkpoint(tmp_path / "a.ckpt", lacking)), target, "--heads", "4"])
    with pytest.raises(SystemExit, match=r"must end with \.safetensors"):
        convert.main([str(tmp_path / "a.ckpt"), "b.pt"])
    torch.save([torch.ones(3)], tmp_path / "list.ckpt")
    with pytest.raises(SystemExit, match="is no checkpoint"):
        convert.main([str(tmp_path / "list.ckpt"), target])
    (tmp_path / "code.ckpt").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(SystemExit, match="refused or damaged"):
        convert.main([str(tmp_path / "code.ckpt"), target])


def test_the_tool_does_not_ship() -> None:
    assert not [place for place in layout.files() if "convert_timesenclip" in place]
