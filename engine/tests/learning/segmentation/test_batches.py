from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from support.field_windows import field_windows

from sits_engine.learning.segmentation.batches import Cutter, Cutting, normalisation
from sits_engine.learning.segmentation.flips import inverse, turned
from sits_engine.models.card import BandCard

CPU = torch.device("cpu")


def cutter(windows, **changes):
    cutting = dataclasses.replace(Cutting(window=8, n_dates=4), **changes)
    return Cutter(windows, normalisation(windows), cutting, CPU)


def test_normalisation_is_that_of_the_valid_pixels():
    windows = field_windows()
    for c, band in enumerate(normalisation(windows)):
        seen = windows.values[:, :, c][windows.valid]
        assert band.mean == pytest.approx(seen.mean(), rel=1e-4)
        assert band.std == pytest.approx(seen.std(), rel=1e-3)
    windows.values[:, :, 0] = 0
    assert normalisation(windows)[0].std == 1.0


def test_crops_at_places_are_what_lies_there():
    windows = field_windows(scale=2)
    made = cutter(windows)
    batch = made.on_device(made.at([(3, 4, 8), (0, 0, 0)]))
    assert batch.images.shape == (2, 4, 2, 8, 8)
    assert torch.equal(batch.labels[0], torch.from_numpy(windows.labels[3, 8:24, 16:32].astype(np.int64)))
    days = batch.positions[0].tolist()
    assert days == sorted(set(days))
    assert days[0] == windows.positions[0, 0]
    assert days[-1] == windows.positions[0, -1]
    index = [windows.positions[3].tolist().index(day) for day in days]
    values = windows.values[3, index, :, 4:12, 8:16]
    valid = windows.valid[3, index, 4:12, 8:16]
    bands = normalisation(windows)
    for c, band in enumerate(bands):
        expected = np.where(valid, (values[:, c] - band.mean) / band.std, 0)
        torch.testing.assert_close(
            batch.images[0, :, c].double(), torch.from_numpy(expected).double(), atol=1e-5, rtol=1e-5
        )
    assert torch.equal(made.at([(3, 4, 8)]).values, made.at([(3, 4, 8)]).values)


def test_random_crops_keep_image_labels_and_symmetry_together():
    """Band 0 holds the label itself: wherever a crop comes from, and however turned, they must agree."""
    windows = field_windows(n=5, clear=1.0)
    windows.values[:] = windows.labels[:, None, None]
    plain = [BandCard(name=b) for b in windows.bands]
    made = Cutter(windows, plain, Cutting(8, 4), CPU)
    batch = made.on_device(made.drawn(np.arange(5).repeat(8), np.random.default_rng(0)))
    assert torch.equal(batch.images[:, 2, 1].long(), batch.labels)
    assert len({labels.numpy().tobytes() for labels in batch.labels}) > 25
    assert (batch.labels >= 0).flatten(1).any(1).all()


def test_every_symmetry_and_every_place_is_drawn():
    windows = field_windows(n=1, size=10, field=3)
    windows.labels[:] = np.arange(100).reshape(10, 10)  # each pixel its own label
    made = cutter(windows, window=8)
    labels = made.drawn(np.zeros(400, int), np.random.default_rng(1)).labels.numpy()
    corners = set()
    for crop in labels:
        symmetry = next(
            s for s in range(8) if np.array_equal(turned(crop, s)[0, :2], turned(crop, s)[0, 0] + [0, 1])
        )
        first = int(turned(crop, symmetry)[0, 0])
        corners.add((*divmod(first, 10), inverse(symmetry)))
    assert len(corners) == 3 * 3 * 8
    made = cutter(windows, window=8, turning="none")
    crops = made.drawn(np.zeros(20, int), np.random.default_rng(1)).labels
    assert (crops[:, 0, 1] - crops[:, 0, 0] == 1).all()


def test_a_crop_holds_a_known_pixel():
    windows = field_windows(n=1)
    windows.labels[:] = -1
    windows.labels[0, 15, 0] = 1
    drawn = cutter(windows).drawn(np.zeros(10, int), np.random.default_rng(0))
    assert ((drawn.labels == 1).sum((1, 2)) == 1).all()
    windows.labels[:] = -1
    with pytest.raises(ValueError, match="no known pixel"):
        cutter(windows).drawn(np.zeros(1, int), np.random.default_rng(0))


def test_dates_in_training_vary_in_order_and_keep_their_number():
    windows = field_windows(n=2, dates=12, clear=1.0)
    drawn = cutter(windows).drawn(np.zeros(60, int), np.random.default_rng(0))
    days = drawn.positions.numpy()
    assert (np.diff(days, axis=1) > 0).all()
    assert len({tuple(row) for row in days}) > 10
    assert set(days.ravel()) == set(windows.positions[0])
    never = cutter(windows, leave_out=0.0).drawn(np.zeros(9, int), np.random.default_rng(0))
    assert len({tuple(row) for row in never.positions.tolist()}) == 1
    again = cutter(windows).drawn(np.zeros(60, int), np.random.default_rng(0))
    assert torch.equal(drawn.values, again.values)


def test_too_few_dates_are_padded_and_masked():
    windows = field_windows(n=1, dates=3)
    windows.valid[0, 1] = False
    windows.values[0, 1] = 0
    made = cutter(windows, n_dates=6)
    batch = made.on_device(made.at([(0, 0, 0)]))
    assert batch.date_mask[0].tolist() == [True, True, False, False, False, False]
    assert batch.positions[0, :2].tolist() == windows.positions[0, [0, 2]].tolist()
    assert (batch.images[0, 2:] == 0).all()


def test_wrong_bands_and_sizes():
    windows = field_windows()
    with pytest.raises(ValueError, match="for bands"):
        Cutter(windows, normalisation(windows)[::-1], Cutting(8, 4), CPU)
    with pytest.raises(ValueError, match="crops of 20 pixels"):
        cutter(windows, window=20)
