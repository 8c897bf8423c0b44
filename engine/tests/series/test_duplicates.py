import os

import numpy as np
from imagery import DATES, ramp, write_folder, write_image

from sits_engine.series.duplicates import drop_older_versions
from sits_engine.series.raster_files import NumberRules, find, scenes_of_files


def kept(folder):
    warnings = []
    scenes = drop_older_versions(scenes_of_files(find(folder), NumberRules()), warnings.append)
    return [scene.id for scene in scenes], warnings


def test_one_scene_a_date_stays(tmp_path):
    write_folder(tmp_path)
    assert kept(tmp_path) == ([f"S2_{d:%Y%m%d}" for d in DATES], [])


def test_of_two_versions_the_one_processed_last_wins_with_a_warning(tmp_path):
    write_folder(tmp_path)
    for name, time in (("S2_20190305_v1", 1e9), ("S2_20190305", 2e9), ("S2_20190305_v0", 1.5e9)):
        path = tmp_path / f"{name}.tif"
        if not path.exists():
            write_image(path, ramp(3, 12, 16))
        os.utime(path, (time, time))
    names, warnings = kept(tmp_path)
    assert names == [f"S2_{d:%Y%m%d}" for d in DATES]
    assert len(warnings) == 2
    assert all("2019-03-05 is there twice: S2_20190305 is used" in text for text in warnings)
    assert "S2_20190305_v0" in warnings[0]


def test_neighbours_of_a_date_stay(tmp_path):
    write_folder(tmp_path)
    write_image(tmp_path / "east_20190305.tif", ramp(3, 12, 16), corner=(600150.0, 5600000.0))
    names, warnings = kept(tmp_path)
    assert len(names) == len(DATES) + 1
    assert not warnings


def test_two_halves_of_a_tile_with_the_same_outline_stay(tmp_path):
    """A tile that comes in two products: each has the whole outline and data in one half."""
    write_folder(tmp_path)
    for name, columns in (("S2_20190305", slice(0, 9)), ("half_20190305", slice(8, 16))):
        values = np.zeros((3, 12, 16), "uint16")
        values[:, :, columns] = 1000
        write_image(tmp_path / f"{name}.tif", values)
    names, warnings = kept(tmp_path)
    assert {"S2_20190305", "half_20190305"} <= set(names)
    assert not warnings
