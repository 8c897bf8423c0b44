"""Files of maps where the disk fills up while they are written."""

import numpy as np
import pytest
from rasterio.windows import Window
from support.disks import mounted
from support.maps import grid

from sits_engine.errors import EngineError
from sits_engine.mapping import cog
from sits_engine.outputs import naming_full_disk

SIDE, K = 1024, 10


@pytest.fixture(scope="module")
def shares(tmp_path_factory):
    """A plain image of ten bands, 10 MiB."""
    path = tmp_path_factory.mktemp("plain") / "shares.tif"
    random = np.random.default_rng(0)
    with cog.create_plain(path, grid(SIDE, SIDE), K, 255) as image:
        for row in range(0, SIDE, 256):
            values = np.clip(random.normal(30, 6, (K, 256, SIDE)), 0, 100).astype(np.uint8)
            image.write(values, window=Window(0, row, SIDE, 256))
    return path


def write(shares, target):
    bands = [cog.BandInfo(f"crop {i} (%)", 255, "%") for i in range(K)]
    with naming_full_disk(target.parent):
        return cog.write_cog([(shares, i + 1) for i in range(K)], target, grid(SIDE, SIDE), bands, {})


@pytest.mark.parametrize("mib", [1, 2.5, 3.2, 4, 6, 8, 9, 10, 10.5])
def test_a_full_disk_is_named_and_nothing_stays(tmp_path, shares, mib):
    """GDAL takes its overviews away, so that space is free again when it has failed."""
    with mounted(tmp_path / "disk", f"size={int(mib * 1024)}k") as disk:
        with pytest.raises(EngineError) as caught:
            write(shares, disk / "map.tif")
        assert caught.value.code == "DISK_FULL"
        assert list(disk.iterdir()) == []


def test_overviews_of_many_bands_take_no_more_than_their_pixels(tmp_path, shares):
    """Compressed ones would lie there once for each band."""
    with mounted(tmp_path / "disk", "size=12800k") as disk:
        (written,) = [path for path in write(shares, disk / "map.tif") if path.suffix == ".tif"]
        assert written.stat().st_size > 7 * 2**20
        assert not list(disk.glob("*.vrt"))
