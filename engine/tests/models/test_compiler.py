"""Which C++ compilers are taken, and that the one the engine brings works alone."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from sits_engine.models import compiled, compiler, libraries


def names() -> list[str]:
    return [one.name.split()[0] for one in compiler.compilers()]


def test_the_engines_own_compiler_comes_first_and_CXX_replaces_all(monkeypatch, tmp_path):
    monkeypatch.delenv("CXX", raising=False)
    assert names()[0] == "Zig"
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert names() == []
    mine = tmp_path / ("mine.bat" if sys.platform == "win32" else "mine")
    mine.write_text("", encoding="utf-8")
    mine.chmod(0o755)
    monkeypatch.setenv("CXX", str(mine))
    assert names() == [mine.name]


@pytest.mark.parametrize("part", libraries.PARTS.values())
def test_each_source_gives_right_numbers_where_nothing_else_is_installed(part, monkeypatch, tmp_path):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert names() == ["Zig"]
    assert part.load.__wrapped__() is not None


def test_a_compiler_that_fails_gives_way_to_the_next(monkeypatch, tmp_path):
    monkeypatch.delenv("CXX", raising=False)
    works = compiler.compilers()[0]
    false = shutil.which("false") or sys.executable
    fails = compiler.Compiler("fails", [false], [false])
    missing = compiler.Compiler("missing", [str(tmp_path / "none")], [])
    monkeypatch.setattr(compiled, "compilers", lambda: [missing, fails, works])
    assert compiled.build("set_pooling.cpp") is not None
    assert compiled.made["set_pooling.cpp"].compiler == works.name
    monkeypatch.setattr(compiled, "compilers", lambda: [missing, fails])
    monkeypatch.setattr(compiled, "made", {})
    assert compiled.build("set_pooling.cpp") is None
    assert compiled.made == {}
    assert {"fails", "missing"} <= set(compiled.failures)


def test_what_is_wrong_is_told_unless_none_was_asked_for_or_another_works(monkeypatch):
    monkeypatch.setattr(compiled, "failures", {})
    monkeypatch.setattr(compiled, "made", {})
    monkeypatch.setenv("CXX", "none")
    assert compiled.build("set_pooling.cpp") is None
    assert compiled.trouble() == ""
    monkeypatch.setenv("CXX", "nosuch -O1")
    assert compiled.build("set_pooling.cpp") is None
    assert compiled.trouble() == "nosuch -O1: there is no such program (CXX)"
    monkeypatch.delenv("CXX")
    assert compiled.build("set_pooling.cpp") is not None
    assert compiled.trouble() == ""


def test_CXX_may_have_options(monkeypatch, tmp_path):
    monkeypatch.setenv("CXX", "g++ -mtune=generic" if shutil.which("g++") else f"{sys.executable} -x")
    (found,) = compiler.compilers()
    assert found.compile[1] == found.link[1] in ("-mtune=generic", "-x")


def test_what_was_made_is_kept_unless_the_folder_cant_be_written(monkeypatch, tmp_path):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.delenv("ZIG_GLOBAL_CACHE_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SITS_QGIS_HOME", "relative")
    assert compiled.build("set_pooling.cpp") is not None
    assert any((tmp_path / "relative" / "compiler").iterdir())
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("SITS_QGIS_HOME", str(tmp_path / "file"))
    assert compiler.compilers()[0].kept is None
    assert compiled.build("set_pooling.cpp") is not None


def test_nothing_is_left_beside_the_sources_or_where_the_user_is(monkeypatch, tmp_path):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.chdir(tmp_path)
    before = {path.name for path in compiled.HERE.iterdir()}
    assert compiled.build("set_pooling.cpp") is not None
    assert {path.name for path in compiled.HERE.iterdir()} == before
    assert not list(tmp_path.iterdir())


def test_a_compiler_of_the_system_gives_the_same_numbers(monkeypatch):
    other = shutil.which("g++") or shutil.which("clang++")
    if other is None:
        pytest.skip("no g++ or clang++ on this machine")
    rng = np.random.default_rng(1)
    values = rng.normal(size=(500, 3, 4)).astype(np.float32)
    valid = np.ones((500, 3), np.bool_)
    bounds, counts = np.array([[0, 200], [200, 500]]), np.array([[200] * 3, [300] * 3])
    block = compiled.load().block
    layers = [
        (rng.normal(size=(block, 4)).astype(np.float32), rng.normal(size=block).astype(np.float32)),
    ]
    monkeypatch.delenv("CXX", raising=False)
    ours = compiled.load.__wrapped__().pool(layers, values, valid, bounds, counts)
    monkeypatch.setenv("CXX", other)
    theirs = compiled.load.__wrapped__().pool(layers, values, valid, bounds, counts)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


@pytest.mark.parametrize("target", ["x86_64-windows-gnu", "aarch64-macos", "aarch64-linux-gnu"])
def test_sources_compile_for_other_systems(target, monkeypatch, tmp_path):
    monkeypatch.delenv("CXX", raising=False)
    zig = compiler.compilers()[0]
    sources = sorted(compiled.HERE.glob("*.cpp"))
    assert len(sources) >= 4
    command = [part for part in zig.compile if part != "-fPIC"]
    kept = dict.fromkeys(zig.keeps, str(zig.kept))
    for source in sources:
        made = tmp_path / f"{source.stem}.o"
        options = ["-target", target, "-Wall", "-Werror", "-c", str(source), "-o", str(made)]
        subprocess.run([*command, *options], check=True, env={**os.environ, **kept})
        assert made.stat().st_size > 1000
