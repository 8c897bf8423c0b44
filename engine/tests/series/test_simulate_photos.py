import csv
import datetime
import hashlib
from pathlib import Path

import geopandas
import numpy as np
import pytest
from PIL import Image

from sits_engine.context import JobContext
from sits_engine.errors import Cancelled
from sits_engine.samples.photos import PhotoReading, read_photos
from sits_engine.series.simulate import photos_look, simulate_pair
from sits_engine.series.simulate.crops import CROP_NAMES
from sits_engine.series.simulate.landscape import WATER_BODY
from sits_engine.series.simulate.photos import write_photos
from sits_engine.series.simulate.photos_places import choose_places, place_class, places_elsewhere
from sits_engine.series.simulate.photos_words import NAMES, PHOTO_CLASSES, TEST, TRAIN, TRAIN_OTHER
from sits_engine.series.simulate.region import make_region
from sits_engine.series.simulate.settings import DIFFICULTIES, REGION_A

DEGREES = {"N": "0", "E": "90", "S": "180", "W": "270"}


def nothing(*_):
    pass


@pytest.fixture(scope="module")
def region():
    return make_region(REGION_A, DIFFICULTIES["standard"], seed=3, size=256, dates=3, shift_days=0)


@pytest.fixture(scope="module")
def drawn(region, tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos é")
    return folder, write_photos(region, folder, 16, nothing, nothing)


def test_four_photos_a_place_with_position_date_and_direction(region, drawn):
    folder, photos = drawn
    found = read_photos(str(folder / "photos"), PhotoReading())
    assert len(found) == len(photos) // 4 == 16
    assert sorted(np.bincount(found.place)) == [4] * 16
    by_file = {Path(item.file).name: item for item in photos}
    for path, taken, direction in zip(found.paths, found.taken, found.directions, strict=True):
        item = by_file[path.name]
        assert taken == item.place.date
        assert direction in (item.direction, DEGREES[item.direction])
    layer = geopandas.read_file(folder / "photos.gpkg").to_crs(4326)
    points = {row.photo.split("/")[-1]: (row.geometry.x, row.geometry.y) for row in layer.itertuples()}
    for path, place in zip(found.paths, found.place, strict=True):
        assert points[path.name] == pytest.approx(found.xy[place], abs=1e-7)


def test_the_layer_is_read_with_its_relative_paths(drawn):
    folder, _ = drawn
    found = read_photos(str(folder / "photos.gpkg"), PhotoReading(place_field="place"))
    assert len(found) == 16
    assert set(found.labels["class"]) <= set(PHOTO_CLASSES)
    train = read_photos(str(folder / "photos_train.gpkg"), PhotoReading(place_field="place"))
    test = read_photos(str(folder / "photos_test.gpkg"), PhotoReading(place_field="place"))
    assert set(train.ids) | set(test.ids) == set(found.ids)
    assert not set(train.ids) & set(test.ids)


def test_splits_are_whole_blocks_and_places_lie_in_their_fields(region):
    places = choose_places(region, 120)
    cells = {}
    for place in places:
        cells.setdefault((place.x // 640, place.y // 640), set()).add(place.split)
    assert all(len(splits) == 1 for splits in cells.values())
    assert {split for splits in cells.values() for split in splits} == {"train", "test"}
    x, y = region.setting.origin
    for place in places:
        assert region.rows[int((y - place.y) / 5), int((place.x - x) / 5)] == place.row


def test_most_visits_are_while_the_crop_stands(region):
    fields = region.fields
    crops = [place for place in choose_places(region, 120) if place.row < len(fields)]
    standing = [fields.start[p.row] - 9 <= p.day <= fields.harvest[p.row] for p in crops]
    assert np.mean(standing) > 0.8


def test_the_same_seed_draws_the_same_photos(region, drawn, tmp_path):
    folder, _ = drawn
    write_photos(region, tmp_path, 16, nothing, nothing)

    def digests(root):
        return {
            path.relative_to(root): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in root.rglob("*")
            if path.is_file()
        }

    assert digests(folder) == digests(tmp_path)


def test_photos_show_a_scene(drawn):
    folder, photos = drawn
    for item in photos:
        with Image.open(folder / item.file) as picture:
            assert picture.size == (160, 120)
            assert np.asarray(picture).std() > 12, item.file


def test_captions_say_what_is_there_and_tests_are_worded_otherwise(drawn):
    folder, _ = drawn
    with (folder / "captions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        assert any(name in row["caption"] for name in NAMES[row["class"]])
        assert (folder / row["photo"]).exists()
    train = {row["caption"] for row in rows if row["split"] == "train"}
    test = {row["caption"] for row in rows if row["split"] == "test"}
    assert train
    assert test
    assert not train & test
    assert not {*TRAIN, *TRAIN_OTHER} & set(TEST)
    # what people ask a CLIP model first is new to a model of these captions
    usual = {
        form.format(name) for names in NAMES.values() for name in names for form in ("{}", "a photo of {}")
    }
    assert not usual & train


def test_crops_look_as_the_season_has_it(region):
    fields, count = region.fields, len(region.fields)

    def at(day):
        return photos_look.looks(fields, day, soil=0.4, wet=0.3)

    maize = fields.crop == CROP_NAMES.index("maize")
    assert np.median(at(230).height[:count][maize]) > 2
    assert np.median(at(120).height[:count][maize]) < 0.4
    rape = fields.crop == CROP_NAMES.index("winter rapeseed")
    flowering = at(119).stage[:count][rape] == photos_look.FLOWERING
    assert flowering.mean() > 0.8
    after = at(240).stage[:count][rape]
    assert set(after.tolist()) <= {photos_look.STUBBLE, photos_look.COVER}
    # deciduous trees change their colour in October
    assert np.abs(at(180).plants[-4] - at(300).plants[-4]).max() > 0.2


def test_a_demo_without_photos_has_none_and_cancelling_leaves_nothing(tmp_path):
    options = {"size": 96, "dates": 3, "shift_days": 20.0, "difficulty": "easy", "seed": 1}
    paths = simulate_pair(tmp_path / "plain", ctx=JobContext(), **options)
    assert not paths.photos_a.exists()

    class Impatient(JobContext):
        def progress(self, fraction, phase=None):
            if phase and "photos" in phase:
                self.cancel()
            super().progress(fraction, phase)

    with pytest.raises(Cancelled):
        simulate_pair(tmp_path / "stopped", ctx=Impatient(), photo_places=8, **options)
    assert not any((tmp_path / "stopped").iterdir())


def test_captions_know_surfaces_that_the_region_lacks(drawn):
    folder, photos = drawn
    with (folder / "captions.csv").open(encoding="utf-8") as file:
        classes = {row["class"]: row["photo"] for row in csv.DictReader(file)}
    here = {item.kind for item in photos}
    lacking = {"forest", "built-up area", "water"} - here
    # shares of 16 places: one of forest and of built-up land, if the land has any
    assert lacking - {"water"} <= set(classes)
    assert all(classes[kind].startswith("photos_elsewhere/") for kind in lacking & set(classes))


def test_water_is_found_elsewhere(region):
    strange, places = places_elsewhere(region, [WATER_BODY], 100)
    assert strange.seed != region.seed
    assert [place_class(strange, place.row) for place in places] == ["water"] * 4


def test_every_class_has_places(region):
    kinds = {place_class(region, place.row) for place in choose_places(region, 200)}
    assert set(CROP_NAMES) <= kinds
    assert {"forest", "built-up area"} & kinds
    assert all(isinstance(place.date, datetime.date) for place in choose_places(region, 20))
