"""Shared by the jobs of adaptation: two regions and a model, made once."""

import pytest
from support.two_regions import TwoRegions, write_regions


@pytest.fixture(scope="session")
def two_regions(tmp_path_factory) -> TwoRegions:
    """See `support.two_regions`."""
    return write_regions(tmp_path_factory.mktemp("two regions"))
