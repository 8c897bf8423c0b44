"""Windows, dates and numbers reach the network as in training; its answers become one image without seams."""

import numpy as np
import pytest
import torch
from support.segmenters import Mean, segment_card

from sits_engine.device import select
from sits_engine.errors import ModelError
from sits_engine.models.segment_inference import SegmentPredictor, View, in_batches, windows_of_a_batch
from sits_engine.samples.dates import thinned
from sits_engine.samples.windows import WindowSet

CPU = select("cpu")
DAYS = np.array([59, 99, 139, 180, 221], np.int32)


def cube(height=50, width=61, dates=5, bands=3, seed=0, clear=0.9, dtype=np.uint16):
    """Values that vary smoothly (x 10000), scattered clouds."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / 40
    waves = [np.sin(3 * x + i) * np.cos(2 * y + j) for i in range(dates) for j in range(bands)]
    values = 1800 + 900 * np.array(waves).reshape(dates, bands, height, width)
    valid = rng.random((dates, height, width)) < clear
    values = (values * valid[:, None]).astype(dtype)
    scale = np.full((dates, bands), 1e-4, np.float32)
    return values, valid, scale, np.full((dates, bands), -0.01, np.float32), DAYS[:dates]


def predictor(module=None, notice=None, overlap=0.5, **card):
    card = segment_card(**card)
    return SegmentPredictor(
        module or Mean(scale=card.hyperparameters["scale"]), card, CPU, overlap=overlap, notice=notice
    )


def plain(module, card, values, valid, scale, offset, positions):
    """The network on the whole image as one window, by hand: (K, H, W)."""
    physical = values * scale[:, :, None, None] + offset[:, :, None, None]
    images = ((physical - 0.18) / 0.1 * valid[:, None]).astype(np.float32)
    with torch.no_grad():
        logits = module(
            torch.from_numpy(images)[None],
            torch.from_numpy(positions.astype(np.int64))[None],
            torch.from_numpy(valid.any(axis=(1, 2)))[None],
        )
    return torch.softmax(logits[0] / card.temperature, 0).numpy()


def test_one_window_is_the_networks_answer_with_temperature():
    module = Mean()
    given = cube(16, 16)
    own = predictor(module, temperature=2.5)
    found = own.predict_cube(*given)
    np.testing.assert_allclose(found, plain(module, own.card, *given), atol=1e-5)
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-5)
    cold = predictor(module).predict_cube(*given)
    assert cold.max() > found.max() + 0.02


def test_far_from_borders_an_image_of_any_size_gets_the_networks_answer():
    """Each window of a network that does not react to its border answers as the whole image does inside."""
    module = Mean(border=False)
    values, valid, scale, offset, days = cube(clear=1.1)
    own = predictor(module, window=20)
    found = own.predict_cube(values, valid, scale, offset, days)
    whole = plain(module, own.card, values, valid, scale, offset, days)
    assert found.shape == (3, 50, 61)
    assert np.abs(found - whole).max() < 0.12  # reflected borders are not quite the neighbours
    assert np.abs(found - whole).mean() < 0.01


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_scale_and_pixels_never_seen(scale):
    values, valid, a, b, days = cube()
    valid[:, 20:23, 30:40] = False
    valid[:, :, 60] = False
    found = predictor(scale=scale).predict_cube(values, valid, a, b, days)
    assert found.shape == (3, 50 * scale, 61 * scale)
    seen = valid.any(axis=0).repeat(scale, 0).repeat(scale, 1)
    assert (found[:, ~seen] == 0).all()
    np.testing.assert_allclose(found[:, seen].sum(axis=0), 1, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 40), (7, 33), (15, 15)])
def test_images_smaller_than_a_window_are_mirrored_and_it_is_said_once(height, width):
    said = []
    own = predictor(notice=said.append)
    given = cube(height, width, clear=1.1)
    found = own.predict_cube(*given)
    own.predict_cube(*given)
    assert found.shape == (3, height, width)
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-5)
    assert len(said) == 1
    assert f"{width} x {height} pixels, smaller than the windows of 16 x 16" in said[0]


def test_nothing_seen_at_all_runs_no_network():
    module = Mean()
    values, valid, a, b, days = cube()
    found = predictor(module).predict_cube(values, np.zeros_like(valid), a, b, days)
    assert (found == 0).all()
    assert module.calls == []


def test_dates_are_chosen_or_padded_to_what_the_network_takes():
    module = Mean()
    predictor(module, n_dates=3).predict_cube(*cube(16, 16))
    assert module.calls[-1][1] == 3
    given = cube(16, 16)
    more = predictor(module, n_dates=9)
    np.testing.assert_allclose(
        more.predict_cube(*given), predictor(module).predict_cube(*given), atol=1e-6
    )  # padding is masked, so this network does not see it
    assert module.calls[-2][1] == 9


@pytest.mark.parametrize("n", [3, 5, 8])
def test_the_network_sees_what_it_sees_in_training(n):
    """The same dates, numbers, days and mask as windows that `thinned` prepares."""
    values, valid, scale, offset, days = cube(20, 24, clear=0.6)
    valid[1, :16] = False  # a date without a clear pixel in some windows
    places = [(0, 0), (4, 8)]
    cut = [(slice(None), slice(r, r + 16), slice(c, c + 16)) for r, c in places]
    physical = (values * scale[:, :, None, None] + offset[:, :, None, None]) * valid[:, None]
    windows = WindowSet(
        bands=("B02", "B04", "B08"),
        values=np.stack([physical[:, :, rows, cols] for _, rows, cols in cut]).astype(np.float32),
        valid=np.stack([valid[where] for where in cut]),
        positions=np.tile(days, (2, 1)),
        labels=np.zeros((2, 16, 16), np.int16),
        parcels=np.zeros((2, 16, 16), np.int32),
        mixed=np.zeros((2, 16, 16), np.uint8),
        scale=1,
        classes=("a",),
        xy=np.zeros((2, 2)),
        region=np.zeros(2, np.int16),
        rows=np.array([0, 4], np.int32),
        cols=np.array([0, 8], np.int32),
    )
    training = thinned(windows, n)
    expected = (training.values - 0.18) / 0.1 * training.valid[:, :, None]
    view = View(values, valid, scale, offset, days, 0, 0, 20, 24)
    images, positions, mask = predictor(n_dates=n)._input(view, places)
    np.testing.assert_allclose(images, expected, atol=1e-5)
    np.testing.assert_array_equal(positions, training.positions)
    np.testing.assert_array_equal(mask, training.valid.any(axis=(2, 3)))
    assert mask[0].sum() == min(n, 4)


def test_an_area_gets_the_same_numbers_as_the_whole():
    own = predictor()
    given = cube()
    whole = own.predict_cube(*given)
    values, valid, a, b, days = given
    view = View(values, valid, a, b, days, 0, 0, 50, 61)
    part = own.predict_view(view, (13, 21), (20, 30))
    np.testing.assert_allclose(part, whole[:, 13:33, 21:51], atol=1e-6)
    wanted = np.zeros((20, 30), bool)
    wanted[3, 4] = True
    before = len(own.module.calls)
    some = own.predict_view(view, (13, 21), (20, 30), wanted)
    np.testing.assert_allclose(some[:, 3, 4], part[:, 3, 4], atol=1e-6)
    assert len(own.module.calls) - before <= 4  # only the windows of that pixel


def test_progress_goes_up_to_one():
    shares = []
    values, valid, a, b, days = cube()
    view = View(values, valid, a, b, days, 0, 0, 50, 61)
    predictor().predict_view(view, (0, 0), (50, 61), tick=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1


def jumps(probabilities, lines):
    """Mean jump of the probabilities across lines of pixels, divided by that everywhere else."""
    across = np.abs(np.diff(probabilities, axis=2)).mean(axis=(0, 1))
    at = np.zeros(len(across), bool)
    at[np.asarray(lines) - 1] = True
    inside = ~at
    return across[at].mean() / across[inside].mean()


def test_no_seam_shows_at_the_borders_of_windows():
    """A network that reacts to the border of its window: overlap and weights hide it, else it shows."""
    given = cube(96, 128, clear=1.1)
    own = predictor(Mean(), window=16)
    blended, cut = own.predict_cube(*given), predictor(Mean(), window=16, overlap=0).predict_cube(*given)
    cut_lines = np.arange(16, 128, 16)
    assert jumps(cut, cut_lines) > 3
    # every place where a window begins or ends is such a line
    for lines in (cut_lines, np.arange(8, 128, 16)):
        assert jumps(blended, lines) < 1.25


def test_full_memory_halves_the_batch_and_says_so():
    class Full(Mean):
        def forward(self, images, *rest):
            if len(images) > 4:
                raise torch.OutOfMemoryError("full")
            return super().forward(images, *rest)

    said = []
    from sits_engine.device import Device

    # the path of cards, on the CPU: a device whose tensors are elsewhere would need one
    own = SegmentPredictor(Full(), segment_card(), Device(torch.device("cpu"), "a card"), notice=said.append)
    own.device = type("Card", (), {"torch": torch.device("cpu"), "label": "a card", "is_cpu": False})()
    own.batch_windows = 16
    given = cube()
    np.testing.assert_allclose(own.predict_cube(*given), predictor().predict_cube(*given), atol=1e-6)
    assert own.batch_windows == 4
    assert said == [
        "a card: memory is full, going on with batches of 8 windows instead of 16.",
        "a card: memory is full, going on with batches of 4 windows instead of 8.",
    ]
    own.batch_windows = 1
    own.module = type(
        "Never",
        (Full,),
        {"forward": lambda self, *given: (_ for _ in ()).throw(torch.OutOfMemoryError("full"))},
    )()
    with pytest.raises(torch.OutOfMemoryError):
        own.predict_cube(*given)


def test_numbers_that_overflow_half_precision_are_computed_again(monkeypatch):
    own = predictor()
    expected = own.predict_cube(*cube())
    own.device = type("Card", (), {"torch": torch.device("cpu"), "label": "a card", "is_cpu": False})()
    infer = own._infer

    def overflowing(view, places, *, half=True):
        found = infer(view, places, half=half)
        if half:
            found[1::2, 0, 3, 3] = float("nan")
        return found

    monkeypatch.setattr(own, "_infer", overflowing)
    own.batch_windows = 4
    np.testing.assert_allclose(own.predict_cube(*cube()), expected, atol=1e-6)


def test_cards_that_do_not_fit():
    with pytest.raises(ModelError, match="no 'window'"):
        predictor(window=0)
    with pytest.raises(ModelError, match="windows of 18 pixels; the network takes multiples of 4"):
        predictor(window=18)
    with pytest.raises(ValueError, match="overlap"):
        predictor(overlap=1.0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA card")
def test_a_card_agrees_with_the_processor():
    given = cube()
    expected = predictor(Mean()).predict_cube(*given)
    found = SegmentPredictor(Mean(), segment_card(), select("cuda")).predict_cube(*given)
    assert np.abs(found - expected).max() < 0.02


@pytest.mark.parametrize("n", [0, 1, 2, 4, 5, 9, 23])
def test_batches_are_as_equal_as_can_be_and_in_order(n):
    places = [(i, 2 * i) for i in range(n)]
    batches = in_batches(places, 4)
    assert [place for batch in batches for place in batch] == places
    sizes = [len(batch) for batch in batches]
    assert len(batches) == -(-n // 4)
    assert n == 0 or max(sizes) - min(sizes) <= 1


def test_batches_of_a_processor_shrink_with_the_window():
    assert [windows_of_a_batch(side) for side in (4, 16, 24, 48, 128)] == [32, 9, 4, 2, 2]
