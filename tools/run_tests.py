"""`make test`: every suite under the Python that it belongs to, then one summary of all.

Two lanes side by side: the engine's tests, which use one processor, with their dots on the terminal, and the
plugin's suites one after the other, each shown when it has ended. A suite that fails does not keep the others
from running. Needs `make dev stage`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import layout

ROOT = layout.ROOT
ENGINE_PYTHON = ROOT / ".venv" / "bin" / "python"
QGIS_PYTHON = ROOT / "build" / "qgis-venv" / "bin" / "python"


class Suite(NamedTuple):
    """A folder of tests and the interpreter that runs it."""

    name: str
    folder: str
    python: Path


SUITES = (
    Suite("engine (no QGIS)", "engine/tests", ENGINE_PYTHON),
    Suite("plugin in QGIS's Python", "tests/unit", QGIS_PYTHON),
    Suite("parameters and ids", "tests/contract", QGIS_PYTHON),
    Suite("headless, real qgis_process", "tests/headless", QGIS_PYTHON),
    Suite("package", "tests/package", ENGINE_PYTHON),
    Suite("GUI under Xvfb", "tests/gui", QGIS_PYTHON),
)


class Outcome(NamedTuple):
    """Counts of a suite, as its JUnit file tells them."""

    name: str
    status: int
    passed: int
    failed: int
    skipped: int
    seconds: float


def environment() -> dict[str, str]:
    """Environment of the tests: tests and their children share the cores, nothing shows on a screen."""
    env = dict(os.environ)
    env.setdefault("OMP_NUM_THREADS", "1")
    env.setdefault("SITS_SHARED", str(ROOT.parent / "shared"))
    env.setdefault("SITS_ENGINE_PYTHON", str(ENGINE_PYTHON))
    # Each test has a home of its own; what was compiled once may serve all of them.
    env.setdefault("ZIG_GLOBAL_CACHE_DIR", str(ROOT / "build" / "compiler"))
    runtime = ROOT / "build" / "runtime"
    runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
    env["XDG_RUNTIME_DIR"] = str(runtime)
    env.setdefault("QT_QPA_PLATFORM", "offscreen")
    return env


def count(name: str, status: int, report: Path, seconds: float) -> Outcome:
    """Read a JUnit file. A suite that ended without one counts as one failure."""
    if not report.exists():
        return Outcome(name, status or 1, 0, 1, 0, seconds)
    total = failed = skipped = 0
    for suite in ElementTree.parse(report).getroot().iter("testsuite"):
        total += int(suite.get("tests", 0))
        failed += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        skipped += int(suite.get("skipped", 0))
    if status and not failed:
        failed = 1  # e.g. nothing was collected: that is no success
    return Outcome(name, status, max(0, total - failed - skipped), failed, skipped, seconds)


def run(suite: Suite, reports: Path, *, at_once: bool = True) -> Outcome:
    """Run one suite; its output appears at once, or when it has ended."""
    head = f"\n======== {suite.name}: {suite.folder} ========"
    if at_once:
        print(head, flush=True)
    report = reports / f"{suite.folder.replace('/', '-')}.xml"
    report.unlink(missing_ok=True)
    started = time.monotonic()
    command = [str(suite.python), "-m", "pytest", suite.folder, "-q", "--durations=5", f"--junitxml={report}"]
    where = None if at_once else subprocess.PIPE
    done = subprocess.run(
        command, cwd=ROOT, env=environment(), check=False, stdout=where, stderr=where and subprocess.STDOUT
    )
    if not at_once:
        print(f"{head}\n{done.stdout.decode(errors='replace')}", flush=True)
    return count(suite.name, done.returncode, report, time.monotonic() - started)


def summary(outcomes: list[Outcome], seconds: float) -> str:
    """A line a suite, and one line in pytest's own words at the end; `seconds` of all together."""
    lines = [
        f"{o.name:30} {o.passed:5} passed {o.failed:4} failed {o.skipped:4} skipped {o.seconds:7.1f} s"
        for o in outcomes
    ]
    words = []
    for word in ("failed", "passed", "skipped"):
        number = sum(getattr(outcome, word) for outcome in outcomes)
        if number:
            words.append(f"{number} {word}")
    lines.append(f" {', '.join(words) or 'no tests ran'} in {seconds:.2f}s ".center(80, "="))
    return "\n".join(lines)


def main() -> int:
    """Run all suites, or those whose folder holds a word of the command line."""
    wanted = [
        suite for suite in SUITES if not sys.argv[1:] or any(word in suite.folder for word in sys.argv[1:])
    ]
    reports = ROOT / "build" / "test-reports"
    reports.mkdir(parents=True, exist_ok=True)
    lanes = [[suite for suite in wanted if (suite is SUITES[0]) is engine] for engine in (True, False)]
    lanes = [lane for lane in lanes if lane]

    def run_lane(lane: list[Suite]) -> list[Outcome]:
        return [run(suite, reports, at_once=lane is lanes[0]) for suite in lane]

    started = time.monotonic()
    with ThreadPoolExecutor(len(lanes) or 1) as together:
        outcomes = [outcome for found in together.map(run_lane, lanes) for outcome in found]
    print(f"\n{summary(outcomes, time.monotonic() - started)}", flush=True)
    return 1 if any(outcome.status or outcome.failed for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
