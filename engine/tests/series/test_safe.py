import numpy as np
import pytest
from imagery import UTM31, write_image

from sits_engine.context import JobContext
from sits_engine.errors import InputError
from sits_engine.series.item_collection import Document, write_document
from sits_engine.series.safe import is_product, products, scenes_of_products
from sits_engine.series.time_series import TimeSeries

TEN = ("B02", "B03", "B04", "B08")
TWENTY = ("B05", "B06", "B07", "B8A", "B11", "B12")


def jp2(path, values, size):
    return write_image(
        path,
        values,
        None,
        size=size,
        driver="JP2OpenJPEG",
        nodata=None,
        crs=UTM31,
        QUALITY="100",
        REVERSIBLE="YES",
    )


def make_product(
    folder, day, *, baseline="05.09", offset=-1000, level="2A", tile="T31UFS", value=3000, suffix=""
):
    """A product as it is downloaded, 20 x 20 pixels of 10 m."""
    stamp = f"{day.replace('-', '')}T103021"
    number = baseline.replace(".", "")
    root = (
        folder
        / f"S2A_MSIL{level}_{stamp}_N{number}_R108_{tile}_{day.replace('-', '')}T1300{suffix or '00'}.SAFE"
    )
    images = root / "GRANULE" / f"L{level}_{tile}_A0_{stamp}" / "IMG_DATA"
    bands = dict.fromkeys(TEN, 10) | dict.fromkeys(TWENTY, 20) | {"B01": 60}
    for name, size in bands.items():
        side = 240 // size
        where = images / f"R{size}m" if level == "2A" else images
        ending = f"_{size}m" if level == "2A" else ""
        jp2(where / f"{tile}_{stamp}_{name}{ending}.jp2", np.full((1, side, side), value, "uint16"), size)
    if level == "2A":
        jp2(images / "R20m" / f"{tile}_{stamp}_B02_20m.jp2", np.full((1, 12, 12), 1, "uint16"), 20)
        scl = np.full((1, 12, 12), 4, "uint8")
        scl[0, 0, :2] = 9
        jp2(images / "R20m" / f"{tile}_{stamp}_SCL_20m.jp2", scl, 20)
        jp2(images / "R10m" / f"{tile}_{stamp}_TCI_10m.jp2", np.full((3, 24, 24), 9, "uint8"), 10)
    kind = "BOA" if level == "2A" else "RADIO"
    offsets = "".join(f'<{kind}_ADD_OFFSET band_id="{n}">{offset}</{kind}_ADD_OFFSET>' for n in range(13))
    quantity = "BOA_QUANTIFICATION_VALUE" if level == "2A" else "QUANTIFICATION_VALUE"
    text = f"""<?xml version="1.0" encoding="UTF-8"?>
<n1:Level-{level}_User_Product xmlns:n1="https://x.test/PSD">
  <PRODUCT_START_TIME>{day}T10:30:21.024Z</PRODUCT_START_TIME>
  <PROCESSING_BASELINE>{baseline}</PROCESSING_BASELINE>
  <GENERATION_TIME>{day}T13:00:{suffix or "00"}.000000Z</GENERATION_TIME>
  <{quantity} unit="none">10000</{quantity}>
  {f"<ADD_OFFSET>{offsets}</ADD_OFFSET>" if offset else ""}
  <Cloud_Coverage_Assessment>12.5</Cloud_Coverage_Assessment>
</n1:Level-{level}_User_Product>"""
    (root / f"MTD_MSIL{level}.xml").write_text(text, encoding="utf-8")
    return root


def scenes_of(folder):
    ctx = JobContext()
    return scenes_of_products(products(folder), None, ctx), ctx


def test_level_2a(tmp_path):
    for day in ("2021-04-01", "2021-05-01"):
        make_product(tmp_path, day, baseline="02.14", offset=0)
    make_product(tmp_path, "2022-06-01")
    scenes, ctx = scenes_of(tmp_path)
    assert [s.date.isoformat() for s in scenes] == ["2021-04-01", "2021-05-01", "2022-06-01"]
    assert [b.name for b in scenes[0].bands] == [
        "B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12", "SCL",
    ]  # fmt: skip
    assert scenes[0].cloud_cover == 12.5
    assert any("slower" in text and "CLIP_FOLDER" in text for text in ctx.warnings)
    path = tmp_path / "series.json"
    write_document(path, Document(tuple(scenes)))
    series = TimeSeries.open(path)
    assert series.grid.resolution == (10, 10)
    assert (series.grid.height, series.grid.width) == (24, 24)
    cube = series.read(series.grid.whole, ["B02", "B05", "B01"])
    assert np.argwhere(~cube.valid[0]).tolist() == [[r, c] for r in range(2) for c in range(4)]
    physical = cube.physical()[:, :, 12, 12]
    np.testing.assert_allclose(physical[:2], 0.3, atol=1e-6)
    np.testing.assert_allclose(physical[2], 0.2, atol=1e-6)  # the offset of baseline 04.00 and later


def test_level_1c_without_scene_classification(tmp_path):
    for day in ("2022-04-01", "2022-05-01", "2022-06-01"):
        make_product(tmp_path, day, level="1C")
    scenes, _ = scenes_of(tmp_path)
    path = tmp_path / "series.json"
    write_document(path, Document(tuple(scenes)))
    series = TimeSeries.open(path)
    assert series.mask is None
    np.testing.assert_allclose(series.read(series.grid.whole, ["B8A"]).physical(), 0.2, atol=1e-6)


def test_the_offset_of_the_metadata_counts_not_the_baseline(tmp_path):
    make_product(tmp_path, "2022-06-01", offset=-500)
    assert scenes_of(tmp_path)[0][0].band("B04").offset == pytest.approx(-0.05)


def test_where_products_are_found(tmp_path):
    root = make_product(tmp_path, "2022-06-01")
    renamed = root.rename(tmp_path / "my product")
    assert products(tmp_path) == products(renamed) == [renamed]
    assert is_product(renamed / "MTD_MSIL2A.xml")
    assert products(tmp_path / "nowhere") == []


def test_damaged_products_are_named(tmp_path):
    root = make_product(tmp_path, "2022-06-01")
    band = next(root.rglob("*_B04_10m.jp2"))
    whole = band.read_bytes()
    for length in (60, len(whole) - 20):
        band.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"B04_10m\.jp2"):
            scenes_of(tmp_path)
    for image in root.rglob("*.jp2"):
        image.unlink()
    with pytest.raises(InputError, match=r"No images in the Sentinel-2 product .*SAFE"):
        scenes_of(tmp_path)
    (root / "MTD_MSIL2A.xml").write_text("<a/>")
    with pytest.raises(InputError, match=r"No acquisition time in .*MTD_MSIL2A\.xml"):
        scenes_of(tmp_path)
