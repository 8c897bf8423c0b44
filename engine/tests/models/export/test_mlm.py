"""The STAC item has what the MLM extension asks for, and says what the ONNX file takes.

jsonschema is no part of the engine; `REQUIRED` is a copy by hand of what version 1.4.0 of the schema wants.
An item of each kind of model was validated once against the packages pystac-ext-mlm and stac-model.
"""

from __future__ import annotations

import hashlib
import json
import re

import pystac
import pytest
from networks import card, network
from support.photo_series import satellite_card, satellite_encoder
from support.small_segmenters import segmenter

from sits_engine.models.card import ClassCard
from sits_engine.models.export.forms import form_of
from sits_engine.models.export.mlm import _name, mlm_item
from sits_engine.models.export.onnx_export import Exported

REQUIRED = {"mlm:name", "mlm:architecture", "mlm:tasks", "mlm:input", "mlm:output"}
#: Not allowed beside an asset; 'mlm:artifact_type' belongs to the asset with the role 'mlm:model' alone.
OF_THE_MODEL = {"mlm:name", "mlm:input", "mlm:output", "mlm:hyperparameters"}
TASKS = {
    "classification",
    "semantic-segmentation",
    "segmentation",
    "super-resolution",
    "similarity-search",
}
TYPES = {"float32", "int64", "other"}


def item(folder, module, own, name="m"):
    onnx, weights = folder / f"{name}.onnx", folder / "models" / "m.safetensors"
    weights.parent.mkdir(exist_ok=True)
    onnx.write_bytes(b"network")
    weights.write_bytes(b"weights!")
    return mlm_item(folder / "m.json", onnx, weights, own, Exported(form_of(module, own), 123, 18, 1e-7, 4))


def models():
    module = satellite_encoder()
    return [(network(), card()), segmenter("tsvit", scale=2), (module, satellite_card(module))]


@pytest.mark.parametrize("which", range(3))
def test_what_the_extension_requires(which, tmp_path):
    found = item(tmp_path, *models()[which])
    json.dumps(found)
    assert pystac.Item.from_dict(found).properties["mlm:framework"] == "ONNX"
    facts = found["properties"]
    assert facts.keys() >= REQUIRED
    assert set(facts["mlm:tasks"]) <= TASKS
    for port in (*facts["mlm:input"], *facts["mlm:output"]):
        one = port.get("input") or port["result"]
        assert len(one["shape"]) == len(one["dim_order"]) == len(set(one["dim_order"]))
        assert all(length == -1 or length > 0 for length in one["shape"])
        assert one["data_type"] in TYPES
        assert port["description"]
    bands = {band["name"] for band in facts["bands"]}
    assert set(facts["mlm:input"][0]["bands"]) == bands
    assert facts["mlm:pretrained"] is False
    assert facts["mlm:pretrained_source"] is None
    roles = [one["roles"] for one in found["assets"].values()]
    assert sum("mlm:model" in one for one in roles) == 1
    for asset in found["assets"].values():
        assert not OF_THE_MODEL & asset.keys()
        assert ("mlm:artifact_type" in asset) == ("mlm:model" in asset["roles"])


def test_classes_bands_dates_and_files(tmp_path):
    own = card(classes=3).model_copy(
        update={
            "classes": [
                ClassCard(name="winter wheat", color="#ffaa00", codes=["110", "111"]),
                ClassCard(name="winter-wheat", color="#00ff00"),
                ClassCard(name="葡萄", color="#0000ff"),
            ],
            "positions": [-30.0, 200.0],
            "season_year": 2021,
        }
    )
    found = item(tmp_path, network(classes=3), own)
    facts = found["properties"]
    classes = facts["mlm:output"][0]["classification:classes"]
    assert [(one["value"], one["name"], one["description"]) for one in classes] == [
        (1, "winter_wheat", "winter wheat (codes 110, 111)"),
        (2, "winter-wheat", "winter-wheat"),
        (3, "class_3", "葡萄"),
    ]
    assert classes[0]["color_hint"] == "FFAA00"
    # the network normalises by itself: whoever did it as well would get nonsense
    assert facts["mlm:input"][0]["value_scaling"] is None
    assert facts["bands"][1] == {"name": "B1", "statistics": {"mean": 0.1, "stddev": own.bands[1].std}}
    assert (facts["start_datetime"][:10], facts["end_datetime"][:10]) == ("2020-12-02", "2021-07-20")
    model, weights = found["assets"]["model"], found["assets"]["weights"]
    assert (model["href"], weights["href"]) == ("./m.onnx", "./models/m.safetensors")
    assert weights["file:size"] == 8
    assert weights["file:checksum"] == "1220" + hashlib.sha256(b"weights!").hexdigest()
    assert "geometry" in found
    assert "bbox" not in found


def test_classes_of_one_name_after_cleaning_stay_apart(tmp_path):
    own = card(classes=2)
    own.classes = [ClassCard(name="a b", color="#ffaa00"), ClassCard(name="a/b", color="#ffaa00")]
    classes = item(tmp_path, network(classes=2), own)["properties"]["mlm:output"][0]["classification:classes"]
    assert [one["name"] for one in classes] == ["a_b", "a_b_2"]


def test_region_of_series_target_and_places(tmp_path):
    own = card()
    own.provenance = {
        "series": [{"bbox": [1.0, 50.0, 1.5, 50.5]}, {"title": "without"}],
        "adapted": {"from": {"title": "here"}, "to": {"title": "there", "bbox": [0.5, 49.0, 1.2, 49.5]}},
        "created": "2026-01-02T03:04:05Z",
    }
    found = item(tmp_path, network(), own)
    assert found["bbox"] == [0.5, 49.0, 1.5, 50.5]
    assert found["geometry"]["coordinates"][0][0] == [0.5, 49.0]
    assert found["properties"]["mlm:pretrained_source"] == "here"
    assert found["properties"]["created"] == "2026-01-02T03:04:05Z"
    module = satellite_encoder()
    own = satellite_card(module)
    own.provenance = {"places_seen": {"count": 2, "lon": [1001, 2002], "lat": [50003, 51004]}}
    found = item(tmp_path, module, own)
    assert found["bbox"] == [1.001, 50.003, 2.002, 51.004]
    # months are no days: the whole year
    assert found["properties"]["end_datetime"] == "2018-12-31T23:59:59Z"


@pytest.mark.parametrize("stem", ["m", "2021 Österreich", "crops_v1.", "---", "Region A"])
def test_names_are_as_the_extension_wants_them(stem):
    assert re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_.\-\s]+[a-zA-Z0-9]", _name(stem))
