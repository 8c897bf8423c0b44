from __future__ import annotations

import pytest

from sits_engine.errors import InputError
from sits_engine.samples.label_fields import checked_classes, field_name, field_names_of, listed_classes


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("wheat, maize,grassland", ("wheat", "maize", "grassland")),
        ("Wheat; Beans, peas;Maïs ;", ("Wheat", "Beans, peas", "Maïs")),
        ("winter wheat\nmaize, grain\n", ("winter wheat", "maize, grain")),
        ("wheat, rye,", ("wheat", "rye")),
    ],
)
def test_lists_of_crops(text, names) -> None:
    assert listed_classes(text) == names


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("Winter wheat (bread)", "winter_wheat_bread"),
        ("Maïs", "mais"),
        ("Süßgräser", "sussgraser"),
        ("小麦", "小麦"),
        ("211", "crop_211"),
        ("Done", "crop_done"),
        ("fid", "crop_fid"),
        ("a" * 80, "a" * 50),
        ("---", ""),
    ],
)
def test_names_of_fields(name, field) -> None:
    assert field_name(name) == field


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("wheat,,maize", "name 2 of 3 is empty"),
        ("wheat;", "one crop only, 'wheat'"),
        (" , ", "it holds no name"),
        ("wheat, Wheat", "'Wheat' and 'wheat' are one field, 'wheat'"),
        ("maïs; mais", "'mais' and 'maïs' are one field"),
        ("rye, rye", "'rye' is named twice"),
        ("rye, ---", "'---' has no letter or digit"),
        (",".join(f"c{i}" for i in range(101)), "101 crops are given; windows hold 100 at most"),
    ],
)
def test_names_that_can_have_no_field_of_their_own(text, words) -> None:
    with pytest.raises(InputError, match=words) as caught:
        listed_classes(text)
    assert caught.value.advice


def test_nothing_given() -> None:
    with pytest.raises(InputError, match="No crop is given"):
        checked_classes([])
    assert field_names_of(["Rye", "Oats"]) == ("rye", "oats")
