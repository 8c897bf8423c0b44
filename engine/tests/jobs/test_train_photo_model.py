"""From photos and images to a satellite encoder in a model file."""

from __future__ import annotations

import json

import numpy as np
import pytest
from support.photo_region import write_photo_region

from sits_engine.context import JobContext
from sits_engine.device import select
from sits_engine.errors import Cancelled, EngineError, InputError
from sits_engine.jobs import job_class
from sits_engine.jobs.describe_model import DescribeModel
from sits_engine.models.clip import ClipEncoder
from sits_engine.models.photo_inference import EmbeddingPredictor
from sits_engine.samples.composites import cut_composites
from sits_engine.series.time_series import TimeSeries

CPU = select("cpu")


@pytest.fixture(scope="module")
def region(tmp_path_factory):
    return write_photo_region(tmp_path_factory.mktemp("Fotos"))


def train(region, folder, ctx=None, **changes):
    given = {
        "series": str(region.series),
        "photos": str(region.photos),
        "place_field": "field",
        "clip": str(region.clip),
        "output": str(folder / "modell"),
        "epochs": 3,
        "split": "places",
        "device": "cpu",
        **changes,
    }
    given = {key: value for key, value in given.items() if value is not None}
    return job_class("train-photo-model").parse(given).run(ctx or JobContext())


@pytest.fixture(scope="module")
def made(region, tmp_path_factory):
    folder = tmp_path_factory.mktemp("modelle")
    return folder, train(region, folder, epochs=15, batch_size=8, report=str(folder / "bericht.html"))


def test_model_report_and_numbers(region, made) -> None:
    folder, result = made
    run = EmbeddingPredictor.open(folder / "modell.safetensors", CPU)
    assert run.card.band_names == ["B04", "B08"]
    assert run.card.provenance["clip"] == {
        "name": "clip",
        "fingerprint": ClipEncoder.open(region.clip, CPU).fingerprint,
        "dim": 16,
        "path": str(region.clip.resolve()),
    }
    assert run.card.season_year == 2019
    assert run.card.positions == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    assert result.scores["n_places"] == 100
    assert result.scores["n_photos"] == 200
    page = (folder / "bericht.html").read_text("utf-8")
    assert "100 places, 200 photos, clip, 2 bands, single pixels" in page
    assert "src=" not in page.split("</style>")[1]
    numbers = json.loads((folder / "bericht_numbers.json").read_text("utf-8"))
    assert numbers["places"] == {"training": 65, "validation": 15, "test": 20}
    assert numbers["photos_per_place"] == {"2": 100}
    assert numbers["months_clear"][0] == numbers["months_clear"][11] == 0
    assert numbers["months_clear"][3] > 0.9
    assert set(numbers["retrieval"]) == {"12", "4", "1"}
    assert numbers["scores"]["recall_10"] == pytest.approx(result.scores["recall_10"], abs=1e-6)
    assert any("no image in January" in text for text in result.warnings)
    assert numbers["warnings"] == result.warnings


def test_fields_are_nearer_to_photos_of_their_crop(region, made) -> None:
    """What the photos show is found again in the images of places."""
    import pandas as pd

    folder, _ = made
    table = pd.read_csv(region.photos)
    encoder = ClipEncoder.open(region.clip, CPU)
    first = table[::2]
    photos = encoder.images([region.photos.parent / name for name in first.file]).vectors
    run = EmbeddingPredictor.open(folder / "modell.safetensors", CPU)
    series = TimeSeries.open(region.series)
    composites = cut_composites(series, first[["lon", "lat"]].to_numpy(), run.card.band_names)
    crops = sorted(set(first.crop))
    typical = np.stack([photos[(first.crop == crop).to_numpy()].mean(0) for crop in crops])
    guessed = (run.embed(composites) @ (typical - typical.mean(0)).T).argmax(1)
    right = (guessed == [crops.index(crop) for crop in first.crop]).mean()
    assert right > 0.7


def test_context_bands_and_a_photo_that_cannot_be_read(region, tmp_path) -> None:
    lines = region.photos.read_text("utf-8").splitlines()
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    broken = lines[1].replace("photos/Feld 0_0.jpg", str(tmp_path / "broken.jpg"))
    table = region.photos.with_name("some.csv")
    table.write_text("\n".join([lines[0], broken, *lines[2:61]]) + "\n", "utf-8")
    result = train(region, tmp_path, photos=str(table), context=3, bands="b8", masking="none")
    run = EmbeddingPredictor.open(tmp_path / "modell.safetensors", CPU)
    assert run.context == 3
    assert run.card.band_names == ["B08"]
    assert result.scores["n_places"] == 30
    assert result.scores["n_photos"] == 59
    assert any("broken.jpg" in warning for warning in result.warnings)
    numbers = json.loads((tmp_path / "modell_numbers.json").read_text("utf-8"))
    assert "1 photo could not be read and was left out." in numbers["notes"]


def test_photos_of_another_year_are_told(region, tmp_path) -> None:
    lines = region.photos.read_text("utf-8").splitlines()[:61]
    days = ("2018-06-01", "2019-06-01", "")
    dated = [f"{line},{days[i % 3]}" for i, line in enumerate(lines[1:])]
    table = region.photos.with_name("dated.csv")
    table.write_text("\n".join([f"{lines[0]},date", *dated]) + "\n", "utf-8")
    result = train(region, tmp_path, photos=str(table), epochs=1)
    assert (
        "20 of 60 photos at places of région.json are of another year than its images (photos: 2018; images: "
        "2019): where crops rotate, the fields bore another crop then." in result.warnings
    )


def test_describe_model_knows_it(made, tmp_path) -> None:
    folder, _ = made
    page = tmp_path / "modell.html"
    given = {"model": str(folder / "modell.safetensors"), "output_html": str(page)}
    result = DescribeModel.parse(given).run(JobContext())
    assert result.scores["architecture"] == "timesenclip"
    first = EmbeddingPredictor.open(folder / "modell.safetensors", CPU).card.provenance["places_seen"]["lon"][
        0
    ]
    assert "places seen" in page.read_text("utf-8")
    assert str(first) not in page.read_text("utf-8")


def test_the_card_remembers_all_places_but_those_of_the_test(region, made) -> None:
    import pandas as pd

    folder, result = made
    table = pd.read_csv(region.photos)[::2]
    provenance = EmbeddingPredictor.open(folder / "modell.safetensors", CPU).card.provenance
    assert provenance["places_seen"]["count"] == 80 == 100 - result.scores["n_test"]
    known = {
        (round(lon * 1000), round(lat * 1000)) for lon, lat in zip(table["lon"], table["lat"], strict=True)
    }
    seen = list(zip(provenance["places_seen"]["lon"], provenance["places_seen"]["lat"], strict=True))
    assert len(seen) == 80
    assert set(seen) <= known


def test_map_crops_sends_on_to_words(region, made, tmp_path) -> None:
    given = {"series": str(region.series), "model": str(made[0] / "modell.safetensors"), "device": "cpu"}
    with pytest.raises(InputError, match="learned from photos and has no classes of its own"):
        job_class("map").parse({**given, "output": str(tmp_path / "map.tif")}).run(JobContext())


def test_what_cannot_be_is_said(region, tmp_path) -> None:
    away = tmp_path / "away.csv"
    photo = region.photos.parent / "photos" / "Feld 0_0.jpg"
    away.write_text(f"file,lon,lat\n{photo},40.0,-10.0\n", "utf-8")
    with pytest.raises(InputError, match=r"None of the 1 places lies in the series région\.json"):
        train(region, tmp_path, photos=str(away), place_field=None)
    lines = region.photos.read_text("utf-8").splitlines()
    few = region.photos.with_name("few.csv")
    few.write_text("\n".join(lines[:11]) + "\n", "utf-8")
    with pytest.raises(InputError, match="Only 5 places have both a photo and a clear pixel"):
        train(region, tmp_path, photos=str(few))
    with pytest.raises(InputError, match="has no band B11"):
        train(region, tmp_path, bands="B11")
    with pytest.raises(InputError, match="No CLIP model was given, and none has been fetched"):
        train(region, tmp_path, clip=None)
    with pytest.raises(InputError, match="is no folder"):
        train(region, tmp_path, clip=str(tmp_path / "nothing"))
    with pytest.raises(InputError, match="CONTEXT"):
        train(region, tmp_path, context=4)
    with pytest.raises(EngineError, match=r"photos\.csv is an input"):
        train(region, tmp_path, report=str(region.photos))
    assert not (tmp_path / "modell.safetensors").exists()


def test_an_interrupted_run_goes_on_and_leaves_only_its_outputs(region, tmp_path) -> None:
    def interrupt(kind, fields) -> None:
        if kind == "metric" and fields["step"] == 2:
            ctx.cancel()

    ctx = JobContext(interrupt)
    with pytest.raises(Cancelled) as caught:
        train(region, tmp_path, ctx)
    assert "The state after epoch 2 is kept in modell.resume.safetensors" in caught.value.advice
    assert [path.name for path in tmp_path.iterdir()] == ["modell.resume.safetensors"]
    kept = (tmp_path / "modell.resume.safetensors").read_bytes()
    said = []
    train(region, tmp_path, JobContext(lambda kind, fields: said.append(fields.get("text"))))
    going_on = "Going on with training after epoch 2, where an earlier run was interrupted."
    assert going_on in said
    assert not list(tmp_path.glob("*.resume*"))
    (tmp_path / "modell.resume.safetensors").write_bytes(kept)
    said.clear()
    train(region, tmp_path, JobContext(lambda kind, fields: said.append(fields.get("text"))), resume=False)
    assert going_on not in said
