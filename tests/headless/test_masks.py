"""Ticked windows -> masks -> segmentation model -> map by the graphical model: qgis_process, real engine."""

import json
import struct

import pytest
from chessboard import Chessboard
from osgeo import gdal

SIDE = 96
#: Fields of 36 pixels, so that most windows of 24 hold one crop only.
LAND = Chessboard(SIDE, 36, ("Maïs", "Winter wheat (bread)"), noise=True)


def classes(path):
    """Values of band 1 as rows, and the names of the values."""
    data = gdal.Open(str(path))
    band = data.GetRasterBand(1)
    flat = struct.unpack(f"<{SIDE * SIDE}B", band.ReadRaster(0, 0, SIDE, SIDE, buf_type=gdal.GDT_Byte))
    nodata = band.GetNoDataValue()  # before the names: GDAL 3.6 reads the file that holds them only then
    assert nodata == 0
    return [flat[SIDE * row : SIDE * (row + 1)] for row in range(SIDE)], band.GetRasterCategoryNames()


def share_right(path):
    """Share of the pixels that have the crop of their field."""
    rows, names = classes(path)
    right = sum(
        names[rows[row][col]] == LAND.names[crop]
        for row, line in enumerate(LAND.crops())
        for col, crop in enumerate(line)
    )
    return right / SIDE**2


@pytest.mark.timeout(1500)
def test_ticked_windows_become_a_map(real):
    folder = real.folder / "forêt d'été"
    (folder / "images").mkdir(parents=True)
    for month in range(3, 8):
        LAND.image(folder / "images" / f"s2_2021{month:02d}15.tif", 200 * (month - 2))
    LAND.parcels(folder / "fields.geojson")
    series, windows = folder / "série.json", folder / "fenêtres.gpkg"
    outputs = {
        "masks:MASKS": folder / "masques.tif",
        "masks:REPORT": folder / "masques.html",
        "train:MODEL": folder / "modèle.safetensors",
        "train:REPORT": folder / "training.html",
        "map:MAP": folder / "carte.tif",
    }
    for words in (
        ("sits:buildtimeseries", "--", f"INPUT_FOLDER={folder / 'images'}", f"OUTPUT={series}"),
        (
            *("sits:createlabelwindows", "--", f"SERIES={series}", f"PARCELS={folder / 'fields.geojson'}"),
            *("FIELD=crop", "MARK_DONE=true", f"OUTPUT={windows}"),
        ),
    ):
        status, _, err = real.call("run", *words, timeout=300)
        assert status == 0, err
    status, said, err = real.call(
        *("--json", "run", "sits:windowstomap", "--", f"SERIES={series}", f"WINDOWS={windows}"),
        *("EFFORT=quick", *(f"{name}={path}" for name, path in outputs.items())),
        timeout=1200,
    )
    assert status == 0, err
    results = json.loads(said)["results"]
    assert {name: results[name] for name in outputs} == {name: str(path) for name, path in outputs.items()}
    rows, names = classes(outputs["masks:MASKS"])
    assert names[1:4] == ["Maïs", "Winter wheat (bread)", "background"]
    assert {value for row in rows for value in row} <= {1, 2, 3}
    # the side-car style has the same legend
    style = outputs["masks:MASKS"].with_suffix(".qml").read_text(encoding="utf-8")
    assert "Winter wheat (bread)" in style
    assert share_right(outputs["masks:MASKS"]) > 0.6
    # names travelled inside of the raster
    numbers = json.loads((folder / "training_numbers.json").read_text(encoding="utf-8"))
    assert {"Maïs", "Winter wheat (bread)"} <= {row["name"] for row in numbers["classes"]}
    print({name: share_right(outputs[name]) for name in ("masks:MASKS", "map:MAP")})
    assert share_right(outputs["map:MAP"]) > 0.6
    left = [path.name for path in real.folder.rglob("*") if "partial" in path.name or ".work" in path.name]
    assert left == []
