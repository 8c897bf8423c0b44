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
