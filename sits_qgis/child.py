"""Start programs outside QGIS: a clean environment, an own process group, and no survivors."""

import contextlib
import os
import signal
import subprocess  # nosec B404
import sys
from pathlib import Path

#: Variables that make a foreign Python, PROJ, GDAL or loader pick up QGIS's files.
FOREIGN = ("PYTHON", "PROJ", "GDAL", "LD_", "DYLD_")
#: What begins like them but holds a user's settings for networks and memory. Those that name no files of
#: QGIS (AWS_, CPL_, VSI_, CURL_, proxies and certificates) pass in any case.
SETTINGS = ("GDAL_HTTP_", "GDAL_CURL_", "GDAL_CACHEMAX")
WINDOWS = sys.platform == "win32"


def clean_environment(environ=None, extra=None):
    """Copy of `environ` (default: our own) without QGIS's settings, plus `extra` variables."""
    environ = dict(os.environ if environ is None else environ)
    roots = _qgis_roots(environ)
    clean = {
        k: v
        for k, v in environ.items()
        if not k.upper().startswith(FOREIGN) or k.upper().startswith(SETTINGS)
    }
    if WINDOWS:
        for name in [k for k in clean if k.upper() == "PATH"]:
            clean[name] = outside(clean[name], roots)
    clean.update(extra or {})
    return clean


def _qgis_roots(environ):
    """Folders of the QGIS installation on Windows: its DLLs must not be found by the child."""
    roots = [environ[k] for k in environ if k.upper() == "OSGEO4W_ROOT"]
    prefix = next((environ[k] for k in environ if k.upper() == "QGIS_PREFIX_PATH"), None)
    if prefix:
        roots.append(str(Path(prefix).parent.parent))
    return roots


def outside(path, roots):
    """`path` (a PATH value) without the entries that lie in one of `roots`."""

    def norm(entry):
        return os.path.normcase(os.path.normpath(entry.strip().strip('"')))

    bad = [norm(root) for root in roots if root.strip()]
    kept = [
        entry
        for entry in path.split(os.pathsep)
        if entry and not any(norm(entry) == root or norm(entry).startswith(root + os.sep) for root in bad)
    ]
    return os.pathsep.join(kept)


def start(command, environment, cwd=None):
    """Start `command` (a list, no shell) with three pipes in a process group of its own.

    Raises:
        OSError: the program is missing or may not be run.
    """
    options = {}
    if WINDOWS:
        options["creationflags"] = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
    else:
        options["start_new_session"] = True
    return subprocess.Popen(  # nosec B603 - a list, no shell; the program is the engine or its installer
        [str(part) for part in command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        cwd=None if cwd is None else str(cwd),
        **options,
    )


def terminate_group(process):
    """Ask the process and its children to end."""
    _signal_group(process, force=False)


def kill_group(process):
    """End the process and its children at once."""
    _signal_group(process, force=True)


def _signal_group(process, force):
    if WINDOWS:
        if process.poll() is not None:
            return
        # Windows has no signals between groups; taskkill takes the whole tree.
        command = ["taskkill", "/T", "/PID", str(process.pid)] + (["/F"] if force else [])
        subprocess.run(command, capture_output=True, check=False)  # nosec B603 B607
        return
    # The group outlives its leader while children run, so it is tried even when the leader is gone.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL if force else signal.SIGTERM)
