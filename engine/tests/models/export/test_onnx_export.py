"""Exported networks give the numbers of PyTorch's, for any batch and dates, and carry their card."""

from __future__ import annotations

import builtins
import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from networks import card, network, pixel_sets
from support.photo_series import satellite_card, satellite_encoder
from support.small_segmenters import segmenter

from sits_engine.device import select
from sits_engine.errors import InputError, ModelError
from sits_engine.models.export import onnx_export
from sits_engine.models.export.forms import form_of
from sits_engine.models.export.onnx_export import OPSET, PORTS_KEY, example, export_onnx
from sits_engine.models.inference import Predictor
from sits_engine.models.model_file import CARD_KEY
from sits_engine.models.registry import build, exact_hyperparameters
from sits_engine.models.segment_inference import SegmentPredictor

CPU = select("cpu")


def session(path):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def pixels(tmp_path_factory):
    """PSE+LTAE with a temperature and a shift: file, network, card."""
    path = tmp_path_factory.mktemp("onnx") / "m.onnx"
    module, own = network(shift=9), card(shift=9, temperature=0.4)
    return path, module, own, export_onnx(path, module, own)


def test_pixels_give_what_maps_give(pixels):
    path, module, own, _ = pixels
    sets = pixel_sets([1] * 40, dates=11, clear=0.4)
    values, valid = sets.values, sets.valid
    valid[3] = False
    given = {
        "pixels": np.where(valid[:, :, None], values, np.nan)[..., None].astype(np.float32),
        "valid": valid[..., None],
        "positions": sets.positions.astype(np.float32),
    }
    found = session(path).run(["probabilities"], given)[0]
    wanted = Predictor(module, own, CPU).predict_pixels(
        values.transpose(1, 2, 0),
        valid.T,
        np.ones((11, 3), np.float32),
        np.zeros((11, 3), np.float32),
        sets.positions[0],
    )
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert (found[3] == 0).all()
    assert found[valid.any(1)].std(axis=0).max() > 0.02


def test_sets_give_what_maps_of_parcels_give(pixels):
    path, module, own, _ = pixels
    sets = pixel_sets([5] * 6, dates=4)
    wanted = Predictor(module, own, CPU).predict_sets(sets)
    given = {
        "pixels": sets.values.reshape(6, 5, 4, 3).transpose(0, 2, 3, 1),
        "valid": sets.valid.reshape(6, 5, 4).transpose(0, 2, 1),
        "positions": sets.positions.astype(np.float32),
    }
    np.testing.assert_allclose(session(path).run(None, given)[0], wanted, atol=1e-5)


def test_card_inputs_and_nothing_of_this_computer_stand_in_the_file(pixels):
    path, module, own, exported = pixels
    facts = session(path).get_modelmeta().custom_metadata_map
    assert json.loads(facts[CARD_KEY])["classes"] == own.model_dump()["classes"]
    told = json.loads(facts[PORTS_KEY])
    assert [one["name"] for one in told["inputs"]] == ["pixels", "valid", "positions"]
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert {one.domain: one.version for one in model.opset_import} == {"": OPSET}
    assert told["opset"] == OPSET
    axes = {
        one.name: [d.dim_param or d.dim_value for d in one.type.tensor_type.shape.dim]
        for one in model.graph.input
    }
    assert axes["pixels"] == ["batch", "dates", 3, "pixels"]
    assert b".py" not in path.read_bytes()
    assert exported.difference < 1e-5
    assert exported.parameters == sum(one.numel() for one in module.parameters())


@pytest.mark.parametrize("changes", [{"reference": True}, {"mask_dates": False}])
def test_published_form_sees_clouds(changes, tmp_path):
    module = network(reference="reference" in changes)
    own = card(**changes)
    export_onnx(tmp_path / "m.onnx", module, own)
    sets = pixel_sets([4] * 5, dates=6, regions=2)
    given = {
        "pixels": sets.values.reshape(5, 4, 6, 3).transpose(0, 2, 3, 1),
        "valid": sets.valid.reshape(5, 4, 6).transpose(0, 2, 1),
        "positions": sets.positions.astype(np.float32),
    }
    found = session(tmp_path / "m.onnx").run(None, given)[0]
    np.testing.assert_allclose(found, Predictor(module, own, CPU).predict_sets(sets), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("tsvit", {}),
        ("unet3d", {}),
        ("unet3df", {"scale": 2}),
        ("unet2d_clstm", {}),
        ("biconvgru", {}),
    ],
)
def test_windows_give_what_maps_give(name, changes, tmp_path):
    module, own = segmenter(name, **changes)
    export_onnx(tmp_path / "m.onnx", module, own)
    rng = np.random.default_rng(0)
    values = rng.normal(0.15, 0.3, (2, 3, 8, 8)).astype(np.float32)
    valid = rng.random((2, 8, 8)) < 0.8
    days = np.array([40, 200])
    one = np.ones((2, 3), np.float32)
    wanted = SegmentPredictor(module, own, CPU).predict_cube(values, valid, one, 0 * one, days)
    given = {
        "images": np.where(valid[:, None], values, np.nan)[None],
        "valid": valid[None],
        "positions": days[None].astype(np.float32),
    }
    found = session(tmp_path / "m.onnx").run(["probabilities"], given)[0][0]
    seen = valid.any(0).repeat(module.scale, 0).repeat(module.scale, 1)
    np.testing.assert_allclose(found * seen, wanted, atol=1e-5)
    assert found.std() > 0.02


def test_one_date_and_the_published_form_of_windows(tmp_path):
    for name, changes in (("unet2d_clstm", {"n_dates": 1}), ("tsvit", {"reference": True})):
        path = tmp_path / f"{name}.onnx"
        assert export_onnx(path, *segmenter(name, **changes)).difference < 1e-5


def test_places_give_unit_vectors(tmp_path):
    module = satellite_encoder(context=3)
    exported = export_onnx(tmp_path / "m.onnx", module, satellite_card(module))
    given = example(exported.form, (4, 12, 1), seed=3)
    names = [port.name for port in exported.form.inputs]
    found = session(tmp_path / "m.onnx").run(
        ["vectors"], {name: x.numpy() for name, x in zip(names, given, strict=True)}
    )[0]
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), [1, 1, 1, 0], atol=1e-5)
    with torch.no_grad():
        np.testing.assert_allclose(found, exported.form.plain(*given).numpy(), atol=1e-5)


def test_examples_have_clear_clouded_and_empty_sets():
    form = form_of(*segmenter("unet3d"))
    images, valid, days = example(form, (4, 9, 1), seed=0)
    assert images.shape == (4, 3, 3, 8, 8)  # no more dates than the network takes
    assert valid[0].all()
    assert not valid[3].any()
    assert 0 < valid[1:3].float().mean() < 1
    assert (days.diff(dim=1) > 0).all()


@pytest.mark.parametrize("reference", [False, True])
def test_what_is_exported_is_the_published_form(reference):
    form = form_of(network(reference=reference), card(reference=reference, temperature=0.4)).eval()
    for seed in range(20):
        given = example(form, (5, 7, 4), seed)
        with torch.no_grad():
            torch.testing.assert_close(form(*given), form.plain(*given), atol=1e-5, rtol=0)


def test_other_numbers_than_pytorchs_leave_no_file(tmp_path, monkeypatch):
    module, own = segmenter("biconvgru", n_dates=2)

    def spoilt(form):
        with torch.no_grad():
            module.head.weight.mul_(1.5)
        return traced(form)

    traced = onnx_export._traced
    monkeypatch.setattr(onnx_export, "_traced", spoilt)
    kept = build(own.architecture, own.hyperparameters).eval()
    kept.load_state_dict(module.state_dict())
    monkeypatch.setattr(
        onnx_export,
        "form_of",
        lambda *given: _with_published(form_of(*given), kept),
    )
    with pytest.raises(ModelError, match="differ by up to"):
        export_onnx(tmp_path / "m.onnx", module, own)
    assert not list(tmp_path.iterdir())


def _with_published(form, module):
    form._published = [module]
    return form


def test_what_makes_no_map_is_refused(tmp_path):
    numbers = exact_hyperparameters(3, 4, window=4, width="small")
    with pytest.raises(InputError, match="'exact' makes no maps"):
        export_onnx(
            tmp_path / "m.onnx",
            build("exact", numbers),
            card().model_copy(update={"architecture": "exact"}),
        )
    with pytest.raises(InputError, match="geometry"):
        export_onnx(tmp_path / "m.onnx", network(extra=4), card(extra=4))


def test_without_onnx_runtime_it_says_so(tmp_path, monkeypatch):
    ordinary = builtins.__import__

    def missing(name, *rest, **more):
        if name == "onnxruntime":
            raise ModuleNotFoundError("No module named 'onnxruntime'", name=name)
        return ordinary(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(InputError, match="onnxruntime is not there"):
        export_onnx(tmp_path / "m.onnx", network(), card())


def test_the_exporter_is_silent(tmp_path, capfd, recwarn):
    export_onnx(tmp_path / "m.onnx", *segmenter("unet3d"))
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list
