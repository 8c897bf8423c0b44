"""Jobs that train say where, and leave no state of an earlier run when told to."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from sits_engine import device
from sits_engine.context import JobContext
from sits_engine.errors import InputError
from sits_engine.jobs import JOBS, job_class
from sits_engine.jobs.train_photo_model import TrainPhotoModel
from sits_engine.jobs.train_segmentation_model import TrainSegmentationModel
from sits_engine.jobs.train_source_model import TrainSourceModel
from sits_engine.jobs.training_job import TrainingJob
from sits_engine.learning.processes import Processes


class Two(Processes):
    size = 2


@pytest.mark.parametrize(("processes", "end"), [(Processes(), ""), (Two(), " in each of 2 processes")])
def test_where_it_trains_is_told(processes, end, tmp_path) -> None:
    said = []
    ctx = JobContext(lambda kind, fields: said.append(fields["text"]))
    cpu = device.select("cpu")
    TrainSourceModel(field="crop", output=tmp_path / "m").use(cpu, processes, ctx)
    assert said == [f"Training will use {cpu.label}{end}."]
    assert ctx.device == cpu.label


def test_all_states_are_forgotten(tmp_path) -> None:
    job = TrainSegmentationModel(output=tmp_path / "m")
    names = ["m.cscl.resume.safetensors", "m.resume.safetensors"]
    for name in [*names, "m.safetensors"]:
        (tmp_path / name).touch()
    assert [path.name for path in job.checkpoints] == names
    job.forget()
    job.forget()
    assert [path.name for path in tmp_path.iterdir()] == ["m.safetensors"]


def test_these_may_run_in_several_processes() -> None:
    jobs = {name: job_class(name) for name in JOBS}
    assert {name for name, job in jobs.items() if job.several} == {
        name for name, job in jobs.items() if issubclass(job, TrainingJob)
    }


@pytest.mark.parametrize(
    ("job", "given", "words"),
    [
        (TrainPhotoModel, {"series": ["no"], "photos": "no", "published": True}, "PUBLISHED trains in one"),
        (TrainSegmentationModel, {"windows": "no", "batch_size": 1}, "BATCH_SIZE is 1, but 2 processes"),
    ],
)
def test_what_several_processes_can_not_train_is_refused_before_anything_is_read(
    job, given, words, tmp_path, monkeypatch
) -> None:
    @contextmanager
    def joined(request, ctx):
        yield Two(), device.select("cpu")

    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("sits_engine.learning.distributed.joined", joined)
    with pytest.raises(InputError, match=words):
        job(output=tmp_path / "m", **given).run(JobContext())
