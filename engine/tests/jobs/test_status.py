"""What the set-up and a bug report learn about the engine."""

from sits_engine.context import JobContext
from sits_engine.jobs.status import Status
from sits_engine.models import token_attention


def test_names_the_compiler_that_works_or_says_that_none_does(monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    assert Status().run(JobContext()).scores["compiler"].startswith("Zig ")
    monkeypatch.setattr(token_attention, "load", lambda: None)
    assert Status().run(JobContext()).scores["compiler"] == ""
