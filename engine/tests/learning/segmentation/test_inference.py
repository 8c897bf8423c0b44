from __future__ import annotations

import dataclasses
import datetime

import numpy as np
import pytest
import torch
from support.field_windows import TinySegmenter, field_windows

from sits_engine import device
from sits_engine.errors import Cancelled
from sits_engine.learning.segmentation.batches import Cutter, Cutting, normalisation
from sits_engine.learning.segmentation.inference import Apply, predict_windows, similarity_maps
from sits_engine.learning.segmentation.pictures import FALSE_COLOR, chosen_windows, picture_of
from sits_engine.models.card import ClassCard, ModelCard
from sits_engine.models.segment_inference import SegmentPredictor

CPU = device.select("cpu")


def card_of(windows, window=8, temperature=1.0) -> ModelCard:
    return ModelCard(
        architecture="tiny",
        hyperparameters={"window": window, "n_dates": 4, "scale": windows.scale},
        bands=normalisation(windows),
        classes=[ClassCard(name=name, color="#00ff00") for name in windows.classes],
        season_year=2020,
        positions=[0.0],
        temperature=temperature,
    )


def network(scale=1):
    torch.manual_seed(0)
    return TinySegmenter(scale=scale).eval()


@pytest.mark.parametrize("scale", [1, 2])
def test_windows_of_the_size_of_a_crop_are_predicted_as_one(scale):
    windows = field_windows(n=5, size=8, scale=scale)
    module, card = network(scale), card_of(windows, temperature=2.0)
    shares = []
    found = predict_windows(module, card, windows, CPU, shares.append)
    cutter = Cutter(windows, card.bands, Cutting(8, 4), CPU.torch)
    batch = cutter.on_device(cutter.at([(i, 0, 0) for i in range(5)]))
    with torch.no_grad():
        expected = torch.softmax(module(*batch.inputs) / 2.0, 1).numpy()
    assert found.shape == (5, 3, 8 * scale, 8 * scale)
    assert found == pytest.approx(expected, abs=1e-5)
    assert shares[0] == 0
    assert shares == sorted(shares)
    half = predict_windows(module, card, windows, CPU, dtype=np.float16)
    assert half.dtype == np.float16
    assert half == pytest.approx(found, abs=1e-3)


def test_larger_windows_are_blended_as_in_maps():
    windows = field_windows(n=2, size=18, scale=2)
    module, card = network(2), card_of(windows)
    found = predict_windows(module, card, windows, CPU)
    assert found.sum(axis=1) == pytest.approx(np.ones((2, 36, 36)), abs=1e-4)
    ones = np.ones((6, 2), np.float32)
    for i in range(2):
        mapped = SegmentPredictor(module, card, CPU).predict_cube(
            windows.values[i], windows.valid[i], ones, 0 * ones, windows.positions[i]
        )
        assert found[i] == pytest.approx(mapped, abs=1e-4)


def test_bands_in_another_order():
    windows = field_windows(n=1, size=8)
    module, card = network(), card_of(windows)
    swapped = dataclasses.replace(
        windows, bands=windows.bands[::-1], values=windows.values[:, :, ::-1].copy()
    )
    assert np.array_equal(
        predict_windows(module, card, windows, CPU), predict_windows(module, card, swapped, CPU)
    )


def test_progress_may_cancel_and_full_cards_get_less():
    windows = field_windows(n=4, size=8)

    def stop(share):
        if share > 0:
            raise Cancelled

    with pytest.raises(Cancelled):
        predict_windows(network(), card_of(windows), windows, CPU, stop)

    class Greedy(TinySegmenter):
        def embed(self, images, *rest):
            if len(images) > 1:
                raise torch.OutOfMemoryError("full")
            return super().embed(images, *rest)

    torch.manual_seed(0)
    greedy = Greedy().eval()
    found = predict_windows(greedy, card_of(windows), windows, CPU)
    assert found == pytest.approx(predict_windows(network(), card_of(windows), windows, CPU), abs=1e-6)


def test_similarity_maps_are_low_at_borders():
    windows = field_windows(n=2, size=16, clear=1.0)
    cutter = Cutter(windows, normalisation(windows), Cutting(8, 6), CPU.torch)

    def compare(batch):
        """1 where the first band of a neighbour is alike, else 0."""
        values = batch.images[:, 3, 0]
        padded = torch.nn.functional.pad(values, (1, 1, 1, 1), value=9.0)
        cells = padded.unfold(1, 3, 1).unfold(2, 3, 1)
        return ((cells - values[..., None, None]).abs() < 0.3).float()

    maps = similarity_maps(compare, [], cutter, CPU)
    assert maps.shape == (2, 16, 16)
    inside = np.zeros((16, 16), bool)
    inside[1:5, 1:5] = inside[7:11, 7:11] = True
    assert maps[:, inside].mean() > 0.95
    assert maps[:, ~inside].mean() < maps[:, inside].mean() - 0.05
    assert similarity_maps(compare, [], cutter, CPU, index=[1])[0] == pytest.approx(maps[1])


def test_only_wanted_windows():
    windows = field_windows(n=4, size=8)
    cutter = Cutter(windows, normalisation(windows), Cutting(8, 4), CPU.torch)
    module = network()
    apply = Apply(lambda batch: module(*batch.inputs), [module], cutter, CPU)
    assert [i for i, _ in apply.windows(3, index=[0, 3])] == [0, 3]


def test_pictures():
    windows = field_windows(n=6, bands=3)
    windows.valid[2, 4] = True
    windows.valid[2, 0] = False
    picture, words = picture_of(windows, 2)
    assert picture.shape == (16, 16, 3)
    assert picture.max() == 255
    day = windows.positions[2, 4]
    assert words == f"day {day} after 1 January, B04, B03, B02"
    date = datetime.date(2019, 1, 1) + datetime.timedelta(days=int(day))
    windows.region[2] = 1
    assert picture_of(windows, 2, (2018, 2019))[1] == f"{date}, B04, B03, B02"
    windows.valid[2] = False
    assert picture_of(windows, 2)[0].max() == 0
    assert picture_of(dataclasses.replace(windows, bands=("a", "b", "c")), 0)[1].endswith("a, b, c")
    windows.bands = ("B08", "B04", "B03")
    assert picture_of(windows, 0, bands=FALSE_COLOR)[1].endswith("B08, B04, B03")
    # beside brighter windows a window of the same date is dark
    windows.values[1:] += 9
    assert picture_of(windows, 0, others=np.array([0]))[0].max() == 255
    assert picture_of(windows, 0, others=np.arange(6))[0].mean() < picture_of(windows, 0)[0].mean() / 4
    windows.labels[3] = -1
    windows.labels[3, 0, 0] = 0
    chosen = chosen_windows(windows, np.array([0, 1, 3]))
    assert chosen.tolist() == [0, 1, 3]
    many = chosen_windows(windows, np.arange(6))
    assert len(many) == 4
    assert 3 not in many
