"""The runner of all suites: nothing that went wrong may look like success."""

import run_tests
from run_tests import Outcome

JUNIT = '<testsuites><testsuite tests="{}" failures="{}" errors="{}" skipped="{}"/></testsuites>'


def count(tmp_path, status, *numbers):
    report = tmp_path / "report.xml"
    if numbers:
        report.write_text(JUNIT.format(*numbers))
    outcome = run_tests.count("suite", status, report, 1.0)
    return outcome.passed, outcome.failed, outcome.skipped


def test_counts(tmp_path):
    assert count(tmp_path, 1, 10, 2, 1, 3) == (4, 3, 3)
    assert count(tmp_path, 0, 4, 0, 0, 1) == (3, 0, 1)


def test_a_crash_of_pytest_is_a_failure(tmp_path):
    assert count(tmp_path, -11) == (0, 1, 0)
    assert count(tmp_path, 0) == (0, 1, 0)


def test_a_suite_without_tests_is_a_failure(tmp_path):
    assert count(tmp_path, 5, 0, 0, 0, 0) == (0, 1, 0)


def test_the_last_line_is_pytests(tmp_path):
    outcomes = [Outcome("a", 0, 5, 0, 1, 1.5), Outcome("b", 1, 2, 1, 0, 2.0)]
    last = run_tests.summary(outcomes, 2.5).splitlines()[-1]
    assert last.strip("= ") == "1 failed, 7 passed, 1 skipped in 2.50s"


def test_every_folder_of_tests_is_a_suite():
    folders = {path.parent for path in (run_tests.ROOT / "tests").rglob("test_*.py")}
    suites = {run_tests.ROOT / suite.folder for suite in run_tests.SUITES}
    assert {folder for folder in folders if not any(s in (folder, *folder.parents) for s in suites)} == set()
