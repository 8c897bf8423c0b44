"""What the C++ files were compiled with, as it is told to people and compared between computers."""

import shutil
import sys

import pytest
import torch

from sits_engine.models import compiled, compiler, libraries, token_attention


@pytest.fixture(autouse=True)
def compiled_anew(monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(compiled, "made", {})
    for part in libraries.PARTS.values():
        monkeypatch.setattr(part, "load", part.load.__wrapped__)


def test_the_compiler_that_worked_is_told_not_the_one_that_was_tried_first(monkeypatch):
    works = compiler.compilers()[0]
    false = shutil.which("false") or sys.executable
    monkeypatch.setattr(compiled, "compilers", lambda: [compiler.Compiler("fails", [false], [false]), works])
    assert libraries.compiler() == works.name
    (instructions,) = {maker.instructions for maker in compiled.made.values()}
    capability = torch.backends.cpu.get_cpu_capability()
    assert libraries.arithmetic() == f"{capability}, C++: {works.name} for {instructions}"
    if capability == "AVX512":
        assert instructions.startswith("AVX-512 (")
    if capability == "AVX2":
        assert instructions.startswith("AVX2 with FMA (")


def test_a_file_that_does_not_give_right_numbers_counts_as_none(monkeypatch):
    monkeypatch.setattr(token_attention, "load", lambda: None)
    assert libraries.compiler() == ""
    found = libraries.arithmetic()
    assert "token_attention.cpp by none" in found
    assert "set_pooling.cpp by Zig " in found


def test_no_file_is_forgotten():
    assert libraries.PARTS.keys() == {path.name for path in compiled.HERE.glob("*.cpp")}


def test_no_compiler(monkeypatch):
    monkeypatch.setenv("CXX", "none")
    assert libraries.compiler() == ""
    assert libraries.arithmetic().endswith(", C++: none")


def test_other_instructions_are_other_words(monkeypatch):
    before = libraries.arithmetic()
    found = {source: maker._replace(instructions="no FMA") for source, maker in compiled.made.items()}
    monkeypatch.setattr(libraries, "makers", lambda: found)
    assert libraries.arithmetic() == before.replace(before.split(" for ")[1], "no FMA")
