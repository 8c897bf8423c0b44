import numpy as np
import pytest

from sits_engine.errors import InputError
from sits_engine.series.clouds import MaskRule, rule


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "int32", "float32"])
def test_scl_classes(dtype):
    found = rule(["B02", "SCL"], None, None)
    clear = found.clear(np.arange(12, dtype=dtype).reshape(3, 4))
    assert np.flatnonzero(clear).tolist() == [4, 5, 6, 7]


def test_own_mask_band_and_values_in_any_case():
    found = rule(["B02", "Wolken"], "wolken", [-1, 2])
    assert found == MaskRule("Wolken", (-1, 2))
    assert found.clear(np.array([[-1, 0, 2, 3]], dtype="int8")).tolist() == [[False, True, False, True]]


def test_values_that_the_type_can_not_hold_do_no_harm():
    assert MaskRule("m", (300, 1)).clear(np.array([1, 44], dtype="uint8")).tolist() == [False, True]


def test_no_mask():
    assert rule(["B02"], None, None) is None


@pytest.mark.parametrize(
    ("band", "values", "reason"),
    [
        ("QA", None, "'QA' is not in the images"),
        ("B02", None, "which of its values"),
        (None, [1], "no mask band"),
    ],
)
def test_errors_name_the_parameter(band, values, reason):
    with pytest.raises(InputError, match=reason):
        rule(["B02"], band, values)
