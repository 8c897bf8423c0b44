import pytest
from support.photo_index import CLIP


@pytest.fixture
def clip():
    return dict(CLIP)
