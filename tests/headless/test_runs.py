"""Exit status, output and messages of real qgis_process runs with the fake engine."""

import json

DEMO = ("run", "sits:createdemodata", "--")


def test_a_good_run_in_a_folder_with_blanks_and_accents(headless):
    folder = headless.folder / "sortie d'été"
    status, out, err = headless.call(*DEMO, f"OUTPUT_FOLDER={folder}", "SIZE=64")
    assert status == 0, err
    seen = json.loads((folder / "output.txt").read_text())
    assert seen["params"]["size"] == 64
    assert seen["params"]["output_folder"] == str(folder)
    assert "Phase 1" in out
    assert "Something to know." in out + err


def test_json_on_stdout_is_pure(headless):
    folder = headless.folder / "a"
    headless.orders(behave="garbage")
    status, out, err = headless.call("--json", *DEMO, f"OUTPUT_FOLDER={folder}")
    assert status == 0, err
    assert json.loads(out)["results"]["OUTPUT_FOLDER"] == str(folder)


def test_no_warning_of_python_about_our_code(headless):
    status, _, err = headless.call(*DEMO, f"OUTPUT_FOLDER={headless.folder / 'a'}")
    assert status == 0
    assert "sits_qgis" not in err


def test_french(headless):
    headless.env.update(LANG="fr_FR.UTF-8", LC_ALL="fr_FR.UTF-8", LANGUAGE="fr")
    folder = headless.folder / "données"
    status, _, err = headless.call(*DEMO, f"OUTPUT_FOLDER={folder}")
    assert status == 0, err
    assert (folder / "output.txt").is_file()


def test_every_failure_has_a_status_and_a_sentence(headless):
    for behave, sentence in (
        ("error", "The file is no raster. Choose another."),
        ("silent", "without a result"),
        ("crash", "SIGSEGV"),
        ("stillborn", "No module named torch"),
        ("liar", "is not there"),
    ):
        headless.orders(behave=behave)
        status, _, err = headless.call(*DEMO, f"OUTPUT_FOLDER={headless.folder / behave}")
        assert status == 1, behave
        assert sentence in err, behave
        assert "Traceback" not in err, behave


def test_a_missing_engine_is_one_sentence(headless):
    del headless.env["SITS_QGIS_INTERPRETER"]
    status, _, err = headless.call(*DEMO, f"OUTPUT_FOLDER={headless.folder / 'a'}")
    assert status == 1
    assert "run the algorithm 'Set up engine' (sits:setupengine) once" in err


def test_status_works_without_an_engine(headless):
    del headless.env["SITS_QGIS_INTERPRETER"]
    report = headless.folder / "état.txt"
    status, out, err = headless.call("--json", "run", "sits:enginestatus", "--", f"REPORT={report}")
    assert status == 0, err
    text = json.loads(out)["results"]["STATUS"]
    assert "Set up engine" in text
    assert "QGIS: 3." in text or "QGIS: 4." in text
    assert report.read_text() == text + "\n"


def test_status_survives_an_engine_that_crashes(headless):
    headless.orders(behave="crash")
    status, out, err = headless.call("--json", "run", "sits:enginestatus", "--")
    assert status == 0, err
    assert "SIGSEGV" in json.loads(out)["results"]["STATUS"]
