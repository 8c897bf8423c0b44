import functools
from pathlib import Path

import pytest

from sits_engine.context import JobContext
from sits_engine.errors import EngineError, InputError
from sits_engine.jobs import job_class


def test_outputs_exist_and_progress_rises(tmp_path):
    job = job_class("createdemodata").parse(
        {"output_folder": str(tmp_path / "démo"), "size": 64, "dates": 3, "seed": 2}
    )
    seen = []
    result = job.run(JobContext(lambda kind, fields: seen.append((kind, fields))))
    names = {"folder", "images_a", "parcels_a", "images_b", "parcels_b", "truth_a", "truth_b"}
    assert set(result.outputs) == names
    assert all(Path(path).exists() for path in result.outputs.values())
    percents = [fields["percent"] for kind, fields in seen if kind == "progress"]
    assert percents == sorted(percents)
    assert percents[-1] == 100
    assert any("region B" in fields.get("phase", "") for _, fields in seen)


def test_photos_and_a_toy_clip_on_wish(tmp_path, monkeypatch):
    from sits_engine import device as devices
    from sits_engine.models.clip import ClipEncoder, toy

    short = functools.partial(toy.ToyOptions, steps=3, batch=8, width=32, layers=1)
    monkeypatch.setattr(toy, "ToyOptions", short)
    inputs = {"output_folder": str(tmp_path / "demo"), "size": 96, "dates": 3, "photo_places": 8}
    seen = []
    result = job_class("createdemodata").parse(inputs).run(JobContext(lambda *event: seen.append(event)))
    assert {"photos_a", "photos_b", "clip"} <= set(result.outputs)
    assert all(Path(path).exists() for path in result.outputs.values())
    # only region B was learned from
    logs = " ".join(fields["text"] for kind, fields in seen if kind == "log")
    n_photos = len(list((tmp_path / "demo" / "region_b").glob("photos*/*.jpg")))
    assert f"learned from {n_photos} drawn photos of region B" in logs
    assert (
        ClipEncoder.open(Path(result.outputs["clip"]), devices.select("cpu")).texts(["maize"]).shape[0] == 1
    )
    percents = [fields["percent"] for kind, fields in seen if kind == "progress"]
    assert percents == sorted(percents)
    assert percents[-1] == 100

    # a demo that is made anew without photos keeps none of the old ones
    inputs["photo_places"] = 0
    result = job_class("createdemodata").parse(inputs).run(JobContext())
    assert "clip" not in result.outputs
    assert not list((tmp_path / "demo").rglob("*.jpg"))
    assert not (tmp_path / "demo" / "clip").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 101}, "SIZE: must be an even number"),
        ({"size": 8}, "SIZE: .*greater than or equal to 64"),
        ({"difficulty": "brutal"}, "DIFFICULTY: "),
        ({"dates": 2}, "DATES: "),
        ({"shift_days": 400}, "SHIFT_DAYS: "),
        ({"output_folder": None}, "OUTPUT_FOLDER: "),
        ({"colour": "red"}, "COLOUR: "),
    ],
)
def test_wrong_parameters_are_named(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        job_class("createdemodata").parse({"output_folder": str(tmp_path / "demo"), **changes})


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    job = job_class("createdemodata").parse(
        {"output_folder": str(tmp_path / "file" / "demo"), "size": 64, "dates": 3}
    )
    with pytest.raises(EngineError, match="file/demo") as caught:
        job.run(JobContext())
    assert caught.value.code == "OUTPUT_NOT_WRITABLE"
