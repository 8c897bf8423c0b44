import pytest
import torch
from golden import EVAL, load
from torch import nn
from torch.nn import functional

from sits_engine.learning.adaptation.alda import ClassDiscriminator, adversarial_and_correction, alda_loss


def test_published_terms():
    golden = load("timematch_losses")
    given, expected = golden["inputs"], golden["outputs"]
    scores, logits, n = given["alda_ad_out"], given["alda_softmax_out"].log(), 16
    terms = alda_loss(
        nn.Identity(),  # the file holds the discriminator's scores
        scores[:n],
        scores[n:],
        logits[:n],
        logits[n:],
        given["alda_labels_source"],
        1.0,
        threshold=golden["config"]["alda_threshold"],
    )
    torch.testing.assert_close(terms.adversarial, expected["alda_adv"], **EVAL)
    torch.testing.assert_close(terms.regularisation, expected["alda_reg"], **EVAL)
    torch.testing.assert_close(terms.correction, expected["alda_correct"], **EVAL)


@pytest.mark.parametrize("k", [2, 5])
def test_same_as_with_confusion_matrices(k):
    torch.manual_seed(0)
    n, threshold = 8, 0.7
    scores = torch.randn(2 * n, k, dtype=torch.float64)
    p = (2 * torch.randn(2 * n, k, dtype=torch.float64)).softmax(1)
    labels = torch.arange(n) % k
    a = scores.sigmoid()
    matrix = ((1 - a) / (k - 1))[:, None, :].repeat(1, k, 1)
    matrix[:, range(k), range(k)] = a
    e = functional.one_hot(p.argmax(1), k).double()
    q = (matrix @ e[:, :, None])[:, :, 0]
    kept = p.max(1).values > threshold
    assert 0 < kept[n:].sum() < n
    wanted = torch.cat([functional.one_hot(labels, k).double(), (1 - e[n:]) / (k - 1)])
    counts = torch.cat([torch.ones(n, dtype=torch.bool), kept[n:]])
    bce = functional.binary_cross_entropy(q, wanted, reduction="none").sum(1)[counts].mean()
    correction = -(p * q)[n:][kept[n:]].mean()
    got = adversarial_and_correction(scores, p, labels, threshold)
    torch.testing.assert_close(torch.stack(got), torch.stack([bce, correction]))


def made(k=3):
    torch.manual_seed(0)
    discriminator = ClassDiscriminator(4, k, hidden=8)
    tensors = [torch.randn(6, size, requires_grad=True) for size in (4, 4, k, k)]
    return discriminator, tensors, torch.arange(6) % k


def test_regularisation_moves_nothing_but_the_discriminator():
    discriminator, tensors, labels = made()
    alda_loss(discriminator, *tensors, labels, 1.0).regularisation.backward()
    assert all(t.grad is None for t in tensors)
    assert all(p.grad.abs().sum() > 0 for p in discriminator.parameters())


def test_adversarial_moves_features_and_correction_the_target_classifier():
    discriminator, tensors, labels = made()
    terms = alda_loss(discriminator, *tensors, labels, 1.0, threshold=0.0)
    terms.adversarial.backward(retain_graph=True)
    assert [t.grad is not None and bool(t.grad.any()) for t in tensors] == [True, True, False, False]
    for p in discriminator.parameters():
        p.grad = None
    tensors[0].grad = tensors[1].grad = None
    terms.correction.backward()
    assert [t.grad is not None and bool(t.grad.any()) for t in tensors] == [False, False, False, True]
    assert all(p.grad is None for p in discriminator.parameters())


def test_no_confident_target_sample_skips_the_correction():
    discriminator, tensors, labels = made()
    terms = alda_loss(discriminator, *tensors, labels, 1.0, threshold=1.0)
    assert terms.correction.item() == 0
    sum(terms).backward()
    assert all(torch.isfinite(t).all() for t in terms)
    assert all(torch.isfinite(t.grad).all() for t in tensors if t.grad is not None)


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("size", [-500.0, 500.0])
def test_extreme_scores_stay_finite(k, size):
    scores = torch.full((4, k), size, requires_grad=True)
    p = torch.eye(k)[[0, 1, 0, 1]]
    adversarial, correction = adversarial_and_correction(scores, p, torch.tensor([1, 0]))
    (adversarial + correction).backward()
    assert torch.isfinite(torch.stack([adversarial, correction])).all()
    assert torch.isfinite(scores.grad).all()


def test_discriminator_starts_as_published():
    torch.manual_seed(0)
    discriminator = ClassDiscriminator(128, 9)
    linear = [layer for layer in discriminator if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in linear] == [
        (128, 1024),
        (1024, 1024),
        (1024, 9),
    ]
    assert all(not layer.bias.any() for layer in linear)
    # Xavier: variance 2 / (fan in + fan out).
    assert linear[1].weight.std().item() == pytest.approx(1024**-0.5, rel=0.01)
    assert [layer.p for layer in discriminator if isinstance(layer, nn.Dropout)] == [0.5, 0.5]
