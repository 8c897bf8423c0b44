from __future__ import annotations

import numpy as np
import pytest
from support.published_windows import t31tfm_sample

from sits_engine.errors import InputError
from sits_engine.samples.t31tfm import BANDS, CLASSES, read_window


def test_bands_and_dates_by_name() -> None:
    sample = t31tfm_sample()
    window = read_window(sample, "w", region=2, lon_lat=(5.0, 46.0))
    assert window.values.shape == (1, 5, 13, 12, 12)
    assert window.bands == BANDS
    assert BANDS[:4] == ("B04", "B03", "B02", "B08")
    np.testing.assert_allclose(window.values[0, :, 2], sample["B02"] * 1e-4, rtol=1e-6)
    np.testing.assert_array_equal(window.positions[0], sample["doy"] - 1)
    assert window.valid.all()
    assert (window.region.tolist(), window.xy.tolist()) == ([2], [[5.0, 46.0]])


def test_all_dates_are_kept_in_order_of_time() -> None:
    """Pitfalls 3.4: the published loader keeps the first 16 of the year."""
    sample = t31tfm_sample(dates=40)
    turned = {k: v[::-1] if k.startswith("B") or k == "doy" else v for k, v in sample.items()}
    window = read_window(turned, "w")
    assert window.values.shape[1] == 40
    np.testing.assert_array_equal(window.positions, read_window(sample, "w").positions)
    np.testing.assert_array_equal(window.values, read_window(sample, "w").values)


def test_coarse_bands_are_enlarged_between_the_centres() -> None:
    sample = t31tfm_sample()
    sample["B11"] = np.tile(np.arange(6) * 1000, (5, 6, 1))
    sample["B01"] = np.full((5, 2, 2), 4200)
    window = read_window(sample, "w")
    row = window.values[0, 0, BANDS.index("B11"), 3]
    np.testing.assert_allclose(row[:5], np.array([0, 0.25, 0.75, 1.25, 1.75]) * 0.1, atol=1e-6)
    assert row[-1] == pytest.approx(0.5)
    np.testing.assert_allclose(window.values[0, :, BANDS.index("B01")], 0.42, atol=1e-6)


def test_kept_classes_and_mixed_pixels() -> None:
    window = read_window(t31tfm_sample(), "w")
    labels = window.labels[0]
    assert len(CLASSES) == 20
    assert [CLASSES[labels[at]] for at in ((3, 3), (3, 7), (7, 7))] == ["1", "73", "25"]
    assert labels[7, 3] == -1  # code 4 is none of the 20
    assert labels[0, 0] == -1
    assert (labels[1, 1], window.mixed[0, 1, 1]) == (-1, 2)
    assert (labels[2, 5], window.mixed[0, 2, 5]) == (-1, 1)
    assert window.mixed.astype(bool).sum() == 2
    assert (window.parcels[0] > 0).sum() == (labels >= 0).sum()
    assert len(np.unique(window.parcels[0])) == 4
    assert window.covered[0, 3, 3] == 0.75


@pytest.mark.parametrize("scale", [2, 4])
def test_finer_labels(scale) -> None:
    sample = t31tfm_sample(endings=("", f"_x{scale}"))
    window = read_window(sample, "w", scale=scale)
    assert window.scale == scale
    assert window.labels.shape == (1, 12 * scale, 12 * scale)
    assert CLASSES[window.labels[0, 3, 3]] == "1"
    with pytest.raises(InputError, match=rf"w\.pickle has no 'labels_x{scale}'"):
        read_window(t31tfm_sample(), "w.pickle", scale=scale)


def test_damaged_samples_are_named() -> None:
    sample = t31tfm_sample()
    for change, words in (
        ({"doy": sample["doy"][:-1]}, "w doesn't fit together: 4 dates"),
        ({"doy": sample["doy"] / 365.0001}, "no days of the year"),
        ({"labels": sample["labels"][:-1]}, r"doesn't fit together.*'labels': \(11, 12\)"),
        ({"B03": sample["B03"][:3]}, "as many dates in all"),
        ({"B03": "none"}, "'B03' of w holds no numbers"),
        ({"B03": [[1, 2], [3]]}, "'B03' of w is no array"),
    ):
        with pytest.raises(InputError, match=words):
            read_window({**sample, **change}, "w")
    with pytest.raises(InputError, match="has no 'B8A'"):
        read_window({k: v for k, v in sample.items() if k != "B8A"}, "w")
