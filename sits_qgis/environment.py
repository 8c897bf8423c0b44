"""Which Python runs the engine: the one made by 'Set up engine', or an interpreter of the user's own."""

import hashlib
import json
import os
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from . import about
from .home import engine_record, envs
from .i18n import tr

FLAVOURS = ("cpu", "cuda")
#: Written last into a finished environment; without it the folder is a leftover.
READY = "sits-ready.json"
#: Names an interpreter for this run only, before everything else: for servers and tests.
VARIABLE = "SITS_QGIS_INTERPRETER"


class EngineMissing(Exception):
    """There is no engine to run; the text is one sentence that says what to do."""


@dataclass(frozen=True)
class Environment:
    """A Python that runs the engine. `flavour` is 'cpu', 'cuda' or 'own'; `folder` is '' for an own one."""

    interpreter: str
    flavour: str
    folder: str = ""


def lock_file(flavour):
    """The lock file of a flavour: hashed pins of everything that is installed."""
    return about.REQUIREMENTS / f"{flavour}.txt"


def folder(flavour):
    """Folder of the environment that belongs to this plugin's lock file of `flavour`."""
    # Line ends may differ between a checkout and a zip; the pins are the same.
    digest = hashlib.sha256(lock_file(flavour).read_bytes().replace(b"\r\n", b"\n")).hexdigest()
    return envs() / f"{flavour}-{digest[:12]}"


def python_of(env_folder):
    """Path of the interpreter in an environment's folder."""
    inside = ("Scripts", "python.exe") if sys.platform == "win32" else ("bin", "python")
    return Path(env_folder).joinpath(*inside)


def is_ready(env_folder):
    """True if an environment was finished and its interpreter is still there."""
    return (Path(env_folder) / READY).is_file() and python_of(env_folder).is_file()


def remember(environment):
    """Make `environment` the one that runs the engine."""
    path = engine_record()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(asdict(environment), indent=2), encoding="utf-8")
    os.replace(temporary, path)


def recorded():
    """The environment that was set up last, whether or not it still works; None if there was none."""
    try:
        record = json.loads(engine_record().read_text(encoding="utf-8"))
        return Environment(record["interpreter"], record["flavour"], record.get("folder", ""))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def find():
    """The environment that runs the engine.

    Raises:
        EngineMissing: none was set up, it was removed, or it belongs to another version of the plugin.
    """
    own = os.environ.get(VARIABLE)
    if own:
        # A name without a path is looked up, as a shell would.
        path = shutil.which(own)
        if path is None:
            text = tr(
                "The variable {variable} names {path}, which is no program: correct it, or unset it and run "
                "'Set up engine' (sits:setupengine)."
            )
            raise EngineMissing(text.format(variable=VARIABLE, path=own))
        return Environment(path, "own")
    environment = recorded()
    if environment is None:
        raise EngineMissing(
            tr("The engine is not set up yet: run the algorithm 'Set up engine' (sits:setupengine) once.")
        )
    if environment.flavour == "own":
        if not Path(environment.interpreter).is_file():
            text = tr(
                "The engine's interpreter {path} is gone: run the algorithm 'Set up engine' "
                "(sits:setupengine) again."
            )
            raise EngineMissing(text.format(path=environment.interpreter))
        return environment
    if not is_ready(environment.folder):
        text = tr(
            "The engine in {folder} is gone or incomplete: run the algorithm 'Set up engine' "
            "(sits:setupengine) again."
        )
        raise EngineMissing(text.format(folder=environment.folder))
    if Path(environment.folder) != folder(environment.flavour):
        raise EngineMissing(
            tr(
                "The engine was made for another version of this plugin: run the algorithm 'Set up engine' "
                "(sits:setupengine) once more."
            )
        )
    return environment
