"""The lock files: every pin has hashes, and they agree with the ranges that the engine states."""

import re
from pathlib import Path

import layout
import pytest

REQUIREMENTS = layout.ROOT / "engine" / "requirements"
PIN = re.compile(r"^([a-z0-9-]+)==(\S+)(?: ; (.+?))? \\$")
FLAVOURS = ("cpu", "cuda", "dev")


def pins(flavour):
    """(name, version, marker) of every line that is no hash and no comment."""
    found = []
    lines = (REQUIREMENTS / f"{flavour}.txt").read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        if line.startswith(("#", " ")) or not line:
            continue
        match = PIN.match(line)
        assert match, f"{flavour}.txt:{number + 1} is no pin: {line}"
        assert lines[number + 1].strip().startswith("--hash=sha256:"), f"{match[1]} has no hash"
        found.append(match.groups())
    return found


def named(path: Path):
    """Names of the packages in an `.in` file."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return {re.split(r"[=<>~ ;]", line)[0] for line in lines if re.match(r"[a-z]", line)}


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_everything_that_the_engine_names_is_pinned_with_hashes(flavour):
    locked = {name for name, _, _ in pins(flavour)}
    assert named(REQUIREMENTS / "engine.in") | {"torch"} <= locked
    assert named(REQUIREMENTS / f"{flavour}.in") <= locked


def test_flavours_have_the_right_build_of_torch():
    cpu = {(version, marker) for name, version, marker in pins("cpu") if name == "torch"}
    assert {version for version, _ in cpu} == {"2.13.0+cpu", "2.13.0"}
    (linux,) = [marker for version, marker in cpu if version.endswith("+cpu")]
    assert "linux" in linux
    assert not [name for name, _, _ in pins("cpu") if name.startswith(("nvidia-", "triton"))]
    assert [version for name, version, _ in pins("cuda") if name == "torch"] == ["2.13.0"]
    assert "nvidia-cublas" in {name for name, _, _ in pins("cuda")}


def test_developers_test_the_versions_that_users_get():
    users = {(name, version) for name, version, _ in pins("cpu")}
    assert users <= {(name, version) for name, version, _ in pins("dev")}
