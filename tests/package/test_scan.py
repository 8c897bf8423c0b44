"""The built zip passes what the plugin repository checks, and the scan finds what it must find."""

import zipfile

import pytest
import scan


def test_the_zip_passes(zip_file):
    assert scan.scan(zip_file) == {"structure": [], "bandit": [], "detect-secrets": []}


def changed(zip_file, target, **entries):
    """A copy of the zip with entries replaced, added, or (None) left out; keys are paths in the plugin."""
    with zipfile.ZipFile(zip_file) as old, zipfile.ZipFile(target, "w") as new:
        for entry in old.infolist():
            if entry.filename.split("/", 1)[1] not in entries:
                new.writestr(entry, old.read(entry))
        for name, text in entries.items():
            if text is not None:
                new.writestr(f"sits_qgis/{name}", text)
    return target


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("LICENSE", None, "LICENSE is missing"),
        ("metadata.txt", "[general]\nname=SITS plugin\nhomepage=none\n", "version is missing"),
        ("lib/fast.so", "x", "not allowed"),
        (".gitignore", "x", "hidden"),
        ("__pycache__/a.pyc", "x", "not allowed"),
        ("../evil.py", "x", "unsafe path"),
    ],
)
def test_structure_finds(zip_file, tmp_path, name, text, reason):
    found = scan.structure(changed(zip_file, tmp_path / "bad.zip", **{name: text}))
    assert any(reason in line for line in found), found


def test_a_second_top_folder_is_found(zip_file, tmp_path):
    bad = changed(zip_file, tmp_path / "bad.zip")
    with zipfile.ZipFile(bad, "a") as archive:
        archive.writestr("other/x.py", "")
    assert any("one top folder" in line for line in scan.structure(bad))


def test_bandit_and_detect_secrets_find(tmp_path):
    (tmp_path / "bad.py").write_text(
        "import pickle\n\nKEY = 'AKIA" + "IOSFODNN7EXAMPLE'\n\n\ndef load(path, token='abc'):\n"
        "    return pickle.load(open(path, 'rb'))\n"
    )
    rules = {line.split(": ")[1].split()[0] for line in scan.bandit(tmp_path)}
    assert {"B301", "B403", "B107"} <= rules
    assert any("AWS" in line for line in scan.secrets(tmp_path))
