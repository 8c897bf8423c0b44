"""Ratings from descriptions: early and late by hand, tables and what is wrong with them."""

import numpy as np
import pytest
import torch

from sits_engine.errors import InputError
from sits_engine.learning.scenicness import EXAMPLE, expected, read_ratings


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def test_early_is_one_soft_max_over_all():
    cosines = np.array([[0.3, 0.2, 0.25, 0.1], [0.0, 0.1, 0.2, 0.3]], np.float32)
    ratings = [9, 2, 7, 1]
    by_hand = [softmax(10 * row) @ ratings for row in cosines]
    np.testing.assert_allclose(expected(torch.tensor(cosines), ratings, 10.0).numpy(), by_hand, rtol=1e-5)


def test_late_is_the_mean_over_voters():
    cosines = np.array([[0.3, 0.2, 0.25, 0.1, 0.5]], np.float32)
    ratings = np.array([9, 2, 7, 1, 4])
    voter = [0, 0, 1, 1, 1]
    by_hand = np.mean([softmax(20 * cosines[0, :2]) @ [9, 2], softmax(20 * cosines[0, 2:]) @ [7, 1, 4]])
    found = expected(torch.tensor(cosines), ratings, 20.0, voter).numpy()
    np.testing.assert_allclose(found, [by_hand], rtol=1e-5)
    assert abs(found[0] - expected(torch.tensor(cosines), ratings, 20.0).item()) > 0.05


def test_scale_sharpens_towards_the_nearest_description():
    cosines = torch.tensor([[0.3, 0.2]])
    assert expected(cosines, [10, 0], 0.0).item() == pytest.approx(5)
    assert expected(cosines, [10, 0], 1e4).item() == pytest.approx(10)


def table(tmp_path, text):
    path = tmp_path / "ratings.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_read(tmp_path):
    found = read_ratings(
        table(
            tmp_path, 'Prompt;Rating;Voter\na lake;8,5;Ann\n"a road; busy";2;Ann\na lake;7;Bo\na shed;3;Bo\n'
        )
    )
    assert found.prompts == ("a lake", "a road; busy", "a lake", "a shed")
    assert found.ratings.tolist() == [8.5, 2, 7, 3]
    assert found.voters == ("Ann", "Bo")
    assert found.voter.tolist() == [0, 0, 1, 1]


def test_voters_are_optional(tmp_path):
    found = read_ratings(table(tmp_path, "prompt,rating\na lake,8\na road,2\n"))
    assert found.voters == ("",)
    assert found.voter.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("prompt,stars\na,1\n", "no column rating"),
        ("prompt,rating\n", "no line with a prompt"),
        ("prompt,rating\n,3\n", "has no prompt"),
        ("prompt,rating\na lake,high\nb,2\n", "'high' of 'a lake' is no number"),
        ("prompt,rating\na lake,nan\nb,2\n", "no number"),
        ("prompt,rating\na,5\nb,5\n", "All ratings of ratings.csv are 5"),
        ("prompt,rating,voter\na,5,x\nb,4,x\nc,3,y\n", "voter 'y' of ratings.csv rated one description only"),
        ("prompt,rating\na,5\nA,4\n", "rated 'a' twice"),
        ("prompt,rating\na,5,6\n", "more fields in line 2"),
    ],
)
def test_bad_tables(tmp_path, text, words):
    with pytest.raises(InputError) as caught:
        read_ratings(table(tmp_path, text))
    assert words in caught.value.message
    assert caught.value.advice


def test_missing_table(tmp_path):
    with pytest.raises(InputError, match=r"none\.csv can't be read"):
        read_ratings(tmp_path / "none.csv")


def test_the_example_has_several_voters_and_the_whole_scale():
    found = read_ratings(EXAMPLE)
    assert len(found.voters) >= 3
    assert found.ratings.min() <= 2
    assert found.ratings.max() >= 9
    assert np.bincount(found.voter).min() >= 8
