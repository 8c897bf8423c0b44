from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from numcodecs import Blosc
from support.published import DATES, pixels, write_array, write_tile

from sits_engine.errors import InputError
from sits_engine.samples.published_tile import BANDS, read_parcel, read_tile


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (self.path,)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tile(tmp_path, "denmark/32VNH/2017", [251, "1", 11.0], [2, 3, 4])


def change(folder: Path, **changes: object) -> None:
    path = folder / "data" / "1.zarr" / ".zarray"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_facts_of_a_tile(folder: Path) -> None:
    tile = read_tile(folder)
    assert tile.name == "denmark/32VNH/2017"
    # 1 January is 0, 31 December 364; 1 March is 59 (not 60)
    assert tile.positions.tolist() == [4, 59, 170, 364]
    assert tile.season_year == 2017
    assert tile.codes == ["251", "1", "11"]
    assert tile.ids == ["1000", "1001", "1002"]
    assert tile.n_pixels.tolist() == [2, 3, 4]


def test_pixels_of_a_parcel_in_the_stored_order_of_bands(folder: Path) -> None:
    np.testing.assert_array_equal(read_parcel(read_tile(folder), 1), pixels(1, 3))
    assert BANDS.index("B08") == 3
    assert BANDS.index("B05") == 4


def test_the_form_that_zarr_wrote_in_2021(folder: Path) -> None:
    """Blosc, several chunks, and a header that doesn't name the separator of their numbers."""
    path = folder / "data" / "1.zarr"
    write_array(path, pixels(1, 3), chunks=(3, 5, 2), compressors=Blosc("lz4", 5, Blosc.SHUFFLE))
    header = json.loads((path / ".zarray").read_text())
    del header["dimension_separator"]
    (path / ".zarray").write_text(json.dumps(header))
    assert header["compressor"]["id"] == "blosc"
    assert (path / "1.1.1").is_file()
    np.testing.assert_array_equal(read_parcel(read_tile(folder), 1), pixels(1, 3))
    (path / "1.0.1").unlink()
    with pytest.raises(InputError, match="incomplete: 7 of 8 pieces"):
        read_parcel(read_tile(folder), 1)


def test_dates_out_of_order_are_sorted_with_their_pixels(tmp_path: Path) -> None:
    mixed = [DATES[2], DATES[0], DATES[1]]
    tile = read_tile(write_tile(tmp_path, "d/t/2017", ["1"], [2], dates=mixed))
    assert tile.positions.tolist() == [4, 59, 170]
    np.testing.assert_array_equal(read_parcel(tile, 0), pixels(0, 2, dates=3)[[1, 2, 0]])


def test_a_pickle_is_named_and_not_read(folder: Path, tmp_path: Path) -> None:
    (folder / "meta" / "metadata.json").unlink()
    with (folder / "meta" / "metadata.pkl").open("wb") as file:
        pickle.dump(Touch(tmp_path / "ran"), file)
    with pytest.raises(InputError, match=r"still a pickle.*convert_timematch\.py metadata"):
        read_tile(folder)
    assert not (tmp_path / "ran").exists()


def test_no_facts(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no published data: meta/metadata\.json is missing"):
        read_tile(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dates": ["2017-1-5"]}, "not yyyymmdd"),
        ({"dates": [20171305]}, "month must be in"),
        ({"dates": []}, "names no date"),
        ({"parcels": []}, "names no parcel"),
        ({"parcels": [{"id": 1, "label": 3, "n_pixels": 2}]}, "'block' is missing"),
        ({"parcels": [{"id": 1, "label": [3], "n_pixels": 2, "block": 0}]}, "no crop code"),
        ({"parcels": [{"id": 1, "label": 3, "n_pixels": 0, "block": 0}]}, "no pixel in some parcel"),
        ({"parcels": 5}, "can't be read"),
    ],
)
def test_bad_facts(folder: Path, changes: dict[str, object], message: str) -> None:
    path = folder / "meta" / "metadata.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(InputError, match=message):
        read_tile(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dtype": "<f4"}, "unsigned 16-bit"),
        ({"dtype": "|O"}, "unsigned 16-bit"),
        ({"zarr_format": 3}, "Zarr 2"),
        ({"compressor": {"id": "pickle"}}, "compressor pickle"),
        ({"filters": [{"id": "pickle"}]}, "filters .*pickle"),
        ({"chunks": [0, 1, 1]}, "no array in the published layout"),
    ],
)
def test_only_the_published_layout_is_decoded(
    folder: Path, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    chunk = folder / "data" / "1.zarr" / "0.0.0"
    chunk.write_bytes(pickle.dumps(Touch(tmp_path / "ran")))
    change(folder, **changes)
    with pytest.raises(InputError, match=message):
        read_parcel(read_tile(folder), 1)
    assert not (tmp_path / "ran").exists()


def test_wrong_bands_dates_or_pixels(folder: Path) -> None:
    tile = read_tile(folder)
    path = folder / "data" / "1.zarr"
    write_array(path, pixels(1, 3, bands=11))
    with pytest.raises(InputError, match=r"\(4, 11, 3\).*B02, B03.*cloud mask"):
        read_parcel(tile, 1)
    write_array(path, pixels(1, 3, dates=3))
    with pytest.raises(InputError, match=r"\(3, 10, 3\), \(4, 10, 3\) is expected"):
        read_parcel(tile, 1)


def test_missing_and_damaged_parcels(folder: Path) -> None:
    tile = read_tile(folder)
    (folder / "data" / "1.zarr" / "0.0.0").write_bytes(b"no such compression")
    with pytest.raises(InputError, match=r"1\.zarr is damaged"):
        read_parcel(tile, 1)
    (folder / "data" / "1.zarr" / "0.0.0").unlink()
    with pytest.raises(InputError, match="incomplete: 0 of 1 pieces"):
        read_parcel(tile, 1)
    (folder / "data" / "1.zarr" / ".zarray").unlink()
    with pytest.raises(InputError, match=r"1\.zarr are missing"):
        read_parcel(tile, 1)
