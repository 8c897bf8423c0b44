"""Making the engine's environment, with a stand-in for uv and for the engine."""

import json
import threading
from pathlib import Path

import pytest
from fake_uv import FakeUv
from processes import gone_within, wait_for
from qgis.core import QgsProcessingException
from recording import Recording


@pytest.fixture
def fake_uv(home, tmp_path, monkeypatch, fake_engine):
    """uv on PATH is the stand-in, and the engine is the fake one."""
    from sits_qgis import about

    fake = FakeUv(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{fake.folder}:/usr/bin:/bin")
    monkeypatch.setattr(about, "ENGINE_START", fake_engine)
    for name in ("PIP_FIND_LINKS", "UV_FIND_LINKS", "UV_CACHE_DIR", "FAKE_ENGINE"):
        monkeypatch.delenv(name, raising=False)
    return fake


def set_up(feedback=None, repair=False, **options):
    from sits_qgis.setup import install, plan

    feedback = feedback or Recording()
    return install.set_up(plan.Plan(**{"flavour": "cpu", **options}), feedback, repair), feedback


def test_it_makes_an_environment_and_remembers_it(qgis_app, fake_uv, home):
    from sits_qgis import environment

    made, feedback = set_up()
    assert environment.find() == made
    assert made.folder == str(environment.folder("cpu"))
    assert Path(made.folder).is_relative_to(home)
    venv, pip = fake_uv.calls
    assert venv[-1] == made.folder
    assert venv[venv.index("--python") + 1] == "3.11"
    assert "--require-hashes" in pip
    assert pip[pip.index("--only-binary") + 1] == ":all:"
    assert pip[-1] == str(environment.lock_file("cpu"))
    assert feedback.progress == sorted(feedback.progress)
    assert feedback.progress[-1] == 100
    # Sizes, sources and folder are said before anything is done.
    first = [text for kind, text in feedback.said if kind == "info"][:5]
    assert feedback.said[:5] == [("info", text) for text in first]
    assert any(made.folder in text for text in first)
    assert any("GiB" in text for text in first)
    assert any("pypi.org" in text for text in first)


def test_a_second_run_only_checks(qgis_app, fake_uv):
    first, _ = set_up()
    count = len(fake_uv.calls)
    second, feedback = set_up()
    assert second == first
    assert len(fake_uv.calls) == count
    assert any("ready already" in text for text in feedback.texts("info"))


def test_repair_makes_it_anew(qgis_app, fake_uv):
    made, _ = set_up()
    damage = Path(made.folder) / "damage"
    damage.write_text("")
    set_up(repair=True)
    assert not damage.exists()
    assert len(fake_uv.calls) == 4


def test_cancel_kills_the_installer_and_the_next_run_completes(qgis_app, fake_uv):
    from sits_qgis import environment

    fake_uv.order("slow")
    feedback = Recording()
    # As a person would: when the download has begun.
    waiter = threading.Thread(target=lambda: (wait_for(lambda: fake_uv.pid), feedback.cancel()))
    waiter.start()
    with pytest.raises(QgsProcessingException, match="Cancelled"):
        set_up(feedback)
    waiter.join()
    assert gone_within([fake_uv.pid], 1.0)
    assert not environment.is_ready(environment.folder("cpu"))
    assert environment.folder("cpu").is_dir()
    fake_uv.order("")
    made, _ = set_up()
    assert environment.is_ready(made.folder)


def test_a_source_that_is_out_of_reach_gets_advice(qgis_app, fake_uv):
    from sits_qgis import environment

    fake_uv.order("offline")
    with pytest.raises(QgsProcessingException, match="proxy in QGIS's options") as caught:
        set_up()
    assert "dns error" in str(caught.value)
    assert not environment.is_ready(environment.folder("cpu"))
    assert environment.recorded() is None


def test_no_python(qgis_app, fake_uv):
    fake_uv.order("nopython")
    with pytest.raises(QgsProcessingException, match=r"No Python 3\.11 was found"):
        set_up()


@pytest.mark.parametrize(
    ("behave", "reason"), [("stillborn", "No module named torch"), ("incomplete", "packages torch")]
)
def test_an_engine_that_does_not_run_is_not_ready(qgis_app, fake_uv, monkeypatch, behave, reason):
    from sits_qgis import environment

    monkeypatch.setenv("FAKE_ENGINE", json.dumps({"behave": behave}))
    with pytest.raises(QgsProcessingException, match=reason):
        set_up()
    assert not environment.is_ready(environment.folder("cpu"))
    assert environment.recorded() is None


def test_two_at_once_the_second_waits_and_finds_it_ready(qgis_app, fake_uv):
    from sits_qgis.setup.lock import exclusive

    waiting = Recording()
    results = []
    with exclusive(Recording()):
        second = threading.Thread(target=lambda: results.append(set_up(waiting)))
        second.start()
        wait_for(lambda: any("Another 'Set up engine'" in text for text in waiting.texts("info")))
        assert fake_uv.calls == []
    second.join(timeout=20)
    assert results
    assert len(fake_uv.calls) == 2
    assert any("process " in text for text in waiting.texts("info"))


def test_waiting_can_be_cancelled(qgis_app, fake_uv):
    from sits_qgis.setup.lock import exclusive

    with exclusive(Recording()), pytest.raises(QgsProcessingException, match="Cancelled while waiting"):
        set_up(Recording(cancel_after=0.3))


def test_a_drive_without_locks_does_not_stop_it(qgis_app, fake_uv, monkeypatch):
    import errno
    import fcntl

    def refuse(handle, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert set_up(Recording(cancel_after=20))[0].flavour == "cpu"


def test_cuda_that_finds_no_card_says_that_it_uses_the_cpu(qgis_app, fake_uv, monkeypatch):
    from sits_qgis.setup import plan

    monkeypatch.setattr(plan.platform, "machine", lambda: "x86_64")
    _, feedback = set_up(flavour="cuda")
    assert any("No NVIDIA card can be used" in text for text in feedback.texts("warning"))
    _, feedback = set_up(flavour="cpu")
    assert not any("NVIDIA" in text for text in feedback.texts("warning"))


def test_old_environments_are_removed_on_wish(qgis_app, fake_uv):
    from sits_qgis.home import envs
    from sits_qgis.setup import install, plan

    old = envs() / "cpu-0123456789ab"
    old.mkdir(parents=True)
    plan.cache().mkdir(parents=True)
    made, feedback = set_up()
    install.remove_old(made, feedback)
    assert [path.name for path in envs().iterdir()] == [Path(made.folder).name]
    assert not plan.cache().exists()


def test_offline_uses_the_folder_alone(qgis_app, fake_uv, tmp_path):
    wheels = tmp_path / "mes paquets"
    wheels.mkdir()
    set_up(links=(str(wheels),), offline=True)
    _, feedback = set_up(links=(str(wheels),), offline=True)
    assert any("nothing from the internet" in text for text in feedback.texts("info"))
    assert not any("download" in text for text in feedback.texts("info"))
    pip = fake_uv.calls[-1]
    assert pip[pip.index("--find-links") + 1] == str(wheels)
    assert {"--no-index", "--offline"} <= set(pip)
    assert "--extra-index-url" not in pip


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"offline": True}, "Offline needs a folder of wheels"),
        ({"links": ("/nowhere/wheels",)}, "/nowhere/wheels does not exist"),
    ],
)
def test_what_can_be_known_before_is_checked_before(qgis_app, fake_uv, options, reason):
    with pytest.raises(QgsProcessingException, match=reason):
        set_up(**options)
    assert fake_uv.calls == []


def test_too_little_space_is_told_before_the_download(qgis_app, fake_uv, monkeypatch):
    import shutil
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1, 1, 1 << 29))
    with pytest.raises(QgsProcessingException, match=r"only 0\.5 GiB free.*SITS_QGIS_HOME"):
        set_up()
    assert fake_uv.calls == []


def test_a_home_that_is_not_writable_is_named(qgis_app, fake_uv, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SITS_QGIS_HOME", str(tmp_path / "file"))
    with pytest.raises(QgsProcessingException, match=f"{tmp_path / 'file'} can't be written to"):
        set_up()


@pytest.mark.parametrize("variable", ["PIP_FIND_LINKS", "UV_FIND_LINKS"])
def test_folders_of_wheels_come_from_the_variables_too(fake_uv, monkeypatch, variable):
    from sits_qgis.setup import plan

    monkeypatch.setenv(variable, "/a/wheels")
    assert plan.links("/mine") == ("/mine", "/a/wheels")
    assert plan.links() == ("/a/wheels",)
    monkeypatch.setenv(variable, "https://mirror.lan/wheels")
    assert plan.links("wheels") == (str(Path("wheels").absolute()), "https://mirror.lan/wheels")


def test_the_index_of_pytorch_is_asked_only_where_needed(fake_uv, tmp_path, monkeypatch):
    from sits_qgis.setup import plan

    monkeypatch.setattr(plan.sys, "platform", "linux")
    monkeypatch.setattr(plan.platform, "machine", lambda: "x86_64")
    assert plan.TORCH_CPU_INDEX in plan.Plan("cpu").sources()
    assert plan.Plan("cuda").sources() == []
    links = (str(tmp_path),)
    assert plan.TORCH_CPU_INDEX in plan.Plan("cpu", links).sources()
    (tmp_path / "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl").write_text("")
    assert plan.Plan("cpu", links).sources() == ["--find-links", str(tmp_path)]
    monkeypatch.setattr(plan.sys, "platform", "darwin")
    assert plan.Plan("cpu").sources() == []
    with pytest.raises(QgsProcessingException, match="no CUDA on macOS"):
        plan.Plan("cuda").check()


@pytest.mark.parametrize(
    ("system", "machine", "flavour"),
    [("win32", "AMD64", "cuda"), ("linux", "aarch64", "cpu"), ("linux", "aarch64", "cuda")],
)
def test_a_system_without_a_locked_pytorch_is_told_to_bring_its_own(
    home, monkeypatch, system, machine, flavour
):
    from sits_qgis.setup import plan

    monkeypatch.setattr(plan.sys, "platform", system)
    monkeypatch.setattr(plan.platform, "machine", lambda: machine)
    with pytest.raises(QgsProcessingException, match="own"):
        plan.Plan(flavour).check()


def test_the_installer_gets_no_settings_of_other_environments(fake_uv, monkeypatch):
    from sits_qgis.setup import plan

    for name in ("VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONHOME"):
        monkeypatch.setenv(name, "/x")
    monkeypatch.setenv("PIP_INDEX_URL", "https://mirror.lan/simple")
    variables = plan.Plan("cpu").variables()
    assert not {"VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONHOME"} & set(variables)
    assert variables["UV_DEFAULT_INDEX"] == "https://mirror.lan/simple"


def own(tmp_path, text):
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_an_interpreter_of_the_users_own_is_tried_first(qgis_app, fake_uv, tmp_path):
    from sits_qgis import environment
    from sits_qgis.setup import install

    for text, reason in (
        ("echo 3.9", "Python 3.9, 3.11 or newer"),
        ("exit 1", "no Python that can be started"),
    ):
        with pytest.raises(QgsProcessingException, match=reason):
            install.use_interpreter(own(tmp_path, text), Recording())
    assert environment.recorded() is None
    made = install.use_interpreter(own(tmp_path, 'exec /usr/bin/python3 "$@"'), Recording())
    assert made == environment.Environment(str(tmp_path / "python"), "own")
    assert environment.find() == made


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("error: failed to write: No space left on device (os error 28)", "disk is full"),
        ("error: Hash mismatch for `numpy==2.4`", "expected checksum"),
        ("error: tunnel error: unsuccessful, 407 Proxy Authentication Required", "proxy"),
        ("  × No solution found when resolving dependencies", "is missing where it was looked for"),
        ("error: Permission denied (os error 13)", "can't be written to"),
        ("error: something new", "Run 'Set up engine' again"),
    ],
)
def test_failures_are_explained(said, advice):
    from sits_qgis.setup.install import explain

    text = explain(["Resolved 80 packages", said])
    assert advice in text
    assert said in text
