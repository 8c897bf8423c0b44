"""What the set-up and a bug report learn about the engine."""

from sits_engine import serve
from sits_engine.context import JobContext
from sits_engine.home import home
from sits_engine.jobs.status import Status
from sits_engine.models import libraries, token_attention


def test_names_the_compiler_that_works_or_says_that_none_does(monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    assert Status().run(JobContext()).scores["compiler"].startswith("Zig ")
    monkeypatch.setattr(token_attention, "load", lambda: None)
    assert Status().run(JobContext()).scores["compiler"] == ""


def test_tells_where_logs_really_go(monkeypatch, tmp_path):
    monkeypatch.setattr(libraries, "makers", dict)
    assert Status().run(JobContext()).scores["logs"] == str(home() / "logs")
    sent = {}
    log = tmp_path / "elsewhere" / "a.log"
    assert serve.run_job("status", {}, JobContext(), sent.__setitem__, log) == 0
    assert sent["result"]["scores"]["logs"] == str(log.parent)
