"""Classes as words: lists, tables, templates, built-in sets, and what is wrong with them."""

import re
from collections import Counter

import numpy as np
import pytest
from support.tiny_clip import tiny_clip

from sits_engine.device import select
from sits_engine.errors import InputError
from sits_engine.models.clip import ClipEncoder, prompts
from sits_engine.models.clip.prompts import (
    SETS,
    TEMPLATES,
    built_in,
    class_vectors,
    mean_vectors,
    read_classes,
    templates,
)

#: Words and signs of a sentence; CLIP has 75 tokens for them, which is more than two for each.
MOST_WORDS = 30
SIZES = {"lucas_land_cover": 8, "lucas_crops": 40, "lucas_land_use": 16, "eunis_habitats": 44}


def words(sentence):
    return re.findall(r"\w+|[^\w\s]", sentence)


@pytest.mark.parametrize("name", SETS)
def test_built_in_sets_have_five_sentences_a_class(name):
    found = built_in(name)
    assert len(found.names) == SIZES[name]
    assert all(len(own) == 5 for own in found.prompts)
    flat = [prompt for own in found.prompts for prompt in own]
    assert len(set(flat)) == len(flat)
    assert all(prompt.endswith(".") and 4 <= len(words(prompt)) <= MOST_WORDS for prompt in flat)
    assert all(prompt.isascii() for prompt in flat)
    assert max(Counter(found.colors).values()) == 1
    assert None not in found.colors


@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_have_articles_and_a_full_stop(name):
    found = templates(name)
    assert len(found) == (12 if name == "Generic_SATGeneric" else 6)
    assert len(set(found)) == len(found)
    assert all(one.count("{}") == 1 and one.endswith("{}.") for one in found)
    assert sum(" a {}" in one for one in found) == sum(" an {}" in one for one in found) == len(found) / 3
    longest = max((n for s in SETS for n in built_in(s).names), key=len)
    assert all(len(words(one.replace("{}", longest))) <= MOST_WORDS for one in found)


def test_the_mixed_group_is_the_two_others():
    assert set(templates("Generic_SATGeneric")) == {*templates("Generic"), *templates("SAT_Generic")}
    assert "a photo of {}." in templates("Generic")
    assert "a land cover photo of a {}." in templates("LC_Generic")
    assert "a land use image of an {}." in templates("LU_Generic")
    assert "a centered satellite photo of {}." in templates("SAT_Generic")


def test_a_list():
    found = read_classes("wheat \n\n wet   meadow: soggy grass; rushes ;\nvineyard\n", None)
    assert found.names == ("wheat", "wet meadow", "vineyard")
    assert found.prompts == (("wheat",), ("soggy grass", "rushes"), ("vineyard",))
    assert found.colors == (None, None, None)


@pytest.mark.parametrize(
    "text", ["wheat, maize, wet meadow", "wheat; maize; wet meadow", r"wheat\nmaize\nwet meadow"]
)
def test_a_list_in_one_line(text):
    assert read_classes(text, None).names == ("wheat", "maize", "wet meadow")


def test_templates_are_for_classes_without_prompts():
    found = read_classes("wheat\nmaize: corn with cobs", None, "Generic")
    assert found.prompts[0][:3] == ("a photo of wheat.", "a photo of a wheat.", "a photo of an wheat.")
    assert found.prompts[1] == ("corn with cobs",)


def test_a_set_describes_the_classes_that_are_named():
    found = read_classes("maize\nSUNFLOWER\nhops: hop gardens", None, "lucas_crops")
    whole = built_in("lucas_crops")
    assert found.names == ("maize", "SUNFLOWER", "hops")
    assert found.prompts[1] == whole.prompts[whole.names.index("Sunflower")]
    assert found.colors[:2] == tuple(whole.colors[whole.names.index(n)] for n in ("Maize", "Sunflower"))
    assert found.prompts[2] == ("hop gardens",)
    assert read_classes("", None, "lucas_crops") == whole


def test_background_comes_last_and_makes_one_class_two():
    found = read_classes("wheat", None, "Generic", " none of  these ")
    assert found.names == ("wheat", "none of these")
    assert found.prompts[1] == ("none of these",)
    with pytest.raises(InputError, match="'Wheat' stands twice in the list of classes with BACKGROUND"):
        read_classes("wheat\nmaize", None, "name", "Wheat")


def write(tmp_path, text):
    path = tmp_path / "classes.csv"
    path.write_text(text, encoding="utf-8-sig")
    return path


def test_a_table(tmp_path):
    path = write(
        tmp_path,
        'Class;Prompt;Color\nwheat;"gold; ripe";#D9A01C\nmaize;;\nwheat;green rows;\nmaïs doux;épi;#00ff00\n',
    )
    found = read_classes(None, path)
    assert found.names == ("wheat", "maize", "maïs doux")
    assert found.prompts == (("gold; ripe", "green rows"), ("maize",), ("épi",))
    assert found.colors == ("#d9a01c", None, "#00ff00")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("class,text\na,b\n", "no column prompt"),
        ("class,prompt\n", "no class in classes.csv"),
        ("class,prompt\nwheat,a\n", "only one class in classes.csv"),
        ("class,prompt\nwheat,a\nWheat,b\n", "'wheat' and 'Wheat' are the same class"),
        ("class,prompt\nwheat,a\nwheat,\nmaize,b\n", "a prompt of 'wheat' is empty"),
        ("class,prompt\n,a\n", "line 2 has no class"),
        ("class,prompt,color\nwheat,a,gold\n", "colour 'gold' of 'wheat' can't be read"),
        ("class,prompt,color\na,b,#111111\na,c,#222222\n", "'a' has two colours"),
        ("class,prompt\nwheat,gold, ripe\n", "more fields in line 2"),
        ("class,prompt\na,same\nb,same\n", "'a' and 'b' of classes.csv have the same prompts"),
    ],
)
def test_bad_tables(tmp_path, text, said):
    with pytest.raises(InputError) as caught:
        read_classes(None, write(tmp_path, text))
    assert said in caught.value.message
    assert caught.value.advice


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        (None, "name", "No class is given"),
        ("  \n", "Generic", "No class is given"),
        ("wheat", "name", "only one class"),
        ("a\nb\nA", "name", "'A' stands twice in the list of classes"),
        ("a: x;;y\nb", "name", "prompt of the class 'a' is empty"),
        ("a:\nb", "name", "prompt of the class 'a' is empty"),
        (": x\nb", "name", "no name before its colon"),
        ("\n".join(f"class {i}" for i in range(256)), "name", "256 classes"),
        ("wheat\nunicorns", "lucas_crops", "describe no class 'wheat'"),
        ("a\nb", "poems", "no prompts 'poems'"),
    ],
)
def test_bad_lists(text, kind, said):
    with pytest.raises(InputError) as caught:
        read_classes(text, None, kind)
    assert said in caught.value.message
    assert caught.value.advice


def test_a_missing_table_and_a_binary_one(tmp_path):
    with pytest.raises(InputError, match="can't be read"):
        read_classes(None, tmp_path / "none.csv")
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00class")
    with pytest.raises(InputError, match="can't be read"):
        read_classes(None, tmp_path / "b.csv")


def test_a_list_and_a_table_are_too_much(tmp_path):
    with pytest.raises(InputError, match="given twice"):
        read_classes("a\nb", tmp_path / "any.csv")


def test_without_its_resources_the_engine_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(prompts, "RESOURCES", tmp_path)
    for kind in ("Generic", "lucas_crops"):
        with pytest.raises(InputError, match="built-in prompts are not there"):
            read_classes("wheat\nmaize", None, kind)


def test_class_vectors_are_unit_means_of_unit_vectors(tmp_path):
    encoder = ClipEncoder.open(tiny_clip(tmp_path / "clip"), select("cpu"))
    found = read_classes("a: one; two; three\nb: four", None)
    vectors = class_vectors(encoder, found)
    one = encoder.texts(["one", "two", "three"])
    mean = one.mean(axis=0)
    np.testing.assert_allclose(vectors[0], mean / np.linalg.norm(mean), atol=1e-6)
    np.testing.assert_allclose(vectors[1], encoder.texts(["four"])[0], atol=1e-6)


def test_long_vectors_count_no_more_than_short_ones():
    vectors = np.array([[100.0, 0], [0, 1], [0, 3]], np.float32)
    found = mean_vectors(vectors, [2, 1])
    np.testing.assert_allclose(found, [[0.5**0.5, 0.5**0.5], [0, 1]], atol=1e-6)
