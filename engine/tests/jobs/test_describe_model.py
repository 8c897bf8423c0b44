from __future__ import annotations

import copy

import pytest

from sits_engine.context import JobContext
from sits_engine.errors import EngineError, InputError, ModelError
from sits_engine.jobs import job_class
from sits_engine.jobs.describe_model import DescribeModel, description
from sits_engine.models.card import BandCard, ClassCard, ModelCard
from sits_engine.models.model_file import save_model
from sits_engine.models.registry import build, pseltae_hyperparameters


@pytest.fixture
def model(tmp_path):
    hyperparameters = pseltae_hyperparameters(2, 2, width="small")
    card = ModelCard(
        architecture="pseltae",
        hyperparameters=hyperparameters,
        bands=[BandCard(name="B04"), BandCard(name="B08")],
        classes=[
            ClassCard(name="maïs", color="#f2e205", codes=["201", "202"]),
            ClassCard(name="wheat", color="#d9a01c", codes=["wheat"]),
        ],
        season_year=2019,
        positions=[-31.0, 0.0, 120.0],
        temperature=1.5,
        provenance={
            "series": [{"title": "Région", "file": "a.json", "dates": ["2018-12-01"], "season_year": 2019}],
            "parcels": ["p.gpkg"],
            "seed": 7,
        },
        scores={"macro_f1": 0.875, "per_class_f1": {"maïs": 0.9, "wheat": None}},
    )
    save_model(tmp_path / "modèle.safetensors", build("pseltae", hyperparameters), card)
    return tmp_path / "modèle.safetensors"


def test_says_what_the_model_knows(model, tmp_path) -> None:
    said = []
    ctx = JobContext(lambda kind, fields: said.append(fields["text"]) if kind == "log" else None)
    params = {"model": str(model), "output_html": str(tmp_path / "d.html")}
    result = job_class("describe").parse(params).run(ctx)
    text = "\n".join(said)
    for part in (
        "Bands (2): B04, B08",
        "1 maïs (#f2e205, codes 201, 202, F1 0.900)",
        "2 wheat (#d9a01c)",
        "Dates: 3, 2018-12-01 to 2019-05-01",
        "temperature 1.500",
        "Région (a.json), 1 dates, season 2019",
        "Parcels: p.gpkg",
        "Seed: 7",
        "macro f1 0.875",
    ):
        assert part in text
    assert result.scores["classes"] == "maïs, wheat"
    assert result.scores["n_bands"] == 2
    assert result.scores["macro_f1"] == 0.875
    assert "maïs" in (tmp_path / "d.html").read_text("utf-8")


def test_a_card_without_scores_and_provenance() -> None:
    card = ModelCard(
        architecture="pseltae",
        hyperparameters={},
        bands=[BandCard(name="NDVI")],
        classes=[ClassCard(name="a", color="#000000")],
        season_year=2020,
        positions=[],
        mask_dates=False,
    )
    text = "\n".join(description(card))
    assert "Dates: 0, none to none" in text
    assert "published behaviour" in text
    assert "Scores" not in text


def test_what_is_no_model_or_was_tampered_with(model, tmp_path) -> None:
    with pytest.raises(InputError, match=r"Model not found: .*none\.safetensors"):
        DescribeModel.parse({"model": str(tmp_path / "none.safetensors")}).run(JobContext())
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(ModelError, match=r"text\.safetensors is no model"):
        DescribeModel.parse({"model": str(tmp_path / "text.safetensors")}).run(JobContext())
    data = bytearray(model.read_bytes())
    data[-5] ^= 1
    model.write_bytes(data)
    with pytest.raises(ModelError):
        DescribeModel.parse({"model": str(model)}).run(JobContext())


def test_page_in_a_place_that_cannot_be_written(model, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    params = {"model": str(model), "output_html": str(tmp_path / "file" / "d.html")}
    with pytest.raises(EngineError, match="Can't write"):
        DescribeModel.parse(params).run(JobContext())


def test_the_model_is_never_overwritten(model) -> None:
    before = model.read_bytes()
    with pytest.raises(InputError, match="is an input of this run"):
        DescribeModel(model=model, output_html=model).run(JobContext())
    assert model.read_bytes() == before


def test_a_fast_network_is_told(model, tmp_path) -> None:
    from sits_engine.models.card import FastCard
    from sits_engine.models.model_file import load_model

    module, card = load_model(model)
    scores = {"agreement": 0.987, "pixels": 100, "teacher_macro_f1": 0.8}
    fast = FastCard(hyperparameters=card.hyperparameters, temperature=1.2, scores=scores)
    save_model(model, module, card, (copy.deepcopy(module), fast))
    said = []
    ctx = JobContext(lambda kind, fields: said.append(fields["text"]) if kind == "log" else None)
    params = {"model": str(model), "output_html": str(tmp_path / "d.html")}
    result = job_class("describe").parse(params).run(ctx)
    at = said.index("Holds a fast network for maps of pixels (FAST):")
    assert said[at + 1 : at + 4] == [
        "  share of single pixels that get the same class: 0.987",
        "  macro-F1 of the model itself on them: 0.800",
        "  single pixels that were compared: 100",
    ]
    assert result.scores["fast"] is True
    page = (tmp_path / "d.html").read_text("utf-8")
    assert "share of single pixels that get the same class" in page
    assert "0.987" in page
