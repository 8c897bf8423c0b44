"""The command line: options come from the job's fields."""

import argparse
import io
import json

import pytest

from sits_engine import cli
from sits_engine.jobs import JOBS, job_class, short_names


@pytest.mark.parametrize("name", JOBS)
def test_every_job_exists_and_explains_its_fields(name):
    job = job_class(name)
    assert job.__doc__
    undescribed = [f for f, field in job.model_fields.items() if not field.description]
    assert not undescribed


def test_config_file_and_options(tmp_path, capfd, monkeypatch):
    config = tmp_path / "job.json"
    config.write_text(json.dumps({"no_such_field": 1}), encoding="utf-8")
    assert cli.main(["status", "--config", str(config)]) == 1
    assert "NO_SUCH_FIELD" in capfd.readouterr().err


def test_unknown_job_lists_the_known(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "500")
    with pytest.raises(SystemExit) as stopped:
        cli.main(["trane"])
    assert stopped.value.code == 2
    assert f"Jobs: {', '.join(short_names())}." in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    assert f"one of: {', '.join(short_names())}" in " ".join(capsys.readouterr().out.split())


def test_an_option_of_another_job_is_not_taken_for_a_longer_one(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["shift", "--series", "a.json"])
    assert stopped.value.code == 2
    assert "unrecognized arguments: --series a.json" in capsys.readouterr().err


@pytest.mark.parametrize("name", short_names())
def test_help_of_a_job_speaks_to_people(name, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main([name, "--help"])
    assert stopped.value.code == 0
    said = capsys.readouterr().out
    assert "Undefined" not in said
    assert "(default: [" not in said


@pytest.mark.parametrize(
    ("job", "words"),
    [
        ("train-segmentation", "--architecture {tsvit,unet3d,unet3df,unet2d_clstm,biconvgru} network"),
        ("train-segmentation", "--width {standard,small}"),
        ("train-segmentation", "--scale {1,2,4}"),
        ("train-segmentation", "--split {blocks,inside,regions,folds}"),
        ("train-segmentation", "--series SERIES [SERIES ...]"),
    ],
)
def test_help_lists_the_choices(job, words, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    with pytest.raises(SystemExit):
        cli.main([job, "--help"])
    assert words in " ".join(capsys.readouterr().out.split())


def test_every_field_of_some_values_lists_them():
    for name in JOBS:
        parser = argparse.ArgumentParser()
        cli.add_fields(parser, job_class(name))
        shown = {action.dest: action.metavar for action in parser._actions}
        schema = job_class(name).model_json_schema()["properties"]
        for field, facts in schema.items():
            for one in [facts, facts.get("items", {}), *facts.get("anyOf", [])]:
                for value in map(str, one.get("enum", [])):
                    assert value in shown[field].strip("{}").split(",")


def test_an_extent_in_the_west_is_no_option(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("SITS_QGIS_HOME", str(tmp_path / "home"))
    seen = []
    monkeypatch.setattr("sits_engine.serve.run_job", lambda name, params, *rest: seen.append(params) or 0)
    monkeypatch.setattr("sits_engine.serve.on_signals", lambda ctx, **how: None)
    monkeypatch.setattr("sits_engine.protocol.take_stdout", lambda: io.StringIO())
    extent = "-5.2,-5.1,40,41 [EPSG:4326]"
    assert (
        cli.main(["map", "--series", "s.json", "--model", "m", "--extent", extent, "--output", "o.tif"]) == 0
    )
    assert seen[0]["extent"] == extent
    assert seen[0]["output"] == "o.tif"


def test_each_line_is_written_in_one_piece(monkeypatch):
    """Lines of threads, or of several processes on one terminal, don't run into each other."""

    class Pieces(io.StringIO):
        def write(self, text):
            pieces.append(text)
            return super().write(text)

    pieces = []
    monkeypatch.setattr(cli.sys, "stderr", Pieces())
    show = cli.Terminal(io.StringIO())
    show("log", {"level": "warning", "text": "mind this"})
    show("progress", {"percent": 5.0, "phase": "Reading"})
    show("error", {"code": "INTERNAL", "message": "Odd.", "advice": "Tell us.", "log": "/l.log"})
    assert pieces == [
        "Warning: mind this\n",
        "  5.0 %  Reading\n",
        "Error (INTERNAL): Odd. Tell us.\n",
        "Log: /l.log\n",
    ]
