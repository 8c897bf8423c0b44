import pytest
from support.tiny_clip import tiny_clip

from sits_engine.device import select
from sits_engine.models.clip import ClipEncoder


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """Folder of a small CLIP model; tests that change it copy it."""
    return tiny_clip(tmp_path_factory.mktemp("clip") / "tiny")


@pytest.fixture
def encoder(model):
    return ClipEncoder.open(model, select("cpu"))


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """Three JPEGs of different colours and sizes."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("photos")
    paths = []
    for name, colour, size in (
        ("a", (20, 160, 30), (90, 60)),
        ("b", (200, 40, 10), (64, 64)),
        ("c", 0, (40, 80)),
    ):
        paths.append(folder / f"{name}.jpg")
        Image.new("RGB", size, colour).save(paths[-1])
    return paths
