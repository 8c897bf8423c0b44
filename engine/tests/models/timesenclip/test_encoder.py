from __future__ import annotations

import golden
import pytest
import torch
from support.photo_series import satellite_encoder

from sits_engine.errors import ModelError
from sits_engine.models.registry import build, timesenclip_hyperparameters
from sits_engine.models.timesenclip.steps import POSITIONS, YEAR, aggregated, lower_median, positions_of


def published():
    """The golden file and its network."""
    data = golden.load("timesenclip_small")
    sizes = {"embedding": 32, "dim": 32, "depth": 2, "heads": 4, "feedforward": 16, "reference": True}
    module = build("timesenclip", timesenclip_hyperparameters(10, **sizes)).eval()
    found = module.load_state_dict(data["state_dict"], strict=False)
    assert found.missing_keys == ["logit_scale"]
    assert found.unexpected_keys == []
    return data, module


@pytest.mark.parametrize(
    ("steps", "name"), [(12, "inf_T12"), (4, "inf_T4_median_input"), (1, "inf_T1_median_input")]
)
def test_outputs_are_the_published_ones(steps, name) -> None:
    data, module = published()
    x = data["inputs"]["x"]
    with torch.no_grad():
        images, used = aggregated(x, torch.ones(5, 12, dtype=torch.bool), steps)
        out = module(images, module.months_of(steps).expand(5, -1), used)
    torch.testing.assert_close(out, data["outputs"][name], **golden.EVAL)


def test_normalised_input_is_the_published_one() -> None:
    data, _ = published()
    mean, std = (torch.tensor(data[name])[:, None, None] for name in ("mean", "std"))
    x = ((data["inputs"]["raw"] - mean) / std).clamp(0, 1)
    torch.testing.assert_close(x, data["inputs"]["x"], **golden.EVAL)
    assert not torch.equal(x, data["inputs"]["x_unclamped"])


def test_the_published_size_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        module = build("timesenclip", timesenclip_hyperparameters(10))
    counts = {name: value.numel() for name, value in module.named_parameters()}
    assert counts.pop("logit_scale") == 1
    assert sum(counts.values()) == 8_169_472


def test_one_step_has_the_mean_position_unless_the_released_form_is_asked_for() -> None:
    module = satellite_encoder()
    positions = module.positions()
    assert positions.shape == (POSITIONS, 24)
    torch.testing.assert_close(positions[YEAR], module.time_pos_encoding[0].mean(0))
    assert module.months_of(1).tolist() == [YEAR]
    assert satellite_encoder(reference=True).months_of(1).tolist() == [0]
    assert module.months_of(4).tolist() == [12, 13, 14, 15]
    with pytest.raises(ValueError, match="3 steps"):
        positions_of(3)


def test_months_that_are_hidden_have_no_influence() -> None:
    module = satellite_encoder()
    torch.manual_seed(1)
    images = torch.rand(4, 12, 3, 1, 1)
    used = torch.rand(4, 12) < 0.6
    used[:, 3] = True
    months = module.months_of(12).expand(4, -1)
    with torch.no_grad():
        first = module(images, months, used)
        images[~used] = 77.0
        torch.testing.assert_close(module(images, months, used), first)
        # ... and a place of three months is the same as if there were only three
        keep = used[0].nonzero().squeeze(1)
        alone = module(images[:1, keep], keep[None])
        torch.testing.assert_close(alone, first[:1], atol=1e-5, rtol=1e-4)


def test_the_lower_of_two_middle_values_is_the_median() -> None:
    values = torch.tensor(
        [[[4.0], [1.0], [3.0], [2.0]], [[9.0], [5.0], [7.0], [0.0]], [[1.0], [1.0], [1.0], [1.0]]]
    )
    used = torch.tensor([[True] * 4, [True, True, True, False], [False] * 4])
    assert lower_median(values, used).tolist() == [[2.0], [7.0], [0.0]]


def test_steps_without_a_month_are_not_used() -> None:
    used = torch.zeros(1, 12, dtype=torch.bool)
    used[0, [4, 5]] = True
    images = torch.arange(12.0).view(1, 12, 1, 1, 1)
    quarters, there = aggregated(images, used, 4)
    assert there.tolist() == [[False, True, False, False]]
    assert quarters[0, 1].item() == 4.0
    year, whole = aggregated(images, used, 1)
    assert (year.item(), whole.item()) == (4.0, True)


def test_forms_of_the_paper_can_be_built() -> None:
    module = satellite_encoder(activation="gelu", head="mlp", context=3)
    assert module(torch.rand(2, 12, 3, 3, 3), module.months_of(12).expand(2, -1)).shape == (2, 16)
    assert len(module.mlp_head) == 4


@pytest.mark.parametrize("wrong", [{"heads": 5}, {"context": 2}, {"activation": "tanh"}, {"head": "none"}])
def test_sizes_that_make_no_sense_are_refused(wrong) -> None:
    with pytest.raises(ModelError, match="can't be built"):
        satellite_encoder(**wrong)


def test_positions_start_as_a_calendar() -> None:
    module = satellite_encoder(dim=96)
    module.start_with_calendar()
    months = module.time_pos_encoding.detach()[0]
    assert float(months.square().mean().sqrt()) == pytest.approx(0.5, abs=0.1)
    away = torch.cdist(months, months)
    assert float(away[0, 1]) == pytest.approx(float(away[11, 0]), rel=0.3)  # December is beside January
    assert away[0, 1] < away[0, 4]
