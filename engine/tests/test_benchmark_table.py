"""The benchmarks' own arithmetic: operations, shares of the roofline, costs, verdicts."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
pytestmark = pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="benchmarks/ is not part of this tree")


@pytest.fixture(scope="module")
def bench():
    """A function that imports a benchmark by name; what it put into sys.path and sys.modules goes again."""
    before, path = set(sys.modules), list(sys.path)
    sys.path.insert(0, str(BENCHMARKS))
    yield importlib.import_module
    sys.path[:] = path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(BENCHMARKS)):
            del sys.modules[name]


@pytest.mark.parametrize("width", ["standard", "fast"])
def test_operations_from_hyperparameters_are_those_that_run(bench, width):
    roofline, network = bench("roofline"), bench("network")
    from sits_engine.models import folded as form

    _, module, card = network.networks(width)
    numbers, dates, n = card.hyperparameters, 6, 5
    multiplied = form.fold(module.eval(), torch.zeros(network.BANDS), torch.ones(network.BANDS))
    days = form.calendar(multiplied, torch.arange(dates) * 10.0)

    def run():
        x = form.sequence_of_pixels(multiplied, torch.rand(dates * n, network.BANDS))
        form.logits(multiplied, x.view(dates, n, -1), days, None)

    # Weights of the heads are brought to the channels by a product, which the C++ form does without.
    wide = 2 * numbers["d_model"] * (numbers["n_head"] - 1) * dates
    assert roofline.counted(run) / n == roofline.pseltae_operations(numbers, dates) + wide


def test_published_figure_of_operations(bench):
    numbers = bench("network").networks("standard")[2].hyperparameters
    # shared/design/performance.md: 2.39 million a pixel on 24 dates
    assert bench("roofline").pseltae_operations(numbers, 24) == pytest.approx(2.39e6, rel=0.01)


def test_products_with_the_border_of_zeros_are_not_counted(bench):
    convolution = nn.Conv2d(2, 3, 3, padding=1)
    counted = bench("roofline").counted(lambda: convolution(torch.rand(1, 2, 4, 5)))
    assert counted == 2 * 2 * 3 * (3 * 4 - 2) * (3 * 5 - 2)
    back = nn.ConvTranspose2d(2, 3, 2, stride=2)
    counted = bench("roofline").counted(lambda: back(torch.rand(1, 2, 4, 5)))
    assert counted == 2 * 2 * 3 * (4 * 2) * (5 * 2)


def test_the_roofline_is_the_lower_of_arithmetic_and_bytes(bench):
    ceiling = bench("roofline").Ceiling(product=100.0, processor=50.0, layers=90.0, copy=10.0)
    assert ceiling.share(rate=2, operations=20, moved=1) == pytest.approx(0.4)
    assert ceiling.share(rate=2, operations=20, moved=4) == pytest.approx(0.8)


def test_a_line_is_met_where_ratio_and_share_are(bench):
    rows = bench("table_rows")
    line = ["work", "pixels", "baseline", 1.0, 2.0, 2.0]
    assert rows.Row(*line).met is None
    assert rows.Row(*line, goal=2.0).met
    assert not rows.Row(*line, goal=2.0, share=0.5, share_goal=0.6).met
    assert not rows.Row(*line, goal=2.1, share=0.7, share_goal=0.6).met
    table = "\n".join(bench("table").markdown([rows.Row(*line, goal=2.1, share=0.7, share_goal=0.6)]))
    assert "| 2.00 | 2.1 | 70 % | 60 % | **no** |" in table
    assert "[1] baseline" in table


def test_a_large_image_repeats_the_region_mirrored(bench):
    images = bench("images")
    assert images.mirrored(7, 3).tolist() == [0, 1, 2, 2, 1, 0, 0]
    values = images.eight_classes(np.array([[1, 2, 15, 11], [1, 2, 3, 3]], np.uint8))
    assert values.max() == 8
    assert len(np.unique(values[0])) == 3
    assert values[0, 2] == values[0, 3] == 8  # what is no crop


def test_time_out_of_proportion_and_growing_memory_are_named(bench):
    area = bench("area")
    first = {"side": 512, "seconds": 3.0, "processor": 5.0, "mib": 700.0}
    assert area.wrong([first, {"side": 1024, "seconds": 12.0, "processor": 21.0, "mib": 720.0}]) == []
    sentences = area.wrong([first, {"side": 1024, "seconds": 12.0, "processor": 25.0, "mib": 1030.0}])
    assert "+25 % processor time" in sentences[0]
    assert "1,030 MiB" in sentences[1]


def test_cost_of_a_country_grows_with_pixels_and_dates(bench):
    country = bench("country")
    small, large = (country.costs(n, {"fast": 3600.0}) for n in (24e6, 48e6))
    # 24 million pixels on 36 dates are as many as 36 million on 24: two cores do 3600 a second.
    assert small.core_hours["fast"] == pytest.approx(36e6 / 3600 * 2 / 3600)
    assert large.core_hours["fast"] == pytest.approx(2 * small.core_hours["fast"])
    assert small.terabytes == pytest.approx(24e6 * 36 * 11 * 1.44 / 1e12)
    page = "\n".join(country.markdown({"standard": 1e5, "fast": 2e5}, "here", 1.0, 10))
    assert page.count("core hours,") == 2
    assert page.endswith("Rates: here")
