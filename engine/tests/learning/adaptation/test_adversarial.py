import pytest
import torch
from golden import EVAL, load

from sits_engine.learning.adaptation.adversarial import Conditioning, Discriminator, cdan_loss, dann_loss
from sits_engine.learning.adaptation.reversal import coefficient


@pytest.fixture(scope="module")
def golden():
    return load("timematch_losses")


def published(golden, name, n_features):
    discriminator = Discriminator(n_features, golden["config"]["dann_hidden"])
    discriminator.load_state_dict(golden["discriminators"][name])
    return discriminator.train()


@pytest.mark.parametrize("name", ["dann", "cdan", "cdan_e"])
def test_published_losses_and_gradients(golden, name):
    given, expected = golden["inputs"], golden["outputs"]
    source = given["f_s"].clone().requires_grad_()
    strength = coefficient(golden["config"]["dann_grl_iter"])
    if name == "dann":
        loss = dann_loss(published(golden, name, 128), source, given["f_t"], strength)
    else:
        conditioning = Conditioning(128, 9)
        discriminator = published(golden, name, conditioning.size)
        logits = given["g_s"], given["g_t"]
        loss = cdan_loss(
            discriminator, conditioning, source, given["f_t"], *logits, strength, entropy=name == "cdan_e"
        )
    loss.backward()
    torch.testing.assert_close(loss.detach(), expected[name], **EVAL)
    torch.testing.assert_close(source.grad, expected[f"{name}_grad_f_s"], atol=1e-7, rtol=1e-4)


def test_the_discriminator_descends_while_the_encoder_ascends():
    torch.manual_seed(0)
    discriminator = Discriminator(4, 8)
    source, target = (torch.randn(6, 4).requires_grad_() for _ in range(2))
    gradients = []
    for strength in (0.5, -1.0):  # -1 undoes the reversal: the plain gradient
        loss = dann_loss(discriminator, source, target, strength)
        gradients.append(torch.autograd.grad(loss, [source, discriminator[0].weight]))
    torch.testing.assert_close(gradients[0][0], -0.5 * gradients[1][0])
    torch.testing.assert_close(gradients[0][1], gradients[1][1])


def test_cdan_leaves_the_classifier_alone():
    torch.manual_seed(0)
    conditioning = Conditioning(4, 3)
    logits = torch.randn(5, 3, requires_grad=True)
    features = torch.randn(5, 4, requires_grad=True)
    cdan_loss(Discriminator(12, 8), conditioning, features, features, logits, logits, 1.0).backward()
    assert logits.grad is None
    assert features.grad.abs().sum() > 0


def test_outer_product_has_the_class_index_major():
    joint = Conditioning(2, 3)(torch.tensor([[5.0, 7.0]]), torch.tensor([[1.0, 10.0, 100.0]]))
    assert joint.tolist() == [[5, 7, 50, 70, 500, 700]]


def test_many_classes_use_a_fixed_random_map():
    assert Conditioning(128, 32).size == 4096
    torch.manual_seed(1)
    conditioning, again = Conditioning(128, 33), Conditioning(128, 33)
    assert conditioning.size == 1024
    assert not list(conditioning.parameters())
    f, g = torch.randn(3, 128), torch.randn(3, 33).softmax(1)
    joint = conditioning(f, g)
    assert joint.shape == (3, 1024)
    assert torch.equal(joint, again(f, g))
    # The map keeps lengths of the outer product, |f| |g|, in expectation (deviation 9 %).
    lengths = joint.norm(dim=1) / (f.norm(dim=1) * g.norm(dim=1))
    torch.testing.assert_close(lengths, torch.ones(3), atol=0.2, rtol=0)
