import pytest
import torch

from sits_engine.models.pixel_set import PixelSetEncoder, pool_mean_std


def test_one_pixel_has_finite_deviation_and_gradient():
    x = torch.rand(2, 3, 5, 4, requires_grad=True)
    mask = torch.zeros(2, 3, 5)
    mask[..., 0] = 1
    pooled = pool_mean_std(x, mask)
    assert pooled[..., :4].equal(x[:, :, 0])
    assert (pooled[..., 4:] < 1e-15).all()
    pooled.square().sum().backward()
    assert torch.isfinite(x.grad).all()
    assert x.grad[:, :, 1:].abs().max() == 0


def test_pooling_equals_torch_over_the_pixels_that_count():
    x, mask = torch.rand(7, 4), torch.tensor([1, 0, 1, 1, 0, 1, 0])
    counted = x[mask.bool()]
    pooled = pool_mean_std(x, mask)
    torch.testing.assert_close(pooled, torch.cat([counted.mean(0), counted.std(0)]))


def test_no_pixel_gives_zeros_and_a_finite_gradient():
    x = torch.rand(1, 5, 4, requires_grad=True)
    pooled = pool_mean_std(x, torch.zeros(1, 5))
    pooled.sum().backward()
    assert pooled.abs().max() < 1e-15
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("reference", [False, True])
def test_masked_pixels_enter_the_statistics_only_in_the_published_form(reference):
    torch.manual_seed(0)
    pixels, mask = torch.rand(4, 3, 2, 6), torch.ones(4, 3, 6)
    mask[:, :, 3:] = 0
    changed = pixels.clone()
    changed[..., 3:] += 5
    results = []
    for given in (pixels, changed):
        torch.manual_seed(1)
        encoder = PixelSetEncoder(2, (4, 4), (5,), reference=reference).train()
        results.append((encoder(given, mask), encoder.mlp1[0].norm.running_mean.clone()))
    same = torch.allclose(results[0][0], results[1][0], atol=1e-6)
    assert same is not reference
    assert torch.equal(results[0][1], results[1][1]) is not reference


def test_extra_features_are_needed_where_the_encoder_was_made_with_them():
    encoder = PixelSetEncoder(2, (4, 4), (5,), extra=4).eval()
    arguments = torch.rand(2, 3, 2, 6), torch.ones(2, 3, 6), None
    with pytest.raises(ValueError, match="4 extra features"):
        encoder(*arguments)
    one, other = (encoder(*arguments, torch.full((2, 4), value)) for value in (0.0, 1.0))
    assert not torch.allclose(one, other)
