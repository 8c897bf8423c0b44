"""The graphical model that comes with the plugin, run by real qgis_process with the real engine."""

import json

import pytest


@pytest.mark.timeout(600)
def test_images_and_parcels_become_an_assessed_map(real):
    data, out = real.folder / "données", real.folder / "résultat"
    out.mkdir()
    status, _, err = real.call(
        "run", "sits:createdemodata", "--", f"OUTPUT_FOLDER={data}", "SIZE=256", "DATES=8"
    )
    assert status == 0, err
    parcels = data / "region_a" / "parcels.gpkg"
    outputs = {
        "build:SERIES": out / "série.json",
        "train:MODEL": out / "modèle.safetensors",
        "train:REPORT": out / "training.html",
        "map:MAP": out / "carte.tif",
        "assess:REPORT": out / "assessment.html",
    }
    status, said, err = real.call(
        *("--json", "run", "sits:cropmapmodel", "--"),
        *(f"IMAGES={data / 'region_a' / 'images'}", "EFFORT=quick"),
        *(f"PARCELS={parcels}", "FIELD=crop", f"REFERENCE={parcels}", "REFERENCE_FIELD=crop"),
        *(f"{name}={path}" for name, path in outputs.items()),
        timeout=500,
    )
    assert status == 0, err
    assert {name: json.loads(said)["results"][name] for name in outputs} == {
        name: str(path) for name, path in outputs.items()
    }
    assert all(path.stat().st_size > 0 for path in outputs.values())
    numbers = json.loads((out / "assessment_numbers.json").read_text(encoding="utf-8"))
    assert numbers["macro_f1"] > 0.3
    left = [path.name for path in real.folder.rglob("*") if "partial" in path.name or ".work" in path.name]
    assert left == []


@pytest.mark.timeout(600)
def test_a_model_and_images_of_another_region_become_an_adapted_map(real):
    data, out = real.folder / "données", real.folder / "résultat"
    out.mkdir()
    series, model = real.folder / "source.json", real.folder / "source.safetensors"
    parcels = data / "region_a" / "parcels.gpkg"
    for words in (
        ("sits:createdemodata", "--", f"OUTPUT_FOLDER={data}", "SIZE=128", "DATES=10"),
        ("sits:buildtimeseries", "--", f"INPUT_FOLDER={data / 'region_a' / 'images'}", f"OUTPUT={series}"),
        (
            *("sits:trainsourcemodel", "--", f"SERIES={series}", f"PARCELS={parcels}", "FIELD=crop"),
            *("EFFORT=quick", "WIDTH=small", "EPOCHS=4", "MIN_PARCELS=3", f"OUTPUT={model}"),
        ),
    ):
        status, _, err = real.call("run", *words)
        assert status == 0, err
    outputs = {
        "build:SERIES": out / "série.json",
        "adapt:MODEL": out / "adapté.safetensors",
        "adapt:REPORT": out / "adaptation.html",
        "map:MAP": out / "carte.tif",
    }
    status, said, err = real.call(
        *("--json", "run", "sits:adaptandmap", "--", f"MODEL={model}", f"SERIES={series}"),
        *(f"PARCELS={parcels}", "FIELD=crop", f"IMAGES={data / 'region_b' / 'images'}", "METHOD=shift"),
        f"REGION={data / 'region_b' / 'parcels.gpkg'}",
        *(f"{name}={path}" for name, path in outputs.items()),
        timeout=500,
    )
    assert status == 0, err
    results = json.loads(said)["results"]
    assert {name: results[name] for name in outputs} == {name: str(path) for name, path in outputs.items()}
    assert all(path.stat().st_size > 0 for path in outputs.values())
    numbers = json.loads((out / "adaptation_numbers.json").read_text(encoding="utf-8"))
    assert numbers["method"] == "shift"
    assert numbers["verdict"]["word"] in ("better", "same", "worse", "unclear")
    raw = outputs["adapt:MODEL"].read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    adapted = json.loads(header["__metadata__"]["sits_model_card"])["provenance"]["adapted"]
    assert (adapted["from"]["model"], adapted["method"]) == (model.name, "shift")
    assert adapted["shift_days"] == numbers["shift_days"]
    left = [path.name for path in real.folder.rglob("*") if "partial" in path.name or ".resume" in path.name]
    assert left == []
