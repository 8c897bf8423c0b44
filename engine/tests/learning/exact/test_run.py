"""How polygons are held out, and what masks are compared with."""

import numpy as np
import pytest
import torch
from support.field_windows import field_windows

from sits_engine.context import JobContext
from sits_engine.device import Device
from sits_engine.learning.exact import refine, run
from sits_engine.learning.exact.options import ExactOptions
from sits_engine.learning.exact.refine import RefineSettings
from sits_engine.learning.exact.run import _split, make_masks
from sits_engine.learning.exact.truth import PixelTruth
from sits_engine.samples.bags import Bags


def bags(present, size=8):
    """Windows with these ticks, each a polygon."""
    windows = field_windows(n=len(present), size=size, classes=present.shape[1])
    return Bags(
        windows,
        tuple("abcdef"[: present.shape[1]]),
        present,
        np.arange(len(present), dtype=np.int32),
        np.ones((len(present), size, size), dtype=bool),
        np.arange(len(present)).astype(str),
    )


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Sharpening of few steps."""
    monkeypatch.setattr(run, "RefineSettings", lambda: RefineSettings(rounds=1, n_days=4, hidden=8))
    monkeypatch.setattr(refine, "STEPS", (5, 5))


def test_two_polygons_with_and_two_without_each_class_are_trained_on() -> None:
    present = np.zeros((24, 4), dtype=bool)
    present[:, 0] = True
    present[:2, 0] = False  # two without it: neither may be held out
    present[2:4, 1] = True  # two with it
    present[4:9, 2] = True
    present[:, 3] = True  # nothing lacks it
    for seed in range(20):
        train, held = _split(bags(present), ExactOptions(held_out=0.5, seed=seed))
        assert len(held) == 12
        assert not set(held.tolist()) & {0, 1, 2, 3}
        assert present[train, 2].sum() >= 2
        assert sorted([*train, *held]) == list(range(24))


def made(**options):
    present = np.random.default_rng(0).random((21, 2)) < 0.5
    present[0], present[1] = [True, False], [False, True]
    data = bags(present)
    truth = PixelTruth("truth", data.windows.labels, background=False)
    chosen = ExactOptions(
        epochs=1, n_dates=4, width="small", network={"dim": 8, "heads": 1}, held_out=0.2, **options
    )
    return make_masks(data, chosen, Device(torch.device("cpu"), "CPU"), JobContext(), truth=truth)


@pytest.mark.parametrize(
    ("options", "unsharpened", "plain"),
    [
        ({"maps": "clues", "refine": True}, True, True),
        ({"maps": "clues", "refine": False}, False, True),
        ({"maps": "plain", "affinity": False, "refine": False}, False, False),
        ({"maps": "plain", "affinity": True, "refine": False}, False, True),
    ],
)
def test_masks_are_compared_with_what_differs_from_them(options, unsharpened, plain) -> None:
    report = made(**options).report
    truth = report.truth
    assert (truth.unsharpened is not None, truth.plain is not None) == (unsharpened, plain)
    before = truth.unsharpened or truth.scores
    assert report.scores["unsharpened_miou"] == before["miou"]
    assert report.scores["plain_miou"] == (truth.plain or before)["miou"]
    for row in report.classes[:-1]:
        assert (row.unsharpened_iou is not None, row.plain_iou is not None) == (unsharpened, plain)
        assert row.held is not None
        assert (row.average_precision is None) == (row.held in (0, report.n_held))


def test_not_sharpened_are_the_masks_of_the_same_run_without_sharpening() -> None:
    sharp, blunt = (made(refine=refine).report for refine in (True, False))
    assert sharp.truth.unsharpened == blunt.truth.scores
    assert sharp.truth.plain == blunt.truth.plain
    assert sharp.scores["unsharpened_miou"] == blunt.scores["miou"]
