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
