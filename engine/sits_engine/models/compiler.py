"""C++ compilers: which one makes libraries of `models/*.cpp` for the processor at hand, and how.

The engine brings one as a package (`ziglang`: Clang with what it needs to make a library), so that there is
one on every Windows, macOS and Linux machine, and the same everywhere. It keeps what it made, by source,
options and processor, in the engine's folder (or ZIG_GLOBAL_CACHE_DIR); other compilers make a library anew
for each process.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess  # nosec B404
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from sits_engine.home import home

OPTIONS = ("-O3", "-std=c++17", "-fno-exceptions", "-fno-rtti")
#: Seconds. Zig's first library on Windows takes a minute or two: it makes the C library's parts first.
LONGEST = 300.0


@dataclass(frozen=True)
class Compiler:
    """A compiler that is at hand.

    Attributes:
        name: its name, with the version where it is a package.
        compile: command that makes an object of a source, without the names of the files.
        link: command that makes a library of the object.
        keeps: variables that tell it where to keep what it makes.
        kept: folder for that; None: nowhere.
    """

    name: str
    compile: Sequence[str]
    link: Sequence[str]
    keeps: Sequence[str] = ()
    kept: Path | None = None

    def library(self, source: Path, folder: Path) -> Path:
        """Make a library in `folder`; returns its path.

        Raises:
            OSError: it can't be run.
            subprocess.SubprocessError: it fails, or takes too long.
        """
        made, result = folder / "object.o", folder / "library.so"
        self._run([*self.compile, "-c", str(source), "-o", str(made)], folder)
        self._run([*self.link, "-shared", str(made), "-o", str(result)], folder)
        return result

    def _run(self, command: Sequence[str], folder: Path) -> None:
        subprocess.run(  # nosec B603 - a list, no shell; our package's compiler or the user's own
            command,
            check=True,
            capture_output=True,
            timeout=LONGEST,
            stdin=subprocess.DEVNULL,
            cwd=folder,
            env={**os.environ, **dict.fromkeys(self.keeps, str(self.kept or folder))},
        )


def compilers() -> list[Compiler]:
    """Compilers to try, the best first: only the one that the variable CXX names, else Zig, GCC, Clang.

    CXX=none, or the name of anything that isn't there, means none.
    """
    named = os.environ.get("CXX")
    if named:
        program, *options = shlex.split(named)
        path = shutil.which(program)
        return [_of_system(path, *options)] if path else []
    system = (shutil.which(name) for name in ("g++", "clang++"))
    zig = _zig()
    return [*([zig] if zig else []), *(_of_system(path) for path in system if path)]


def _of_system(path: str, *options: str) -> Compiler:
    command = [path, *options]
    compiling = [*command, *OPTIONS, "-march=native", *_position_independent()]
    return Compiler(" ".join([Path(path).name, *options]), compiling, command)


def _zig() -> Compiler | None:
    found = util.find_spec("ziglang")
    if found is None or found.origin is None:
        return None
    program = Path(found.origin).with_name("zig.exe" if sys.platform == "win32" else "zig")
    # Names of the C library are found in the process that loads the library; Zig would first make its own
    # parts of it, for 20 s.
    alone = ["-nostdlib"] if sys.platform == "linux" else []
    return Compiler(
        f"Zig {metadata.version('ziglang')}",
        # Without a target it compiles for the processor at hand.
        [str(program), "c++", *OPTIONS, *_position_independent()],
        [str(program), "cc", *alone],
        ("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR"),
        _kept(),
    )


def _kept() -> Path | None:
    """Where Zig keeps libraries; None where nothing can be written."""
    folder = Path(os.environ.get("ZIG_GLOBAL_CACHE_DIR") or home() / "compiler").absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


def _position_independent() -> list[str]:
    return [] if sys.platform == "win32" else ["-fPIC"]
