"""The tool that makes what the engine reads out of published TimeMatch files."""

import json
import os
import pickle

import convert_timematch as convert
import layout
import numpy as np
import plain_pickle
import pytest

torch = pytest.importorskip("torch")
DATES = [20170105, 20170301, 20170620, 20171231]
BANDS = ["B02", "B03", "B04", "B08", "B05", "B06", "B07", "B8A", "B11", "B12"]
YAML = """\
meadow:
  # permanent
  251: Permanent (3245)
corn:
  5: Maize
wheat:
  spring:
    2: Spring wheat
  winter:
    11: Winter wheat
peas:
  spring:
    30: Peas
  winter:
unknown:
  NO: A code that YAML takes for a truth value
"""


def write_tile(root, counts):
    """A tile with published facts (numbers of NumPy among them), no pixels."""
    folder = root / "denmark" / "32VNH" / "2017"
    (folder / "meta").mkdir(parents=True)
    codes = [code for code, n in counts.items() for _ in range(n)]
    facts = {
        "start_date": "20170101",
        "end_date": "20171231",
        "dates": DATES,
        "cloudy_pct": [10.5, np.float64("nan"), 3, np.float32(7)],
        "parcels": [
            {
                "id": i,
                "label": np.int64(code),
                "n_pixels": np.int32(3),
                "block": i % 100,
                "geometric_features": [400.0, 1e4, 0.04, np.float64(0.5)],
            }
            for i, code in enumerate(codes)
        ],
    }
    (folder / "meta" / "metadata.pkl").write_bytes(pickle.dumps(facts, 4))
    return folder


@pytest.fixture
def published(tmp_path):
    """Tile with converted facts, mapping as CSV; classes corn, meadow, unknown."""
    folder = write_tile(tmp_path, {5: 4, 251: 5, 999: 2, 11: 1})
    convert.convert_metadata(folder)
    (tmp_path / "dk.yml").write_text(YAML)
    convert.convert_mapping(tmp_path / "dk.yml", tmp_path / "dk.csv")
    return folder, tmp_path / "dk.csv"


def network(classes, extra=0):
    """State dict of a published network: parameters under their names, and the table of positions."""
    from sits_engine.models.ltae import encode_positions
    from sits_engine.models.registry import build, pseltae_hyperparameters

    torch.manual_seed(0)
    module = build("pseltae", pseltae_hyperparameters(10, classes, reference=True, extra=extra))
    table = encode_positions(torch.arange(-100, 465), 256)
    return module, {**module.state_dict(), "temporal_encoder.positional_enc.weight": table}


def test_facts_become_json_that_the_engine_reads(tmp_path):
    from sits_engine.samples.published_tile import read_tile

    folder = write_tile(tmp_path, {251: 2, 5: 1})
    assert convert.main(["metadata", str(folder)]) == 0
    facts = json.loads((folder / "meta" / "metadata.json").read_text())
    assert facts["dates"] == DATES
    assert facts["cloudy_pct"] == [10.5, None, 3, 7.0]
    assert facts["parcels"][0]["geometric_features"] == [400.0, 1e4, 0.04, 0.5]
    tile = read_tile(folder)
    assert tile.codes == ["251", "251", "5"]
    assert tile.positions.tolist() == [4, 59, 170, 364]


def test_facts_that_run_code_are_refused_and_nothing_is_written(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'ran'}",)

    folder = write_tile(tmp_path, {251: 2})
    (folder / "meta" / "metadata.pkl").write_bytes(pickle.dumps({"dates": DATES, "parcels": [Evil()]}, 4))
    with pytest.raises(SystemExit, match=r"'(posix|nt)\.system'"):
        convert.main(["metadata", str(folder)])
    assert not (tmp_path / "ran").exists()
    assert not (folder / "meta" / "metadata.json").exists()


def test_incomplete_facts(tmp_path):
    folder = write_tile(tmp_path, {251: 2})
    path = folder / "meta" / "metadata.pkl"
    facts = plain_pickle.load(path)
    del facts["parcels"][1]["block"]
    path.write_bytes(pickle.dumps(facts))
    with pytest.raises(SystemExit, match=r"Parcel 1 of .* has no block"):
        convert.convert_metadata(folder)
    del facts["dates"]
    path.write_bytes(pickle.dumps(facts))
    with pytest.raises(SystemExit, match="has no dates"):
        convert.convert_metadata(folder)
    path.unlink()
    with pytest.raises(SystemExit, match="is missing"):
        convert.convert_metadata(folder)


def test_mapping_with_seasons(tmp_path):
    (tmp_path / "dk.yml").write_text(YAML)
    assert convert.main(["mapping", str(tmp_path / "dk.yml"), str(tmp_path / "dk.csv")]) == 0
    assert (tmp_path / "dk.csv").read_text().split() == [
        "code,class",
        "251,meadow",
        "5,corn",
        "2,spring_wheat",
        "11,winter_wheat",
        "30,spring_peas",
        "NO,unknown",
    ]


@pytest.mark.parametrize("text", ["- a\n- b\n", "meadow: 5\n", "{", "meadow:\n"])
def test_no_mapping(tmp_path, text):
    (tmp_path / "dk.yml").write_text(text)
    with pytest.raises(SystemExit, match=r"dk\.yml"):
        convert.convert_mapping(tmp_path / "dk.yml", tmp_path / "dk.csv")
    assert not (tmp_path / "dk.csv").exists()


def test_a_network_becomes_a_model_file(tmp_path, published):
    from sits_engine.models.model_file import load_model

    folder, mapping = published
    module, state = network(3)
    # as PyTorch wrote it: the validation F1 is a number of NumPy
    torch.save({"epoch": 87, "state_dict": state, "best_f1": np.float64(0.9)}, tmp_path / "model.pt")
    target = tmp_path / "model.safetensors"
    convert.main(
        [
            "checkpoint",
            *(str(tmp_path / "model.pt"), str(target)),
            *("--tile", str(folder), "--mapping", str(mapping), "--min-parcels", "4"),
        ]
    )
    found, card = load_model(target)
    assert card.class_names == ["corn", "meadow", "unknown"]
    assert card.classes[1].codes == ["251"]
    assert card.band_names == BANDS
    assert {(band.mean, band.std) for band in card.bands} == {(0.0, 6.5535)}
    assert card.hyperparameters["reference"] is True
    assert (card.season_year, card.positions, card.mask_dates) == (2017, [4.0, 59.0, 170.0, 364.0], False)
    assert card.provenance["trained_on"] == "denmark/32VNH/2017"
    assert card.provenance["epoch"] == 87
    for name, value in module.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], value, rtol=0, atol=0)


def test_a_network_of_the_reference_gives_its_logits(tmp_path, published):
    from sits_engine.models.model_file import load_model

    path = layout.ROOT.parent / "shared" / "golden" / "timematch_pseltae.pt"
    if not path.is_file():
        pytest.skip(f"golden file {path} is missing")
    golden = torch.load(path, weights_only=True)
    torch.save({"state_dict": golden["state_dict"]}, tmp_path / "model.pt")
    names = [f"class {i}" for i in range(9)]
    convert.convert_checkpoint(
        tmp_path / "model.pt", tmp_path / "m.safetensors", *published, classes=names, min_parcels=1
    )
    module, card = load_model(tmp_path / "m.safetensors")
    given = golden["inputs"]
    # the golden pixels are numbers / 65535, which is what the card makes of reflectance
    reflectance = given["pixels"] * 65535 / 10_000
    pixels = reflectance / torch.tensor([band.std for band in card.bands])[None, None, :, None]
    with torch.no_grad():
        logits = module(pixels, given["valid_pixels"], given["positions"])
    torch.testing.assert_close(logits, golden["outputs"]["logits"], atol=1e-5, rtol=1e-4)


def test_networks_that_are_refused(tmp_path, published):
    folder, mapping = published

    def save(content):
        torch.save(content, tmp_path / "model.pt")
        return tmp_path / "model.pt", tmp_path / "m.safetensors", folder, mapping

    with pytest.raises(SystemExit, match="4 geometric features"):
        convert.convert_checkpoint(*save({"state_dict": network(3, extra=4)[1]}), min_parcels=4)
    with pytest.raises(SystemExit, match="has 5 classes, denmark/32VNH/2017 gives 3: corn, meadow, unknown"):
        convert.convert_checkpoint(*save({"state_dict": network(5)[1]}), min_parcels=4)
    with pytest.raises(SystemExit, match="no 'state_dict' of tensors"):
        convert.convert_checkpoint(*save({"weights": network(3)[1]}))
    with pytest.raises(SystemExit, match="no published PSE"):
        convert.convert_checkpoint(*save({"state_dict": {"a": torch.zeros(1)}}))
    assert not (tmp_path / "m.safetensors").exists()


def test_a_network_file_that_runs_code_is_refused(tmp_path, published):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'ran'}",)

    torch.save({"state_dict": {}, "x": Evil()}, tmp_path / "model.pt")
    with pytest.raises(SystemExit, match="refused or damaged, nothing of it was run"):
        convert.convert_checkpoint(tmp_path / "model.pt", tmp_path / "m.safetensors", *published)
    assert not (tmp_path / "ran").exists()


def test_the_tool_does_not_ship():
    shipped = layout.files()
    assert not [place for place in shipped if "convert_timematch" in place or "plain_pickle" in place]
