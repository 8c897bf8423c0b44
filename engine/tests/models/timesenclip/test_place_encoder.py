"""The compiled satellite encoder gives the numbers of the published form."""

import pytest
import torch
from support.photo_series import satellite_encoder

from sits_engine.models.timesenclip import place_encoder
from sits_engine.models.timesenclip.folded import encode, fold
from sits_engine.models.timesenclip.place_encoder import encoder_of, place_encoder_of

TOLERANCE = {"atol": 2e-5, "rtol": 1e-4}
#: Widths that are multiples of a block of outputs on every processor.
SIZES = {"dim": 96, "heads": 3, "feedforward": 24}


def images_of(module, n, steps, masked):
    torch.manual_seed(3)
    images = torch.rand(n, steps, module.n_bands, module.context, module.context)
    mask = torch.rand(n, steps) < 0.6 if masked else None
    return images, mask


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("steps", [12, 7, 4, 3, 1])
@pytest.mark.parametrize("n", [1, 17, 100])
def test_the_same_numbers(n, steps, masked):
    module = satellite_encoder(**SIZES)
    images, mask = images_of(module, n, steps, masked)
    months = module.months_of(12)[:steps] if steps not in (4, 1) else module.months_of(steps)
    with torch.no_grad():
        network = fold(module, months)
        assert network.first is not None
        made = place_encoder_of(network)
        assert made is not None
        plain = module(images, months.expand(n, -1), mask)
        torch.testing.assert_close(encoder_of(network)(images.flatten(2), mask), plain, **TOLERANCE)


@pytest.mark.parametrize(
    "changes",
    [
        {"context": 5},
        {"depth": 1},
        {"depth": 2},
        {"activation": "gelu", "head": "mlp"},
        {"dim": 64, "heads": 8},
        {"bands": 1},
    ],
)
def test_every_form_of_the_network(changes):
    module = satellite_encoder(**SIZES | changes)
    images, mask = images_of(module, 21, 12, True)
    months = module.months_of(12)
    with torch.no_grad():
        network = fold(module, months)
        assert place_encoder_of(network) is not None
        plain = module(images, months.expand(21, -1), mask)
        torch.testing.assert_close(encoder_of(network)(images.flatten(2), mask), plain, **TOLERANCE)


def test_a_place_without_any_month_gets_what_the_class_token_gives():
    module = satellite_encoder(**SIZES)
    images, _ = images_of(module, 5, 12, False)
    mask = torch.zeros(5, 12, dtype=torch.bool)
    mask[1:] = True
    with torch.no_grad():
        found = encoder_of(fold(module, module.months_of(12)))(images.flatten(2), mask)
        plain = module(images, module.months_of(12).expand(5, -1), mask)
    torch.testing.assert_close(found, plain, **TOLERANCE)


def test_a_place_gets_the_same_numbers_whatever_else_is_computed():
    module = satellite_encoder(**SIZES)
    images, mask = images_of(module, 100, 12, True)
    with torch.no_grad():
        run = encoder_of(fold(module, module.months_of(12)))
        found = run(images.flatten(2), mask)
        for part in (slice(50, 51), slice(3, 20), slice(0, 99)):
            torch.testing.assert_close(
                run(images[part].flatten(2), mask[part]), found[part], atol=1e-6, rtol=1e-5
            )


def test_widths_that_do_not_fit_and_machines_without_compiler_use_the_operators(monkeypatch):
    odd = fold(module := satellite_encoder(), module.months_of(12))  # heads of 8 numbers, 20 in between
    assert len(odd.layers[0].first[1]) == 20
    fits = fold(module := satellite_encoder(**SIZES), module.months_of(12))
    assert place_encoder_of(fits) is not None
    function, _ = place_encoder.load()
    assert place_encoder._pack(function, 8, odd) is None
    monkeypatch.setattr(place_encoder, "load", lambda: None)
    assert place_encoder_of(fits) is None
    images, mask = images_of(module, 9, 12, True)
    with torch.no_grad():
        assert torch.equal(encoder_of(fits)(images.flatten(2), mask), encode(fits, images.flatten(2), mask))


def test_loading_does_not_touch_the_random_numbers():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    assert place_encoder.load.__wrapped__() is not None
    assert torch.equal(torch.rand(3), expected)
