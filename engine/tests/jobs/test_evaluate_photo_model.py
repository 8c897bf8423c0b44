"""Scores of a photo model whose right answers are known: photos are chosen to suit the images."""

import csv
import json

import geopandas as gpd
import h5py
import numpy as np
import pytest
import rasterio
from PIL import Image
from shapely.geometry import Point
from support.word_maps import World, write_photo_model, write_world

from sits_engine.context import JobContext
from sits_engine.errors import InputError
from sits_engine.jobs.evaluate_photo_model import EvaluatePhotoModel

CLASSES = ("maize", "wheat", "forêt")


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> World:
    return write_world(tmp_path_factory.mktemp("world"), height=40, width=50)


@pytest.fixture(scope="module")
def photos(world, tmp_path_factory):
    """Twelve places with two photos each and a class; one place has no class."""
    folder = tmp_path_factory.mktemp("photos")
    with rasterio.open(next(iter(sorted(world.series.parent.rglob("*.tif"))))) as data:
        x, y, crs = data.transform.c, data.transform.f, data.crs
    rng = np.random.default_rng(0)
    rows, points = [], []
    for i in range(24):
        path = folder / f"{i}.jpg"
        Image.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(path)
        place = i // 2
        rows.append({"photo": str(path), "place": f"p{place}", "crop": CLASSES[place % 3] if place else None})
        points.append(Point(x + 25 + 30 * place, y - 25 - 20 * place))
    layer = folder / "photos.gpkg"
    gpd.GeoDataFrame(rows, geometry=points, crs=crs).to_file(layer)
    return layer


def run(world, out, **params):
    given = {
        "model": str(world.model),
        "report": str(out / "report.html"),
        "table": str(out / "scores.csv"),
        "device": "cpu",
        **params,
    }
    return EvaluatePhotoModel.parse(given).run(JobContext())


def rows_of(out, **wanted):
    with (out / "scores.csv").open(encoding="utf-8") as file:
        return [
            row
            for row in csv.DictReader(file)
            if all(row[key] == str(value) for key, value in wanted.items())
        ]


def test_all_scores_of_a_field_with_chance_beside(world, photos, tmp_path):
    table = tmp_path / "prompts.csv"
    table.write_text(
        "class,prompt\nmaize,a tall green field\nwheat,a golden field\nforêt,many trees\n", "utf-8"
    )
    result = run(
        world,
        tmp_path,
        series=str(world.series),
        photos=str(photos),
        place_field="place",
        label_field="crop",
        class_table=str(table),
    )
    found = rows_of(tmp_path, measure="accuracy")
    assert {(r["steps"], r["prompts"], r["scoring"]) for r in found} == {
        (s, p, c)
        for s in ("12", "4", "1")
        for p in ("name", "template", "descriptive")
        for c in ("raw", "normalised")
    }
    assert {r["n"] for r in found} == {"11"}  # the place without a class doesn't count
    assert {r["chance"] for r in found} == {"0.333333"}
    recall = rows_of(tmp_path, measure="recall")
    assert {(r["task"], r["direction"], r["k"]) for r in recall} == {
        (t, d, k) for t in ("crop", "place") for d in ("to_photos", "to_images") for k in ("1", "5", "10")
    }
    assert {r["n"] for r in recall if r["task"] == "place"} == {"12"}
    numbers = json.loads((tmp_path / "report_numbers.json").read_text(encoding="utf-8"))
    assert numbers["classes"]["crop"] == {"forêt": 4, "maize": 3, "wheat": 4}
    assert np.sum(numbers["confusion"]["crop"]["12 name"]) == 11
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for text in ("Recall: own place", "Normalised scores", "own place stays among the answers", "forêt"):
        assert text in page
    assert result.scores["n_places"] == 12


def test_photos_of_another_year_and_missing_months_are_told(world, photos, tmp_path):
    frame = gpd.read_file(photos)
    frame.assign(date=["2018-07-01"] * 4 + ["2023-07-01"] * 20).to_file(tmp_path / "p.gpkg")
    result = run(
        world,
        tmp_path,
        series=str(world.series),
        photos=str(tmp_path / "p.gpkg"),
        place_field="place",
        label_field="crop",
    )
    assert any(
        "4 of 24 photos" in text and "(photos: 2018; images: 2023)" in text for text in result.warnings
    )
    assert "The series has no image in December; the encoder goes without." in result.warnings


def test_scores_are_those_of_the_vectors(world, photos, tmp_path):
    """Accuracy and recall of the table, computed once more from the parts."""
    from sits_engine.device import select
    from sits_engine.models.clip import ClipEncoder
    from sits_engine.models.photo_inference import EmbeddingPredictor
    from sits_engine.samples.composites import cut_composites
    from sits_engine.samples.photos import PhotoReading, read_photos
    from sits_engine.series.time_series import TimeSeries

    run(
        world, tmp_path, series=str(world.series), photos=str(photos), place_field="place", label_field="crop"
    )
    places = read_photos(str(photos), PhotoReading(place_field="place", label_fields=("crop",)))
    device = select("cpu")
    clip = ClipEncoder.open(world.clip, device)
    for steps in (12, 1):
        predictor = EmbeddingPredictor.open(world.model, device, steps=steps)
        cut = cut_composites(TimeSeries.open(world.series), places.xy, predictor.card.band_names)
        seen = predictor.embed(cut)
        names = sorted(CLASSES)
        said = np.array(names)[(seen @ clip.texts(names).T).argmax(axis=1)]
        true = places.labels["crop"]
        (row,) = rows_of(tmp_path, measure="accuracy", steps=steps, prompts="name", scoring="raw")
        assert float(row["value"]) == pytest.approx((said == true)[true != ""].mean(), abs=1e-6)
        vectors = clip.images(places.paths).vectors
        means = np.stack([vectors[places.place == i].sum(axis=0) for i in range(12)])
        means /= np.linalg.norm(means, axis=1, keepdims=True)
        first = (seen @ means.T).argmax(axis=1)
        (row,) = rows_of(tmp_path, measure="recall", task="place", direction="to_photos", k=1, steps=steps)
        assert float(row["value"]) == pytest.approx((first == np.arange(12)).mean(), abs=1e-6)


@pytest.fixture(scope="module")
def sen4map(tmp_path_factory):
    path = tmp_path_factory.mktemp("s") / "test.h5"
    rng = np.random.default_rng(2)
    with h5py.File(path, "w") as file:
        for i in range(12):
            group = file.create_group(f"Lucas_Point_{30000000 + i}")
            group.create_dataset("image", data=rng.integers(300, 5000, (12, 10, 3, 3)).astype(np.float32))
            group.attrs["lc1"] = ["B11", "B16", "C10"][i % 3]
            group.attrs["lu1"] = ["U111", "U120"][i % 2]
    return path


def test_sen4map_without_photos_scores_words_only(world, sen4map, tmp_path):
    result = run(world, tmp_path, sen4map=str(sen4map), tasks="crops,land_use,land_cover")
    assert {r["task"] for r in rows_of(tmp_path)} == {"crops", "land_use", "land_cover"}
    assert rows_of(tmp_path, measure="recall") == []
    assert {r["n"] for r in rows_of(tmp_path, task="crops")} == {"8"}  # woodland is no crop
    assert {r["n"] for r in rows_of(tmp_path, task="land_use")} == {"12"}
    assert {r["prompts"] for r in rows_of(tmp_path, task="crops")} == {"name", "template", "descriptive"}
    assert "place_recall_1_to_photos" not in result.scores


def test_sen4map_with_photos_of_a_lucas_table(world, sen4map, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    lines = ["point_id,year,th_lat,th_long,survey_date,lc1"]
    rng = np.random.default_rng(0)
    for i in range(6):
        lines.append(f"{30000000 + i},2018,{50 + i / 100},4.5,2018-06-0{i + 1},B11")
        for letter in "NS":
            picture = Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8))
            picture.save(folder / f"{30000000 + i}{letter}.jpg")
    table = tmp_path / "lucas_2018.csv"
    table.write_text("\n".join(lines) + "\n")
    result = run(
        world, tmp_path, sen4map=str(sen4map), photos=str(table), photo_folder=str(folder), tasks="crops"
    )
    assert {r["n"] for r in rows_of(tmp_path, measure="recall", task="place")} == {"6"}
    assert {r["n"] for r in rows_of(tmp_path, measure="recall", task="crops")} == {"4"}
    assert {r["n"] for r in rows_of(tmp_path, measure="accuracy")} == {"8"}
    assert result.scores["n_places"] == 12


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "twice or not at all"),
        ({"series": "S", "sen4map": "H"}, "twice or not at all"),
        ({"series": "S"}, "PHOTOS is missing"),
        ({"series": "S", "photos": "P"}, "needs LABEL_FIELD"),
        ({"series": "S", "photos": "P", "tasks": "crop"}, "TASKS"),
        ({"series": "S", "photos": "P", "tasks": "crops,crops"}, "stands twice"),
        ({"series": "S", "photos": "P", "tasks": "land_use"}, "no labels of land use"),
        ({"series": "S", "photos": "P", "label_field": "soil"}, "soil"),
    ],
)
def test_what_can_not_be_scored_is_said(world, photos, sen4map, tmp_path, params, message):
    files = {"S": str(world.series), "H": str(sen4map), "P": str(photos)}
    params = {key: files.get(value, value) for key, value in params.items()}
    with pytest.raises(InputError, match=message):
        run(world, tmp_path, **params)


def test_a_table_that_lacks_a_class_is_named(world, photos, tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("class,prompt\nmaize,tall\nwheat,golden\n")
    with pytest.raises(InputError, match=r"t\.csv has no prompts for 1 of 3 classes: forêt"):
        run(
            world,
            tmp_path,
            series=str(world.series),
            photos=str(photos),
            label_field="crop",
            class_table=str(table),
        )


def test_model_of_a_larger_context(world, sen4map, tmp_path):
    model = write_photo_model(tmp_path / "m.safetensors", world.clip, 3)
    result = run(world, tmp_path, sen4map=str(sen4map), tasks="land_cover", model=str(model))
    assert result.scores["n_places"] == 12


def test_places_that_training_saw_are_counted(world, photos, tmp_path):
    from sits_engine.models.model_file import load_model, save_model
    from sits_engine.samples.known_places import KEY, remembered

    where = gpd.read_file(photos).to_crs(4326).geometry
    seen = np.column_stack([where.x, where.y])[:10]  # two photos a place
    module, card = load_model(world.model)
    given = {
        "series": str(world.series),
        "photos": str(photos),
        "place_field": "place",
        "label_field": "crop",
        "clip": str(world.clip),
    }
    page = tmp_path / "report.html"
    for places, text in (
        (seen, "of the places lie within about 100 m"),
        (seen + 0.1, "None of the places lie within"),
    ):
        card.provenance[KEY] = remembered(places)
        save_model(tmp_path / "m.safetensors", module, card)
        result = run(world, tmp_path, model=str(tmp_path / "m.safetensors"), **given)
        assert text in page.read_text(encoding="utf-8")
        warned = [w for w in result.warnings if "of 12 places lie within about 100 m" in w]
        assert len(warned) == (places is seen)
        assert not warned or 5 <= int(warned[0].split()[0]) < 12
    run(world, tmp_path, **given)
    assert "file doesn't say which places" in page.read_text(encoding="utf-8").replace("&#39;", "'").replace(
        "&#x27;", "'"
    )
