from __future__ import annotations

from pathlib import Path

import pytest

from sits_engine.errors import InputError
from sits_engine.samples.published_classes import class_list, names_of, read_class_mapping

CSV = "code,class\n251,meadow\n1,spring_barley\n11,winter_wheat\n2,spring_wheat\n900,\n"


def test_csv_and_json_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(CSV)
    (tmp_path / "m.json").write_text('{"251": "meadow", "1": "spring_barley", "11": "winter_wheat"}')
    table = read_class_mapping(tmp_path / "m.csv")
    assert table["900"] == "unknown"
    plain = read_class_mapping(tmp_path / "m.json")
    assert plain == {code: table[code] for code in ("251", "1", "11")}
    assert names_of(["11", "5", "900"], table) == ["winter_wheat", "unknown", "unknown"]


def test_spring_and_winter_combined(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(CSV)
    table = read_class_mapping(tmp_path / "m.csv", combine_spring_and_winter=True)
    assert table["11"] == table["2"] == "wheat"
    assert table["251"] == "meadow"


def test_class_list_is_alphabetical_with_unknown_in_its_place() -> None:
    names = ["winter_wheat"] * 5 + ["corn"] * 4 + ["unknown"] * 2 + ["peas"] * 3
    assert class_list(names, min_parcels=4) == ["corn", "unknown", "winter_wheat"]
    assert class_list(names, min_parcels=3, with_unknown=False) == ["corn", "peas", "winter_wheat"]
    # rare ones are unknown; a class that the source doesn't show can't be learned
    assert class_list(["corn"] * 5 + ["oat"] * 5 + ["rye"], min_parcels=4) == ["corn", "oat", "unknown"]
    assert class_list(["corn"] * 5 + ["oat"] * 5, min_parcels=4) == ["corn", "oat"]


def test_too_few_parcels_of_each_class() -> None:
    with pytest.raises(InputError, match=r"200 parcels in the source tile: corn 4, unknown 2"):
        class_list(["corn"] * 4 + ["unknown"] * 2)
    with pytest.raises(InputError, match="Fewer than two classes"):
        class_list(["unknown"] * 300)


@pytest.mark.parametrize("text", ["[1, 2]", "{}", '{"1": 2}', '{"1": ""}', "{", '{"1": {"winter": 2}}'])
def test_json_of_another_form(tmp_path: Path, text: str) -> None:
    (tmp_path / "m.json").write_text(text)
    with pytest.raises(InputError, match=r"class mapping .*m\.json"):
        read_class_mapping(tmp_path / "m.json")


def test_no_mapping(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no class mapping"):
        read_class_mapping(tmp_path / "m.csv")
