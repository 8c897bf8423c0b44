"""Images and parcels -> windows, segmentation model, map and its polygons: real qgis_process, real engine."""

import json

import pytest
from chessboard import Chessboard
from osgeo import gdal, ogr

SIDE = 48
LAND = Chessboard(SIDE, 12, ("maize", "wheat"))


def test_windows_to_tick_have_a_form_and_keep_their_ticks(real):
    folder = real.folder / "forêt d'été"
    (folder / "images").mkdir(parents=True)
    for month in range(3, 7):
        LAND.image(folder / "images" / f"s2_2021{month:02d}15.tif", 300 * (month - 2))
    LAND.parcels(folder / "fields.geojson")

    def run(name, *words):
        return real.call("--json", "run", f"sits:{name}", "--", *words, timeout=300)

    series, path = folder / "série.json", folder / "fenêtres.gpkg"
    assert run("buildtimeseries", f"INPUT_FOLDER={folder / 'images'}", f"OUTPUT={series}")[0] == 0
    words = (
        *("createlabelwindows", f"SERIES={series}", "CLASSES=Maize; Wheat; Sugar beet", "WINDOW=12"),
        *(f"PARCELS={folder / 'fields.geojson'}", "FIELD=crop", f"OUTPUT={path}"),
    )
    status, out, err = run(*words)
    assert status == 0, err
    made = json.loads(out)["results"]
    assert (made["N_WINDOWS"], made["N_CLASSES"], made["N_PREFILLED"]) == ((SIDE // 12) ** 2, 3, 16)
    data = ogr.Open(str(path), 1)
    layer = data.GetLayer("windows")
    rows = [[row[name] for name in ("maize", "wheat", "sugar_beet", "done")] for row in layer]
    assert rows[:5] == [[1, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0]]
    assert 'name="Sugar beet"' in path.with_suffix(".qml").read_text(encoding="utf-8")
    feature = layer.GetFeature(1)
    feature["sugar_beet"] = 1
    layer.SetFeature(feature)
    del feature, layer, data
    status, _, err = run(*words)
    assert status != 0
    assert "holds 16 windows that are ticked or done" in err


def test_windows_model_map_and_polygons(real):
    folder = real.folder / "forêt d'été"
    (folder / "images").mkdir(parents=True)
    for month in range(3, 9):
        LAND.image(folder / "images" / f"s2_2021{month:02d}15.tif", 300 * (month - 2))
    LAND.parcels(folder / "fields.geojson")

    def run(name, *words):
        status, out, err = real.call("--json", "run", f"sits:{name}", "--", *words, timeout=300)
        assert status == 0, err
        return json.loads(out)["results"]

    series = folder / "série.json"
    run("buildtimeseries", f"INPUT_FOLDER={folder / 'images'}", f"OUTPUT={series}")
    labels = (
        f"SERIES={series}",
        f"PARCELS={folder / 'fields.geojson'}",
        "FIELD=crop",
        "SCALE=2",
        "WINDOW=16",
    )
    exported = run("exporttrainingwindows", *labels, f"OUTPUT={folder / 'windows.zarr'}")
    assert (exported["N_WINDOWS"], exported["N_CLASSES"], exported["LABELLED_SHARE"]) == (9, 2, 1)
    assert (folder / "windows.zarr" / "zarr.json").is_file()
    again = run(
        *(
            "trainsegmentationmodel",
            f"WINDOWS={folder / 'windows.zarr'}",
            "ARCHITECTURE=unet3d",
            "WIDTH=small",
        ),
        *("N_DATES=8", "SPLIT=inside", "EPOCHS=1", "STEPS_PER_EPOCH=1", "MIN_PIXELS=10", "DEVICE=cpu"),
        *(f"OUTPUT={folder / 'again.safetensors'}", f"REPORT={folder / 'again.html'}"),
    )
    assert (again["N_WINDOWS"], again["N_CLASSES"]) == (9, 2)
    model = folder / "m.safetensors"
    trained = run(
        *(
            "trainsegmentationmodel",
            *labels,
            "ARCHITECTURE=unet3d",
            "WIDTH=small",
            "N_DATES=8",
            "SPLIT=inside",
        ),
        *("EPOCHS=1", "STEPS_PER_EPOCH=2", "CSCL=true", "CSCL_EPOCHS=1", "MIN_PIXELS=10", "DEVICE=cpu"),
        *(f"OUTPUT={model}", f"REPORT={folder / 'r.html'}"),
    )
    assert trained["N_CLASSES"] == 2
    assert 0 <= trained["BOUNDARY_F1_1PX"] <= 1
    assert (folder / "r.html").is_file()
    mapped = run(
        *("mapcrops", f"SERIES={series}", f"MODEL={model}", f"OUTPUT={folder / 'map.tif'}"),
        *(f"OUTPUT_POLYGONS={folder / 'fields.gpkg'}", "DEVICE=cpu"),
    )
    assert gdal.Open(mapped["OUTPUT"]).RasterXSize == 2 * SIDE
    fields = ogr.Open(mapped["OUTPUT_POLYGONS"])  # kept: its layer goes with it
    area = sum(feature["area_ha"] for feature in fields.GetLayer("patches"))
    assert area == pytest.approx(SIDE**2 / 100, rel=0.01)
    assert "wheat" in (folder / "fields.qml").read_text(encoding="utf-8")
