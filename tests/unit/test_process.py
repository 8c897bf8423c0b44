"""The engine as a child process, with an engine that misbehaves in every way."""

import json
import time

import pytest
from processes import gone_within
from qgis.core import QgsProcessingException
from recording import Recording


def test_a_good_run_shows_progress_phases_warnings_and_gives_the_result(run, tmp_path):
    feedback = Recording()
    output = tmp_path / "sortie été.txt"
    result = run(feedback, output=str(output))
    assert result.outputs == {"output": str(output)}
    assert result.scores == {"accuracy": 0.5, "note": "good", "pixels": 7}
    assert feedback.progress == sorted(feedback.progress)
    assert feedback.progress[-1] > 0
    phases = feedback.texts("phase")
    assert phases[0].startswith("Phase 1")
    assert phases[0].endswith("about 2 min left")
    assert phases[-1].startswith("Phase 2")
    assert feedback.texts("warning") == ["Something to know."]
    assert "a library prints" in feedback.texts("console")


def test_the_engine_gets_a_clean_environment(run, tmp_path, monkeypatch):
    for name in ("PYTHONHOME", "PROJ_LIB", "GDAL_DATA", "DYLD_LIBRARY_PATH", "LD_PRELOAD_X"):
        monkeypatch.setenv(name, "/nowhere")
    monkeypatch.setenv("KEPT", "yes")
    output = tmp_path / "env.txt"
    run(Recording(), output=str(output))
    seen = json.loads(output.read_text())
    assert seen["env"]["KEPT"] == "yes"
    assert not [k for k in seen["env"] if k.startswith(("PYTHON", "PROJ", "GDAL", "LD_", "DYLD_"))]
    assert seen["argv"][1:] == ["serve-job"]


def test_an_error_of_the_engine_becomes_one_exception_with_the_advice(run):
    with pytest.raises(QgsProcessingException) as caught:
        run(Recording(), behave="error")
    assert str(caught.value) == "The file is no raster. Choose another."


def test_a_defect_names_the_log(run):
    with pytest.raises(QgsProcessingException, match=r"/logs/a\.log"):
        run(Recording(), behave="defect")


def test_no_result_is_a_failure_even_with_status_0(run):
    with pytest.raises(QgsProcessingException, match=r"without a result \(exit status 0\)"):
        run(Recording(), behave="silent")


def test_a_result_of_the_wrong_shape_is_none(run):
    with pytest.raises(QgsProcessingException, match="without a result"):
        run(Recording(), behave="badresult")


def test_a_crash_names_the_signal_and_the_last_words(run):
    with pytest.raises(QgsProcessingException, match="SIGSEGV") as caught:
        run(Recording(), behave="crash")
    assert "terminate called" in str(caught.value)


def test_kill_by_the_system_is_explained_as_lack_of_memory(run):
    with pytest.raises(QgsProcessingException, match="out of memory"):
        run(Recording(), behave="crash", signal="SIGKILL")


def test_garbage_on_stdout_is_tolerated(run, tmp_path):
    feedback = Recording()
    output = tmp_path / "out.txt"
    assert run(feedback, behave="garbage", output=str(output)).outputs
    assert "not json" in feedback.texts("console")
    assert max(len(text) for _, text in feedback.said) <= 4000


def test_a_flood_is_thinned_out_and_loses_no_result(run):
    feedback = Recording()
    started = time.monotonic()
    result = run(feedback, behave="flood")
    assert result.scores["pixels"] == 7
    assert len(feedback.said) < 200 * (time.monotonic() - started + 1)
    assert len(feedback.said) < 10000


def test_a_status_after_the_result_does_not_spoil_it(run, tmp_path):
    feedback = Recording()
    assert run(feedback, behave="late", output=str(tmp_path / "a.txt")).outputs
    assert any("status 3" in text for text in feedback.texts("console"))


@pytest.mark.parametrize("behave", ["hang", "ignore", "flood"])
def test_cancel_ends_every_engine_within_two_seconds(run, tmp_path, behave):
    feedback = Recording(cancel_after=0.7)
    pids, output = tmp_path / "pids.json", tmp_path / "map.tif"
    with pytest.raises(QgsProcessingException, match="Cancelled"):
        run(feedback, behave=behave, pids=str(pids), output=str(output), lines=10_000_000, seconds=30)
    took = time.monotonic() - feedback.cancelled_at
    left = json.loads(pids.read_text())
    assert took < 2.0
    assert gone_within(left, 0.2)
    assert len(left) == (2 if behave == "ignore" else 1)
    # Nothing unfinished stays beside the output.
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []
    assert not output.exists()


@pytest.mark.parametrize("behave", ["hang", "ignore"])
def test_a_cancelled_map_says_that_its_tiles_are_kept(run, tmp_path, behave):
    work = tmp_path / ".map.tif.work"
    work.mkdir()
    with pytest.raises(QgsProcessingException, match="Nothing half-written was kept; run it again"):
        run(Recording(cancel_after=0.5), behave=behave, output=str(tmp_path / "map.tif"), seconds=30)
    (work / "tile-0-0.npz").write_bytes(b"")
    with pytest.raises(
        QgsProcessingException, match=r"^Cancelled\. Finished tiles were kept.*\.map\.tif\.work"
    ):
        run(Recording(cancel_after=0.5), behave=behave, output=str(tmp_path / "map.tif"), seconds=30)


def test_an_engine_that_says_nothing_is_given_up(run, monkeypatch):
    monkeypatch.setenv("FAKE_ENGINE", '{"behave": "mute"}')
    started = time.monotonic()
    with pytest.raises(QgsProcessingException, match="did not answer within 1 s"):
        run(Recording(), hello_within=1.0)
    assert time.monotonic() - started < 4


def test_an_engine_that_does_not_start_says_why(run, monkeypatch):
    monkeypatch.setenv("FAKE_ENGINE", '{"behave": "stillborn"}')
    with pytest.raises(QgsProcessingException, match="No module named torch") as caught:
        run(Recording())
    assert "Set up engine" in str(caught.value)


def test_an_engine_of_another_protocol_is_refused(run, monkeypatch):
    monkeypatch.setenv("FAKE_ENGINE", '{"behave": "foreign"}')
    with pytest.raises(QgsProcessingException, match="protocol 99"):
        run(Recording(), behave="hang")


def test_a_missing_interpreter_is_named(run, home):
    from sits_qgis import environment, process

    where = environment.Environment("/nowhere/python", "own")
    with pytest.raises(QgsProcessingException, match="/nowhere/python can't be started"):
        process.run_job("job", {}, Recording(), where)


def test_a_job_larger_than_a_pipe_is_sent_whole(run, tmp_path):
    output = tmp_path / "out.txt"
    layers = [f"/data/{number:05d}/a rather long name of a raster.tif" for number in range(5000)]
    run(Recording(), output=str(output), layers=layers)
    assert json.loads(output.read_text())["params"]["layers"] == layers


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        (
            "OSError: [WinError 1114] A dynamic link library (DLL) initialization routine failed",
            "vc_redist.x64.exe",
        ),
        ("ModuleNotFoundError: No module named 'rasterio'", "repair"),
    ],
)
def test_known_causes_get_their_own_advice(qgis_app, said, advice):
    from sits_qgis.process import error_text

    error = {"code": "INTERNAL", "message": f"Unexpected error: {said}", "advice": "Send the log."}
    assert advice in error_text(error, "/logs/a.log")
    assert advice not in error_text({**error, "code": "INPUT_INVALID"})
