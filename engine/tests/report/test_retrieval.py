"""The contact sheet: what it shows, and that it stays small."""

import datetime
import json

import numpy as np
import pytest
from PIL import Image
from support.photo_index import photo_table, unit

from sits_engine.report import retrieval as module
from sits_engine.report.retrieval import SheetData, thumbnail, write_contact_sheet
from sits_engine.retrieval.answers import answer
from sits_engine.retrieval.index import PhotoIndex
from sits_engine.retrieval.queries import Queries


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """Twelve photos; the first is gone, the second is no image."""
    folder = tmp_path_factory.mktemp("photos")
    table = photo_table(12, days=[datetime.date(2018, 6, 1 + i) for i in range(12)])
    rng = np.random.default_rng(0)
    for i in range(12):
        path = folder / f"<Foto> & {i}.jpg"
        if i == 1:
            path.write_text("no photo")
        elif i:
            Image.fromarray(rng.integers(0, 255, (300, 400, 3), dtype=np.uint8)).save(path)
        table.paths[i] = str(path)
    table.directions[:4] = ["P", "C", "120", ""]
    return PhotoIndex.build(unit(rng, 12, 8), table, {"name": "tiny", "fingerprint": "0"})


def sheet(index, n, k) -> SheetData:
    rng = np.random.default_rng(n)
    ids = np.array([f"Ort <{i}>" for i in range(n)], dtype=object)
    xy = np.column_stack([rng.uniform(-4, 4, n), rng.uniform(-50, 51, n)])
    asked = Queries(unit(rng, n, 8), ids, xy, np.ones(n, np.int64))
    return SheetData(
        "Ähnliche Fotos", "m.safetensors", "tiny", "series", asked, answer(index, asked, k), len(index)
    )


def written(path, data):
    write_contact_sheet(path, data)
    return path.read_text(encoding="utf-8")


def test_pictures_captions_and_empty_frames(index, tmp_path):
    page = written(tmp_path / "s.html", sheet(index, 1, 12))
    assert page.count("data:image/jpeg;base64,") == 10
    assert page.count(module.MISSING) == 2
    for text in (
        "Query Ort &lt;0&gt;",
        "&lt;Foto&gt; &amp; 3.jpg",
        "of the point",
        "of the cover",
        "looking 120°",
    ):
        assert text in page
    assert "<Foto>" not in page
    numbers = json.loads((tmp_path / "s_numbers.json").read_text(encoding="utf-8"))
    assert [one["rank"] for one in numbers["queries"][0]["photos"]] == list(range(1, 13))


def test_many_queries_stay_small_and_say_what_is_left_out(index, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MOST_PICTURES", 60)
    monkeypatch.setattr(module, "MOST_QUERIES", 20)
    page = written(tmp_path / "s.html", sheet(index, 30, 9))
    assert page.count('<ul class="photos"') == 20
    assert page.count("data:image") + page.count(module.MISSING) == 60
    assert "the first 20 of 30 places and the first 3 of 9 photos of each" in page
    assert len(json.loads((tmp_path / "s_numbers.json").read_text(encoding="utf-8"))["queries"]) == 30


def test_pictures_shrink_with_their_number(index):
    one, many = (module.sheet_page(sheet(index, n, 10)) for n in (1, 40))
    widths = [page.sections[0].items[0].width for page in (one, many)]
    assert widths == [420, 200]


def test_a_thumbnail_is_small_upright_and_without_position(tmp_path):
    image = Image.new("RGB", (1200, 800), (10, 200, 30))
    exif = image.getexif()
    exif[0x0112] = 6  # turned
    exif[0x8825] = {1: "N", 2: (50.0, 30.0, 0.0)}
    image.save(tmp_path / "a.jpg", exif=exif)
    source = thumbnail(tmp_path / "a.jpg", 120)
    import base64
    import io

    with Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))) as small:
        assert small.size == (80, 120)
        assert not small.getexif()
    assert thumbnail(tmp_path / "none.jpg", 120) == ""
