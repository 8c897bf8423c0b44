"""Plain data come out of a pickle; everything else is refused and not run."""

import collections
import datetime
import os
import pickle
from pathlib import Path

import numpy as np
import plain_pickle
import pytest


class Run:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def write(path, value, protocol=4):
    path.write_bytes(pickle.dumps(value, protocol))
    return path


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_plain_data_and_numbers_of_numpy(tmp_path, protocol):
    value = {
        "text": "å",
        "numbers": [1, 2.5, True, None, (3, 4)],
        "scalars": [
            np.int32(-7),
            np.float64(0.25),
            np.uint16(65535),
            np.bool_(True),
            np.str_("ab"),
            np.int64(5),
        ],
        3: {"empty": []},
    }
    found = plain_pickle.load(write(tmp_path / "p.pkl", value, protocol))
    assert found == {
        "text": "å",
        "numbers": [1, 2.5, True, None, [3, 4]],
        "scalars": [-7, 0.25, 65535, True, "ab", 5],
        3: {"empty": []},
    }
    assert {type(one) for one in found["scalars"]} == {int, float, bool, str}


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_arrays_of_numbers_become_lists(tmp_path, protocol):
    table = np.arange(6, dtype=">i2").reshape(2, 3)
    both = {"a": table, "f": np.asfortranarray(table + 1)}
    found = plain_pickle.load(write(tmp_path / "p.pkl", both, protocol))
    assert found == {"a": [[0, 1, 2], [3, 4, 5]], "f": [[1, 2, 3], [4, 5, 6]]}


def test_files_of_numpy_1_name_another_module(tmp_path):
    content = pickle.dumps(np.float64(0.5), 3)
    assert b"numpy._core.multiarray" in content
    (tmp_path / "p.pkl").write_bytes(content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert plain_pickle.load(tmp_path / "p.pkl") == 0.5


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (datetime.date(2017, 1, 1), "datetime.date"),
        (Path("x"), "pathlib"),
        (collections.OrderedDict(a=1), "collections.OrderedDict"),
        ({1, 2}, "type set"),
        (b"raw", "type bytes"),
        (1j, "complex"),
        ({(1, 2): 3}, r"the key \(1, 2\)"),
        (np.array([None, 1], dtype=object), "'O8'"),
        (np.datetime64("2017-01-01"), "'M8'"),
        (np.zeros(2, dtype=[("a", "i4")]), "'V4'"),
    ],
)
def test_everything_else_is_refused_by_name(tmp_path, value, named):
    with pytest.raises(plain_pickle.Refused, match=named):
        plain_pickle.load(write(tmp_path / "p.pkl", {"a": [value]}))


@pytest.mark.parametrize(
    ("function", "arguments"),
    [(os.system, ("touch {}",)), (eval, ("open('{}', 'w')",)), (Path.touch, (Path("{}"),))],
)
def test_nothing_is_run(tmp_path, function, arguments):
    mark = tmp_path / "ran"
    filled = [type(a)(str(a).format(mark)) for a in arguments]
    path = write(tmp_path / "p.pkl", {"dates": [20170101], "x": Run(function, *filled)})
    with pytest.raises(plain_pickle.Refused, match=r"Nothing was run"):
        plain_pickle.load(path)
    assert not mark.exists()
    pickle.loads(path.read_bytes())  # the same file does run where nothing guards
    assert mark.exists()


def test_damaged_files_and_loops(tmp_path):
    (tmp_path / "p.pkl").write_bytes(pickle.dumps([1, 2])[:-3])
    with pytest.raises(plain_pickle.Refused, match="no pickle of plain data"):
        plain_pickle.load(tmp_path / "p.pkl")
    loop = []
    loop.append(loop)
    with pytest.raises(plain_pickle.Refused, match="contain themselves"):
        plain_pickle.load(write(tmp_path / "p.pkl", loop))
