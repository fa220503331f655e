import os
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from envs.coppeliasim import install
from envs.coppeliasim.env import CoppeliaEnv
from envs.spec import InputError

ROOT = Path(__file__).parents[3]
FORK_ONLY = ["slide_block_to_color_target", "sweep_to_dustpan_of_size", "place_wine_at_rack_location"]


def run(tmp_path, *flags, **environment):
    """The command line in a process of its own, in an empty folder."""
    here = tmp_path / "here"
    here.mkdir()
    command = [sys.executable, "-m", "envs.run", "--suite", "rlbench18", "--sim", "coppeliasim", *flags]
    done = subprocess.run(
        command, cwd=here, env=os.environ | {"PYTHONPATH": str(ROOT)} | environment, capture_output=True, text=True
    )
    assert list(here.iterdir()) == [], "nothing is written"
    return done


@pytest.mark.skipif(find_spec("pyrep") is not None, reason="PyRep is installed")
@pytest.mark.parametrize("policy", ["zero", "expert"])
def test_without_an_installation_the_steps_are_told(tmp_path, policy):
    done = run(tmp_path, "--policy", policy)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: ") and done.stderr.count("error: ") == 1
    for step in (
        "no pyrep; no rlbench",
        "https://www.coppeliarobotics.com/previousVersions",
        "export COPPELIASIM_ROOT",
        "export LD_LIBRARY_PATH",
        "export QT_QPA_PLATFORM_PLUGIN_PATH",
        "pip install git+https://github.com/stepjam/PyRep.git",
        "pip install git+https://github.com/stepjam/RLBench.git",
        "pip install git+https://github.com/MohitShridhar/RLBench.git@peract",
        "xvfb-run",
        "free for education only",
        "non-commercial research only",
    ):
        assert step in done.stderr, step


def test_another_package_of_the_name_is_told_apart(tmp_path):
    for name in ("pyrep", "rlbench"):
        (tmp_path / "site" / name).mkdir(parents=True)
        (tmp_path / "site" / name / "__init__.py").write_text("raise SystemError('imported')")
    done = run(tmp_path, "--policy", "zero", PYTHONPATH=f"{tmp_path / 'site'}:{ROOT}")
    assert done.returncode == 2 and "imported" not in done.stderr
    for name in ("pyrep", "rlbench"):
        assert f"{name}/__init__.py is an unrelated package of the name {name}" in done.stderr
        assert f"pip uninstall {name}" in done.stderr


PROBLEMS = {
    "COPPELIASIM_ROOT": ("", "COPPELIASIM_ROOT is not set"),
    "COPPELIASIM_ROOT ": ("/nowhere", "COPPELIASIM_ROOT=/nowhere holds no libcoppeliaSim.so"),
    "LD_LIBRARY_PATH": ("/usr/lib", "LD_LIBRARY_PATH lacks COPPELIASIM_ROOT"),
    "QT_QPA_PLATFORM_PLUGIN_PATH": ("", "QT_QPA_PLATFORM_PLUGIN_PATH lacks COPPELIASIM_ROOT"),
}


@pytest.mark.parametrize("variable", list(PROBLEMS))
def test_an_incomplete_environment_is_told(coppelia, monkeypatch, variable):
    value, message = PROBLEMS[variable]
    monkeypatch.setenv(variable.strip(), value)
    with pytest.raises(InputError, match=message) as told:
        install.installed()
    assert "export" in str(told.value)


def test_packages_that_do_not_load_are_told(coppelia, monkeypatch, tmp_path):
    old = tmp_path / "old"
    (old / "rlbench").mkdir(parents=True)
    (old / "rlbench" / "task_environment.py").touch()
    (old / "rlbench" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(old))
    with pytest.raises(InputError, match=r"does not load \(ModuleNotFoundError: No module named 'rlbench.action_modes"):
        install.installed()


@pytest.mark.parametrize("display", ["", ":4711", "unix:4711.0"])
def test_without_a_display_the_remedy_is_told(coppelia, rlbench, monkeypatch, happened, display):
    monkeypatch.setenv("DISPLAY", display)
    with pytest.raises(InputError, match="xvfb-run") as told:
        rlbench.make("turn_tap", "coppeliasim")
    assert "LIBGL_ALWAYS_SOFTWARE=1" in str(told.value) and happened() == []


def test_a_display_that_answers_is_taken(monkeypatch):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("\0/tmp/.X11-unix/X4712")
        server.listen()
        monkeypatch.setenv("DISPLAY", ":4712.0")
        install.check_display()


def test_the_flavour_is_read_from_the_api(flavour, rlbench):
    found = install.installed()
    assert found.fork is (flavour == "fork")
    assert ("PerAct fork" in found.version) is found.fork


@pytest.mark.parametrize(
    ("noted", "appended"),
    [
        ('{"url": "u", "vcs_info": {"vcs": "git", "commit_id": "0123456789abcdef"}}', " 0123456"),
        ('{"url": "file:///here", "dir_info": {}}', ""),
        ("not JSON", ""),
        (None, ""),
    ],
)
def test_the_version_has_the_commit_that_pip_noted(coppelia, monkeypatch, tmp_path, noted, appended):
    for name in ("PyRep", "rlbench"):
        info = tmp_path / "site" / f"{name}-1.2.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2.0\n")
        if noted is not None:
            (info / "direct_url.json").write_text(noted)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert install.installed().version == f"4.1.0, PyRep 4.1.0.3{appended}, RLBench 1.2.0{appended} (PerAct fork)"


def test_the_forks_own_tasks(flavour, rlbench):
    for task in rlbench.tasks:
        if flavour == "fork" or task not in FORK_ONLY:
            assert install.task_class(rlbench, task)(None, None).variation_count() == rlbench.tasks[task]
            continue
        with pytest.raises(InputError, match=", ".join(FORK_ONLY)) as told:
            rlbench.spec(task, "coppeliasim")
        named = str(told.value).split("--tasks ")[1].split(".")[0].split()
        assert named == [name for name in rlbench.tasks if name not in FORK_ONLY]
        assert install.FORK in str(told.value)


def test_fewer_variations_than_the_suite_has_are_refused(coppelia, rlbench, monkeypatch, happened):
    install.installed()  # imports RLBench
    kind = install.task_class(rlbench, "turn_tap")
    monkeypatch.setattr(kind, "variations", 1)
    with pytest.raises(InputError, match="has 1 variations of turn_tap, the suite 2"):
        rlbench.make("turn_tap", "coppeliasim")
    assert [event for _, event in happened()] == ["launch", "task turn_tap", "shutdown"]
    assert CoppeliaEnv._launched is None


def test_unknown_options_are_refused(coppelia, rlbench):
    with pytest.raises(InputError, match="Did you mean 'demos'"):
        rlbench.make("turn_tap", "coppeliasim", demo="x")
    with pytest.raises(InputError, match="takes no option demos"):
        rlbench.make("turn_tap", "mujoco", demos="x")
