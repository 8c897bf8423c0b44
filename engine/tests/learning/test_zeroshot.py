"""Raw and normalised scores against the published code's numbers, and what confidences are."""

import golden
import numpy as np
import torch

from sits_engine.learning.zeroshot import (
    column_means,
    confidences,
    level_factors,
    levelled,
    normalised,
    scores,
)
from sits_engine.models.clip.prompts import mean_vectors


def unit(array):
    return array / np.linalg.norm(array, axis=-1, keepdims=True)


def golden_cosines():
    data = golden.load("timesenclip_zeroshot")
    prompts = data["inputs"]["prompt_embeddings"].numpy()
    classes = mean_vectors(prompts.reshape(-1, prompts.shape[-1]), [prompts.shape[1]] * len(prompts))
    return classes, unit(data["inputs"]["image_embeddings"].numpy()) @ classes.T, data["outputs"]


def test_published_numbers():
    classes, cosines, out = golden_cosines()
    np.testing.assert_allclose(classes, out["class_embeddings"].numpy(), **golden.EVAL)
    np.testing.assert_allclose(scores(cosines), out["logits"].numpy(), **golden.EVAL)
    np.testing.assert_array_equal(cosines.argmax(1), out["pred"].numpy())
    expected = out["logits_dataset_normalised"].numpy()
    np.testing.assert_allclose(normalised(cosines), expected, **golden.EVAL)
    np.testing.assert_array_equal(normalised(cosines).argmax(1), out["pred_normalised"].numpy())
    assert (out["pred"] != out["pred_normalised"]).any()  # the two do differ here


def test_raw_order_is_that_of_cosines():
    cosines = np.random.default_rng(0).uniform(-1, 1, (50, 6))
    np.testing.assert_array_equal(scores(cosines).argsort(1), cosines.argsort(1))
    np.testing.assert_array_equal(scores(torch.tensor(cosines)).numpy(), scores(cosines))


def test_levelled_cosines_have_the_order_of_normalised_scores():
    cosines = np.random.default_rng(1).uniform(-0.1, 0.4, (200, 5)).astype(np.float32)
    cosines[:, 2] -= 0.2  # a class that raw scores hardly ever choose
    means = column_means(cosines)
    level = levelled(torch.tensor(cosines), torch.tensor(level_factors(means))).numpy()
    np.testing.assert_array_equal(level.argmax(1), normalised(cosines).argmax(1))
    assert (level.argmax(1) == 2).sum() > 5 * max(1, (cosines.argmax(1) == 2).sum())
    np.testing.assert_allclose(column_means(level), column_means(level).mean(), atol=1e-6)


def test_equal_means_change_nothing():
    cosines = np.array([[0.3, 0.1], [0.1, 0.3]], np.float32)
    np.testing.assert_allclose(levelled(cosines, level_factors(column_means(cosines))), cosines, atol=1e-6)


def test_negative_and_zero_means_of_cosines_are_safe():
    cosines = np.array([[-0.3, 0.2], [-0.1, -0.2], [-0.2, 0.0]])  # means of cosines: -0.2 and 0
    assert np.isfinite(normalised(cosines)).all()
    # dividing cosines would call the first class best where it is worst
    assert normalised(cosines)[:, 0].argmax() == 1
    assert (column_means(np.full((4, 3), -1.0)) >= 0.5).all()


def test_means_of_a_sample_stand_for_all():
    cosines = np.random.default_rng(2).uniform(0, 0.4, (40, 3))
    means = column_means(cosines[::2])
    np.testing.assert_allclose(normalised(cosines, means), (cosines / 2 + 1) / means)


def test_confidence_is_a_soft_max_with_the_scale():
    p = confidences(torch.tensor([[0.30, 0.25]]), 100.0)
    np.testing.assert_allclose(p.numpy(), [[1 / (1 + np.exp(-5)), 1 / (1 + np.exp(5))]], rtol=1e-4)
