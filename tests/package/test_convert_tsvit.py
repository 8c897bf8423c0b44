"""The tool that makes model files of published segmentation networks, and the one that scores them."""

import json
import os
import sys

import convert_tsvit as convert
import convert_windows
import evaluate_windows
import layout
import numpy as np
import pytest
import torch

sys.path.append(str(layout.ROOT / "engine" / "tests"))
from sits_engine.models.model_file import load_model
from support.published_windows import write_pastis
from support.two_regions import write_region

GOLDEN = layout.ROOT.parent / "shared" / "golden"


def tsvit(classes=19, bands=10, window=24, patch=2, dim=16, inner=16, layers=(2, 1), seed=0):
    """Random parameters with the names of the published TSViT."""
    torch.manual_seed(seed)
    state = {
        "temporal_token": torch.randn(1, classes, dim),
        "space_pos_embedding": torch.randn(1, (window // patch) ** 2, dim),
        "to_patch_embedding.1.weight": torch.randn(dim, patch**2 * bands),
        "to_patch_embedding.1.bias": torch.randn(dim),
        "to_temporal_embedding_input.weight": torch.randn(dim, 366),
        "to_temporal_embedding_input.bias": torch.randn(dim),
        "mlp_head.0.weight": torch.ones(dim),
        "mlp_head.0.bias": torch.zeros(dim),
        "mlp_head.1.weight": torch.randn(patch**2, dim),
        "mlp_head.1.bias": torch.randn(patch**2),
    }
    for name, depth in zip(("temporal_transformer", "space_transformer"), layers, strict=True):
        for i in range(depth):
            layer = f"{name}.layers.{i}"
            shapes = {
                f"{layer}.0.norm.weight": (dim,),
                f"{layer}.0.norm.bias": (dim,),
                f"{layer}.0.fn.to_qkv.weight": (3 * inner, dim),
                f"{layer}.0.fn.to_out.0.weight": (dim, inner),
                f"{layer}.0.fn.to_out.0.bias": (dim,),
                f"{layer}.1.norm.weight": (dim,),
                f"{layer}.1.norm.bias": (dim,),
                f"{layer}.1.fn.net.0.weight": (2 * dim, dim),
                f"{layer}.1.fn.net.0.bias": (2 * dim,),
                f"{layer}.1.fn.net.3.weight": (dim, 2 * dim),
                f"{layer}.1.fn.net.3.bias": (dim,),
            }
            state |= {key: 0.3 * torch.randn(shape) for key, shape in shapes.items()}
        state |= {f"{name}.norm.weight": torch.ones(dim), f"{name}.norm.bias": torch.zeros(dim)}
    return state


def golden(name):
    path = GOLDEN / f"{name}.pt"
    if not path.is_file():
        pytest.skip(f"golden file {path} is missing")
    return torch.load(path, weights_only=True)


@pytest.fixture
def saved(tmp_path):
    """Writes a checkpoint; gives source and target."""

    def save(content, name="best.pth"):
        torch.save(content, tmp_path / name)
        return str(tmp_path / name), str(tmp_path / "m.safetensors")

    return save


@pytest.fixture(scope="module")
def pastis(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pastis")
    write_pastis(folder / "PASTIS", side=24, folds=(1, 4, 5))
    convert_windows.main(["pastis", str(folder / "p.zarr"), str(folder / "PASTIS"), "--dates", "6"])
    return folder / "p.zarr"


def test_a_tsvit_of_pastis_becomes_a_model(saved, tmp_path):
    # as it is saved from several cards, with a number beside it
    state = {f"module.{name}": value for name, value in tsvit().items()}
    source, target = saved({"state_dict": state, "epoch": 3, "best": np.float64(0.6)})
    convert.main([source, target, "--published", "pastis"])
    module, card = load_model(tmp_path / "m.safetensors")
    assert card.architecture == "tsvit"
    expected = {
        "n_bands": 10,
        "n_classes": 19,
        "n_dates": 60,
        "window": 24,
        "patch": 2,
        "dim": 16,
        "temporal_depth": 2,
        "spatial_depth": 1,
        "heads": 4,
        "head_dim": 4,
        "mlp_ratio": 2,
        "reference": True,
        "first_day": 1,
    }
    assert {key: card.hyperparameters[key] for key in expected} == expected
    assert (card.class_names[0], card.class_names[-1]) == ("background", "sorghum")
    assert card.band_names == ["B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"]
    assert card.bands[0].mean == pytest.approx(0.11659398)
    assert card.bands[0].std == pytest.approx(0.19426156)
    assert (card.season_year, card.positions, card.mask_dates) == (2019, [], False)
    assert card.provenance["trained_on"] == "PASTIS"
    assert card.provenance["resolution"] == 10
    assert torch.equal(module.state_dict()["temporal.class_tokens"], state["module.temporal_token"][0])


@pytest.mark.parametrize("name", ["tsvit_dense_deepsat_p2", "tsvit_dense_deepsat_p3"])
def test_a_tsvit_of_the_reference_gives_its_logits(saved, tmp_path, name):
    given = golden(name)
    config = given["config"]
    names = [f"class {i}" for i in range(config["num_classes"])]
    bands = [f"B0{i + 2}" for i in range(config["num_channels"] - 1)]
    (tmp_path / "bands.csv").write_text("band,mean,std\n" + "".join(f"{b},0,1\n" for b in bands))
    source, target = saved(given["state_dict"])
    convert.main(
        [
            *(source, target, "--classes", ",".join(names), "--normalisation", str(tmp_path / "bands.csv")),
            *("--dates", str(config["max_seq_len"]), "--heads", str(config["heads"])),
        ]
    )
    module, card = load_model(tmp_path / "m.safetensors")
    x = given["inputs"]["x"]
    days = torch.round(x[:, :, 0, 0, -1] * 365.0001).to(torch.int64)
    used = x.flatten(2).abs().amax(-1) > 0
    with torch.no_grad():
        # ours count from 0
        logits = module(x[..., :-1].permute(0, 1, 4, 2, 3), days - 1, used)
    torch.testing.assert_close(logits, given["outputs"]["logits"], atol=1e-5, rtol=1e-4)
    assert card.band_names == bands


@pytest.mark.parametrize(
    ("name", "network"), [("unet3df_stage2_mag1", "unet3df"), ("biconvgru", "biconvgru")]
)
def test_other_networks_of_the_reference(saved, tmp_path, name, network):
    given = golden(name)
    source, target = saved(given["state_dict"])
    (tmp_path / "bands.csv").write_text("band,mean,std\n" + "".join(f"B0{i},0.1,0.2\n" for i in range(2, 7)))
    options = ["--classes", "a,b,c,d,e", "--normalisation", str(tmp_path / "bands.csv")]
    convert.main([source, target, *options, "--dates", "8", "--window", "8", "--season-year", "2017"])
    module, card = load_model(tmp_path / "m.safetensors")
    assert (card.architecture, card.season_year) == (network, 2017)
    assert (card.hyperparameters["n_dates"], card.hyperparameters["window"]) == (8, 8)
    assert card.provenance["normalisation"] == "bands.csv"
    with torch.no_grad():
        logits = module(torch.zeros(1, 8, 5, 8, 8), torch.arange(8)[None] * 20, torch.ones(1, 8, dtype=bool))
    assert logits.shape == (1, 5, 8, 8)


@pytest.mark.parametrize(
    ("name", "network", "dates"),
    [("unet3d_full_proc", "unet3d", 16), ("unet2d_clstm_proc", "unet2d_clstm", 4)],
)
def test_networks_of_full_size_by_names_and_shapes(saved, tmp_path, name, network, dates):
    given = golden(name)
    state = {key: torch.ones(shape) for key, shape in zip(given["names"], given["shapes"], strict=True)}
    state = {key: value.long() if key.endswith("tracked") else value for key, value in state.items()}
    bands = given["config"]["num_channels"] - 1
    (tmp_path / "bands.csv").write_text("band,mean,std\n" + "".join(f"X{i},0,1\n" for i in range(bands)))
    names = ",".join(f"class {i}" for i in range(given["config"]["num_classes"]))
    source, target = saved(state)
    convert.main([source, target, "--classes", names, "--normalisation", str(tmp_path / "bands.csv")])
    card = load_model(tmp_path / "m.safetensors")[1]
    assert (card.architecture, card.hyperparameters["n_dates"]) == (network, dates)


def test_the_converted_model_maps(saved, tmp_path):
    from sits_engine.context import JobContext
    from sits_engine.jobs.map_crops import MapCrops

    region = write_region(tmp_path / "region", (600000.0, 5600000.0), 0, 1)
    (tmp_path / "bands.csv").write_text("band,mean,std\nB04,0.1,0.2\nB08,0.3,0.2\n")
    source, target = saved(tsvit(classes=3, bands=2, window=8))
    options = ["--classes", "a,b,c", "--normalisation", str(tmp_path / "bands.csv"), "--dates", "12"]
    convert.main([source, target, *options])
    given = {"series": str(region), "model": target, "output": str(tmp_path / "map.tif"), "device": "cpu"}
    MapCrops.parse(given).run(JobContext())
    import rasterio

    with rasterio.open(tmp_path / "map.tif") as file:
        assert set(np.unique(file.read(1))) <= {1, 2, 3}


def test_a_data_set_tells_bands_classes_dates_and_normalisation(saved, tmp_path, pastis):
    source, target = saved(tsvit())
    convert.main([source, target, "--data", str(pastis), "--dates", "5"])
    card = load_model(tmp_path / "m.safetensors")[1]
    assert card.class_names[1] == "meadow"
    assert card.hyperparameters["n_dates"] == 5
    assert card.season_year == 2019
    assert card.positions[0] == -106
    from sits_engine.samples.windows import WindowSet

    values = WindowSet.load(pastis).values
    np.testing.assert_allclose([b.mean for b in card.bands], values.mean(axis=(0, 1, 3, 4)), rtol=1e-4)
    np.testing.assert_allclose([b.std for b in card.bands], values.std(axis=(0, 1, 3, 4)), rtol=1e-4)
    assert card.provenance["normalisation"] == "measured on 3 windows of p.zarr"


def test_what_is_refused(saved, tmp_path, pastis):
    ours = ["--published", "pastis"]
    for content, options, words in (
        (tsvit(classes=20), ours, "has 20 classes, 19 are named"),
        (tsvit(bands=9), ours, "takes 9 bands beside the day, 10 are named"),
        (tsvit(bands=14, classes=17), ["--published", "mtlcc"], "the year as one more channel"),
        (tsvit(), ["--data", str(pastis), "--bands", "B02"], "takes 10 bands beside the day, 1 are named"),
        (tsvit(), [*ours, "--bands", ",".join("ABCDEFGHIJ")], "Nothing tells how the bands are normalised"),
        (tsvit(), [*ours, "--heads", "3"], "3 attention heads don't divide 16"),
        (tsvit(), [*ours, "--dates", "0"], "--dates must be at least 1"),
        (tsvit(), ["--classes", "a"], "give --dates"),
        (tsvit() | {"space_token": torch.zeros(1)}, ours, "whole scenes"),
        (tsvit() | {"attn_sim.rel_h": torch.zeros(1)}, ours, "CSCL pre-training"),
        ({"a.weight": torch.zeros(2)}, ours, "no published network of DeepSatModels"),
        ({"state_dict": [1, 2]}, ours, "no 'state_dict' of tensors"),
        ({**tsvit(), "mlp_head.1.bias": torch.zeros(9)}, ours, "is no published tsvit"),
    ):
        with pytest.raises(SystemExit, match=words):
            convert.main([*saved(content), *options])
    source, target = saved(tsvit())
    with pytest.raises(SystemExit, match=r"none\.pth not found"):
        convert.main([str(tmp_path / "none.pth"), target, *ours])
    with pytest.raises(SystemExit, match=r"must end with \.safetensors"):
        convert.main([source, str(tmp_path / "m.pth"), *ours])
    (tmp_path / "bands.csv").write_text("name\nB02\n")
    with pytest.raises(SystemExit, match="columns band, mean, std"):
        convert.main([source, target, *ours, "--normalisation", str(tmp_path / "bands.csv")])
    assert not (tmp_path / "m.safetensors").exists()


def test_a_network_file_that_runs_code_is_refused(saved, tmp_path):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'ran'}",)

    with pytest.raises(SystemExit, match="refused or damaged, nothing of it was run"):
        convert.main([*saved({**tsvit(), "x": Evil()}), "--published", "pastis"])
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "m.safetensors").exists()


def test_scores_on_a_data_set(saved, tmp_path, pastis, capsys, monkeypatch):
    source, target = saved(tsvit())
    convert.main([source, target, "--published", "pastis"])
    monkeypatch.setattr(evaluate_windows, "AT_ONCE", 2)
    numbers = tmp_path / "scores.json"
    evaluate_windows.main([target, str(pastis), "--device", "cpu", "--numbers", str(numbers)])
    found = json.loads(numbers.read_text("utf-8"))
    from sits_engine.device import select
    from sits_engine.learning.segmentation.inference import predict_windows
    from sits_engine.samples.windows import WindowSet

    windows = WindowSet.load(pastis)
    mapped = predict_windows(*load_model(tmp_path / "m.safetensors"), windows, select("cpu")).argmax(axis=1)
    known = windows.labels >= 0
    assert found["pixels"] == known.sum()
    assert found["scores"]["accuracy"] == pytest.approx((mapped == windows.labels)[known].mean())
    assert "accuracy" in capsys.readouterr().out
    some = evaluate_windows.evaluate(tmp_path / "m.safetensors", pastis, folds=[4], device="cpu")
    assert (some["windows"], some["pixels"]) == (1, known[1].sum())
    assert evaluate_windows.evaluate(tmp_path / "m.safetensors", pastis, device="cpu", most=2)["windows"] == 2


def test_models_and_data_sets_that_do_not_go_together(saved, tmp_path, pastis):
    def model(*options, **sizes):
        convert.main([*saved(tsvit(**sizes)), *options])
        return [str(tmp_path / "m.safetensors"), str(pastis)]

    with pytest.raises(SystemExit, match="no window of the folds 2; it has 1, 4, 5"):
        evaluate_windows.main([*model("--published", "pastis"), "--folds", "2"])
    with pytest.raises(SystemExit, match="sees windows of 48 pixels"):
        evaluate_windows.main(model("--published", "pastis", window=48))
    with pytest.raises(SystemExit, match="no class in common"):
        evaluate_windows.main(model("--data", str(pastis), "--classes", "a,b", classes=2))
    with pytest.raises(SystemExit, match=r"p\.zarr has no band B01"):
        evaluate_windows.main(
            model("--published", "t31tfm", "--classes", ",".join(map(str, range(20))), classes=20, bands=13)
        )


def test_the_tools_do_not_ship():
    shipped = layout.files()
    names = ("convert_tsvit", "network_facts", "evaluate_windows", "plain_tensors")
    assert not [place for place in shipped if any(name in place for name in names)]
