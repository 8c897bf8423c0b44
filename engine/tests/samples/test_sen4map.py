"""Small files in the layouts of Sen4Map."""

import h5py
import numpy as np
import pytest

from sits_engine.errors import InputError
from sits_engine.samples.lucas import task_labels
from sits_engine.samples.sen4map import BANDS, read_sen4map

STORED = ["B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12"]
DAYS = ["20180110", "20180120", "20180130", "20180305", "20180715", "20181130"]


def released(path, points=3, *, days=DAYS, side=64, scl=4, seed=0, skip=()):
    """The released layout: a group a point, bands (D, 64, 64), scenes named in Image_ID."""
    rng = np.random.default_rng(seed)
    with h5py.File(path, "w") as file:
        for i in range(points):
            group = file.create_group(f"Lucas_Point_{40000000 + i}")
            for band in STORED:
                if band not in skip:
                    values = rng.integers(200, 5000, (len(days), side, side)).astype(np.uint16)
                    group.create_dataset(band, data=values, chunks=True, compression="gzip")
            group.create_dataset("SCL", data=np.full((len(days), side, side), scl, np.uint8))
            group.attrs["Image_ID"] = [f"S2A_MSIL2A_{day}T105421_N0206_R051_T31UFS" for day in days]
            group.attrs["lc1"] = ["B11", "C10", "E20"][i % 3]
            group.attrs["lu1"] = ["U111", "U120", "U420"][i % 3]
            group.attrs["Coordinates"] = [50.5 + i, 4.25]
    return path


def test_monthly_composites_of_the_middle_pixel(tmp_path):
    path = released(tmp_path / "a.h5")
    found = read_sen4map(path)
    assert found.ids.tolist() == ["40000000", "40000001", "40000002"]
    assert found.composites.values.shape == (3, 12, 10, 1, 1)
    assert np.flatnonzero(found.composites.valid[0]).tolist() == [0, 2, 6, 10]
    with h5py.File(path) as file:
        blue = file["Lucas_Point_40000001/B2"][:, 32, 32]
        red_edge = file["Lucas_Point_40000001/B8A"][4, 32, 32]
    values = found.composites.values[1, :, :, 0, 0]
    assert values[0, 0] == pytest.approx(np.median(blue[:3]) / 1e4)  # three dates of January
    assert values[6, BANDS.index("B8A")] == pytest.approx(red_edge / 1e4)
    assert (values[1] == 0).all()
    np.testing.assert_allclose(found.composites.xy[2], [4.25, 52.5])
    labels, names = task_labels(found.labels, "land_cover")
    assert (names, labels.tolist()) == (("Cropland", "Grassland", "Woodland"), [0, 2, 1])
    assert "Image_ID" not in found.labels


def test_bands_by_name_and_context(tmp_path):
    path = released(tmp_path / "a.h5")
    found = read_sen4map(path, ["B12", "red"], 3)
    with h5py.File(path) as file:
        expected = file["Lucas_Point_40000000/B4"][3, 31:34, 31:34] / 1e4
    np.testing.assert_allclose(found.composites.values[0, 2, 1], expected, rtol=1e-6)
    with pytest.raises(InputError, match="no band B09"):
        read_sen4map(path, ["B09"])


def test_clouds_and_missing_values_do_not_count(tmp_path):
    path = released(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        group = file["Lucas_Point_40000000"]
        group["SCL"][0, 32, 32] = 9
        group["SCL"][4, 32, 32] = 3
        for band in STORED:
            group[band][1, 32, 32] = 0
        rest = group["B2"][2, 32, 32]
    found = read_sen4map(path).composites
    assert found.values[0, 0, 0, 0, 0] == pytest.approx(rest / 1e4)
    assert np.flatnonzero(found.valid[0]).tolist() == [0, 2, 10]


def test_composites_as_timesenclip_cuts_them(tmp_path):
    rng = np.random.default_rng(0)
    image = rng.integers(300, 4000, (12, 10, 1, 1)).astype(np.float32) + 1
    image[4] = 1  # a clouded month: zero plus one
    with h5py.File(tmp_path / "b.h5", "w") as file:
        group = file.create_group("Lucas_Point_40000000")
        group.create_dataset("image", data=image)
        group.attrs["EUNIS_L2"] = b"Arable land"
    found = read_sen4map(tmp_path / "b.h5", ["B03", "B11"])
    assert not found.composites.valid[0, 4]
    assert found.composites.valid[0].sum() == 11
    np.testing.assert_allclose(
        found.composites.values[0, 0, :, 0, 0], (image[0, [1, 8], 0, 0] - 1) / 1e4, rtol=1e-6
    )
    assert found.labels["EUNIS_L2"].tolist() == ["Arable land"]
    assert np.isnan(found.composites.xy).all()


def test_unreadable_points_are_counted_and_the_others_read(tmp_path):
    path = released(tmp_path / "a.h5", points=4)
    with h5py.File(path, "a") as file:
        del file["Lucas_Point_40000001/B5"]
        file["Lucas_Point_40000002"].attrs["Image_ID"] = ["no date"] * len(DAYS)
        file["Lucas_Point_40000003/SCL"][:] = 9
    found = read_sen4map(path)
    assert found.ids.tolist() == ["40000000"]
    assert "2 points can't be read" in found.warnings[0]
    assert "no band B05" in found.warnings[0]
    assert any("1 points were never clear" in note for note in found.notes)


def test_what_is_no_sen4map_is_said(tmp_path):
    text = tmp_path / "a.h5"
    text.write_text("point,lc1\n")
    with pytest.raises(InputError, match="can't be read as HDF5"):
        read_sen4map(text)
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_dataset("x", data=[1])
    with pytest.raises(InputError, match="holds no points"):
        read_sen4map(tmp_path / "b.h5")
    released(tmp_path / "c.h5", skip=("B8",))
    with pytest.raises(InputError, match=r"No point of c\.h5 can be read"):
        read_sen4map(tmp_path / "c.h5")
    with pytest.raises(InputError, match="no 9 x 9 in its middle"):
        read_sen4map(released(tmp_path / "d.h5", side=4), size=9)
