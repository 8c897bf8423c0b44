"""Shared by jobs: a series with a model, and for adaptation two regions; made once, and never changed."""

import pytest
from support.maps import write_model, write_series
from support.two_regions import TwoRegions, write_regions


@pytest.fixture(scope="session")
def two_regions(tmp_path_factory) -> TwoRegions:
    """See `support.two_regions`."""
    return write_regions(tmp_path_factory.mktemp("two regions"))


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """A series (70 x 90 pixels, a corner clouded for good) and a model, in a folder with an accent."""
    folder = tmp_path_factory.mktemp("été 1")
    dark = (slice(60, 70), slice(0, 20))
    return write_series(folder, dark=dark), write_model(folder / "modèle.safetensors")
