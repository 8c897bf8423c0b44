"""`make scan`: what the QGIS plugin repository checks on upload, on the built zip.

Rules as observed in `design/qgis.md` B5: structure, bandit with an explicit list of rules and detect-secrets,
where every finding blocks, LOW too. Not checked: that the addresses in metadata.txt answer.
Needs bandit and detect-secrets, so run it with the developers' Python (`.venv`).
"""

from __future__ import annotations

import configparser
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

import layout

LIMIT = 25 * 1024 * 1024
REQUIRED_FILES = ("__init__.py", "metadata.txt", "LICENSE")
REQUIRED_KEYS = (
    *("name", "description", "version", "qgisMinimumVersion", "author", "email", "about"),
    *("tracker", "repository", "homepage"),
)
FORBIDDEN_NAMES = {"__pycache__", "__MACOSX", ".git"}
FORBIDDEN_SUFFIXES = {".pyc", ".pyo", ".exe", ".dll", ".so", ".dylib", ".bat", ".sh", ".ps1", ".cmd", ".pyd"}
#: The first row may never be skipped at upload; B404 (import of subprocess) is switched off there.
BANDIT_RULES = (
    "B102,B103,B105,B106,B107,B202,B301,B302,B307,B323,B501,B502,B503,B506,B602,B604,B605,B613,B615,B701,"
    "B101,B108,B110,B112,B113,B303,B310,B311,B324,B403,B603,B606,B607,B608,B614"
)


def names(archive: zipfile.ZipFile) -> list[str]:
    """Problems with the names, sizes and modes of the entries."""
    found = []
    tops = {PurePosixPath(name).parts[0] for name in archive.namelist()}
    if len(tops) != 1:
        found.append(f"one top folder is wanted, found: {', '.join(sorted(tops))}")
    found += [f"the folder {top} is no Python identifier" for top in tops if not top.isidentifier()]
    for entry in archive.infolist():
        path = PurePosixPath(entry.filename)
        if path.is_absolute() or ".." in path.parts or "\\" in entry.filename or ":" in entry.filename:
            found.append(f"{entry.filename}: unsafe path")
        if FORBIDDEN_NAMES & set(path.parts) or path.suffix.lower() in FORBIDDEN_SUFFIXES:
            found.append(f"{entry.filename}: not allowed in a plugin")
        if any(part.startswith(".") for part in path.parts):
            found.append(f"{entry.filename}: hidden file")
        if (entry.external_attr >> 16) & 0o111:
            found.append(f"{entry.filename}: executable bit")
    return found


def structure(zip_file: Path) -> list[str]:
    """Problems with the zip: size, names, required files and keys of metadata.txt."""
    found = []
    if zip_file.stat().st_size > LIMIT:
        found.append(f"{zip_file.stat().st_size / 2**20:.1f} MB, 25 MB are allowed")
    with zipfile.ZipFile(zip_file) as archive:
        found += names(archive)
        members = set(archive.namelist())
        found += [
            f"{layout.PLUGIN}/{f} is missing" for f in REQUIRED_FILES if f"{layout.PLUGIN}/{f}" not in members
        ]
        if f"{layout.PLUGIN}/metadata.txt" not in members:
            return found
        text = archive.read(f"{layout.PLUGIN}/metadata.txt").decode("utf-8")
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    general = parser["general"] if parser.has_section("general") else {}
    found += [
        f"metadata.txt: {key} is missing or empty"
        for key in REQUIRED_KEYS
        if not general.get(key, "").strip()
    ]
    for key in ("tracker", "repository", "homepage"):
        if not general.get(key, "").startswith("https://"):
            found.append(f"metadata.txt: {key} is no https address")
    if "/" in general.get("author", ""):
        found.append("metadata.txt: author holds a slash")
    if "plugin" in general.get("name", "").lower():
        found.append("metadata.txt: the name holds the word 'plugin'")
    return found


def bandit(folder: Path) -> list[str]:
    """Findings of bandit, one line each. Every rule of the list blocks an upload."""
    command = [sys.executable, "-m", "bandit", "-q", "-r", ".", "-f", "json", "-t", BANDIT_RULES]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if run.returncode not in (0, 1):
        raise SystemExit(f"bandit failed: {run.stderr}")
    report = json.loads(run.stdout)
    lines = [
        f"{hit['filename']}:{hit['line_number']}: {hit['test_id']} {hit['issue_text']}"
        for hit in report["results"]
    ]
    return lines + [f"{bad['filename']}: bandit can't read it: {bad['reason']}" for bad in report["errors"]]


def secrets(folder: Path) -> list[str]:
    """Findings of detect-secrets in all files but metadata.txt. Its exit status is always 0."""
    command = [sys.executable, "-m", "detect_secrets", "scan", "--all-files", "--no-verify"]
    command += ["--exclude-files", r"(^|/)metadata\.txt$", "."]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    results = json.loads(run.stdout)["results"]
    return [f"{name}:{hit['line_number']}: {hit['type']}" for name, hits in results.items() for hit in hits]


def scan(zip_file: Path) -> dict[str, list[str]]:
    """Findings by tool; empty lists where all is well."""
    found = {"structure": structure(zip_file)}
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(zip_file) as archive:
            archive.extractall(folder)
        found["bandit"] = bandit(Path(folder))
        found["detect-secrets"] = secrets(Path(folder))
    return found


def main() -> int:
    """Scan the zip named on the command line, or the one that `make zip` made."""
    default = layout.ROOT / "dist" / f"{layout.PLUGIN}-{layout.version()}.zip"
    zip_file = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    found = scan(zip_file)
    for tool, lines in found.items():
        print(f"{tool}: {'nothing found' if not lines else f'{len(lines)} findings'}")
        for line in lines:
            print(f"  {line}")
    return 1 if any(found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
