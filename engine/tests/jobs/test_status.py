"""What the set-up and a bug report learn about the engine."""

from sits_engine.context import JobContext
from sits_engine.jobs.status import Status
from sits_engine.models import compiled, packed, pixel_kernel


def test_names_the_compiler_that_works_or_says_that_none_does(monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    assert Status().run(JobContext()).scores["compiler"].startswith("Zig ")
    for load in (compiled, packed, pixel_kernel):
        monkeypatch.setattr(load, "load", lambda: None)
    assert Status().run(JobContext()).scores["compiler"] == ""
