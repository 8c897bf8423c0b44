import numpy as np
import pytest
import torch
from networks import card, pixel_sets

from sits_engine.learning.transforms import Collator, Sampling, draw_dates, draw_pixels, real_dates

BANDS = card().bands


def collate(sets, index=None, seed=0, **rule):
    chosen = np.arange(len(sets)) if index is None else np.asarray(index)
    return Collator(sets, BANDS, Sampling(**rule))(chosen, np.random.default_rng(seed))


def numbered(sizes, dates=4):
    """Values tell pixel and date: B0 = number of the pixel, B1 = number of the date; all valid."""
    sets = pixel_sets(sizes, dates=dates, clear=2)
    sets.values[..., 0] = np.arange(len(sets.values))[:, None]
    sets.values[..., 1] = np.arange(dates)
    return sets


def raw(batch, band):
    return (batch.pixels[:, :, band] * BANDS[band].std + BANDS[band].mean).round().int()


def test_the_same_distinct_pixels_of_its_own_set_on_all_dates():
    sets = numbered([3, 20, 8])
    batch = collate(sets, pixels=8, dates=None, small_share=0)
    pixel = raw(batch, 0)
    assert (pixel == pixel[:, :1]).all()
    assert pixel[0, 0].tolist() == [0, 1, 2, 0, 0, 0, 0, 0]
    drawn = pixel[1, 0]
    assert len(set(drawn.tolist())) == 8
    assert drawn.min() >= 3
    assert drawn.max() < 23
    assert pixel[2, 0].tolist() == list(range(23, 31))
    assert batch.pixel_mask.sum(2)[:, 0].tolist() == [3, 8, 8]


def test_every_pixel_is_drawn_equally_often():
    sizes, limit = np.full(4000, 10), np.full(4000, 3)
    index, counts = draw_pixels(sizes, limit, 3, np.random.default_rng(0))
    assert counts.all()
    frequency = np.bincount(index.reshape(-1), minlength=10) / 4000
    np.testing.assert_allclose(frequency, 0.3, atol=0.04)


def test_distinct_dates_in_order_with_their_positions():
    sets = numbered([5] * 40, dates=9)
    batch = collate(sets, pixels=4, dates=5)
    date = raw(batch, 1)[:, :, 0]
    assert date.shape == (40, 5)
    assert (date.diff(dim=1) > 0).all()
    assert (batch.positions == date * 20).all()
    assert len({tuple(row.tolist()) for row in date}) > 5


@pytest.mark.parametrize("dates", [9, 30, None])
def test_all_dates_where_there_are_not_more(dates):
    batch = collate(numbered([5] * 3, dates=9), pixels=4, dates=dates)
    assert batch.positions.tolist() == [[20.0 * i for i in range(9)]] * 3


def test_shift_moves_all_dates_of_a_sample_alike_and_can_be_switched_off():
    sets = numbered([2] * 3000)
    base = np.arange(4) * 20
    shift = collate(sets, pixels=2, dates=None, shift=5).positions.numpy() - base
    assert (shift == shift[:, :1]).all()
    assert sorted(set(shift[:, 0])) == list(range(-5, 6))
    off = collate(sets, pixels=2, dates=None, shift=0).positions.numpy()
    assert (off == base).all()


def test_some_samples_get_few_pixels():
    sets = pixel_sets([50] * 2000, dates=2, clear=2)
    counts = collate(sets, pixels=32, small_share=0.25, small_pixels=8).pixel_mask[:, 0].sum(1)
    few = counts[counts < 32]
    assert 0.2 < len(few) / 2000 < 0.3
    assert set(few.tolist()) == set(range(1, 9))
    assert (collate(sets, pixels=32, small_share=0).pixel_mask.sum(2) == 32).all()


def test_clouds_and_missing_dates_are_masked():
    sets = pixel_sets([4, 4, 4], clear=0.5, regions=3)
    batch = collate(sets, pixels=4, dates=None, small_share=0)
    valid = sets.valid.reshape(3, 4, -1).transpose(0, 2, 1)
    assert batch.pixel_mask.numpy().tolist() == valid.tolist()
    assert torch.equal(batch.date_mask, batch.pixel_mask.any(-1))
    published = collate(sets, pixels=4, dates=None, small_share=0, mask_dates=False)
    assert published.date_mask.tolist() == real_dates(sets.positions).tolist()
    assert not published.date_mask[2, -1]


def test_real_dates_are_drawn_before_padding():
    real = np.ones((50, 8), np.bool_)
    real[:, 5:] = False
    assert draw_dates(real, 5, np.random.default_rng(0)).max() == 4


def test_same_seed_same_batch():
    sets = pixel_sets([9] * 5)
    one, two, other = (collate(sets, seed=s, pixels=4, dates=3, shift=9) for s in (1, 1, 2))
    assert torch.equal(one.pixels, two.pixels)
    assert torch.equal(one.positions, two.positions)
    assert not torch.equal(one.pixels, other.pixels)


def test_normalised_and_stored_channels_last():
    sets = pixel_sets([4, 4], clear=2)
    batch = collate(sets, [1, 0, 1], pixels=4, dates=None, small_share=0)
    assert batch.pixels.shape == (3, 6, 3, 4)
    assert batch.pixels.transpose(2, 3).is_contiguous()
    expected = (sets.values[4:8] - [b.mean for b in BANDS]) / [b.std for b in BANDS]
    np.testing.assert_allclose(batch.pixels[0].permute(2, 0, 1), expected, rtol=1e-4, atol=1e-5)
    assert batch.labels.tolist() == sets.labels[[1, 0, 1]].tolist()


def test_bands_of_another_order_are_refused():
    with pytest.raises(ValueError, match="normalisation of"):
        Collator(pixel_sets([2]), BANDS[::-1], Sampling())
