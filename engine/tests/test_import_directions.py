"""The data flows from left to right, nothing imports leftwards, and nothing can run code from a file.

Read from the syntax trees, so that imports inside functions and behind TYPE_CHECKING count, too.
"""

import ast
from pathlib import Path

import pytest

ENGINE = Path(__file__).resolve().parent.parent
PACKAGE = ENGINE / "sits_engine"
ORDER = ("series", "samples", "models", "learning", "retrieval", "mapping", "evaluation", "report", "jobs")
#: Modules beside the packages that every package may import; they import no package themselves.
BASE = {"addresses", "errors", "context", "outputs", "device", "home", "libraries", "protocol"}
#: Entry points: they import jobs, and nothing imports them.
TOP = {"cli", "serve", "__main__"}
FORBIDDEN = {
    "qgis",
    "osgeo",
    "PyQt5",
    "PyQt6",
    "pickle",
    "cPickle",
    "joblib",
    "dill",
    "cloudpickle",
    "shelve",
    "marshal",
}

SHIPPED = [*sorted(PACKAGE.rglob("*.py")), ENGINE / "start.py"]


def imports(path: Path, root: Path = ENGINE) -> set[str]:
    """Full dotted names of what a file imports, relative ones resolved; `from a import b` gives a and a.b."""
    found = set()
    parts = path.relative_to(root).with_suffix("").parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(parts[: len(parts) - node.level]) if node.level else ""
            module = ".".join(filter(None, [base, node.module]))
            found.add(module)
            found.update(f"{module}.{alias.name}" for alias in node.names)
    return found


def unit(dotted: str) -> str | None:
    """Package or module below sits_engine that a dotted name belongs to."""
    parts = dotted.split(".")
    known = {*ORDER, *BASE, *TOP}
    return parts[1] if parts[0] == "sits_engine" and len(parts) > 1 and parts[1] in known else None


def relative(path: Path) -> str:
    return path.relative_to(ENGINE).as_posix()


def leftward(path: Path, root: Path = ENGINE) -> set[str]:
    """What a file of the engine imports although it may not."""
    own = path.relative_to(root / "sits_engine").with_suffix("").parts[0]
    wanted = {found for name in imports(path, root) if (found := unit(name)) and found != own}
    if own in ORDER:
        return wanted - BASE - set(ORDER[: ORDER.index(own)])
    if own in TOP:
        return wanted - BASE - TOP - {"jobs"}
    assert own in BASE or own == "__init__", f"{own} has no place in the order: name it in this test"
    return wanted - BASE


@pytest.mark.parametrize("path", [p for p in SHIPPED if PACKAGE in p.parents], ids=relative)
def test_direction(path: Path) -> None:
    assert leftward(path) == set(), f"{relative(path)} imports what may not be imported there"


@pytest.mark.parametrize("path", SHIPPED, ids=relative)
def test_no_qgis_and_nothing_that_unpickles(path: Path) -> None:
    found = {name.split(".")[0] for name in imports(path)} & FORBIDDEN
    assert not found, f"{relative(path)} imports {sorted(found)}"
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            call = f"{node.value.id}.{node.attr}"
            assert call not in {"torch.load", "torch.save"}, f"{relative(path)}:{node.lineno} uses {call}"
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            assert isinstance(node.value, ast.Constant), f"{relative(path)}:{node.lineno} allow_pickle"
            assert node.value.value is False, f"{relative(path)}:{node.lineno} allow_pickle"


def test_every_package_has_its_place() -> None:
    packages = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert packages == set(ORDER)


def test_no_file_is_too_long_to_read() -> None:
    long = {relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in SHIPPED}
    assert {name: lines for name, lines in long.items() if lines > 400} == {}


@pytest.mark.parametrize(
    "line",
    [
        "from sits_engine.jobs import base",
        "from ..learning import loss",
        "def f():\n    import sits_engine.report",
        "from sits_engine import mapping",
    ],
)
def test_the_checker_sees_a_leftward_import(tmp_path: Path, line: str) -> None:
    bad = tmp_path / "sits_engine" / "series" / "bad.py"
    bad.parent.mkdir(parents=True)
    bad.write_text(f"from sits_engine.errors import InputError\n{line}\n")
    assert len(leftward(bad, tmp_path)) == 1
