"""What a newcomer relies on: the set-up script, the README's commands and example, declared dependencies."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("envs", "model", "policies", "results", "train")
SETUP = ROOT / "setup.sh"
README = (ROOT / "README.md").read_text()


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def requirements():
    extras = project()["optional-dependencies"]
    return [Requirement(line) for lines in (project()["dependencies"], *extras.values()) for line in lines]


def shell(*command, **environment):
    done = subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env=os.environ | {name: str(value) for name, value in environment.items()},
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def checkout(tmp_path):
    """A checkout whose virtual environment is ready and whose tools only log that they were called.

    A tool fails when its call contains the text in FAIL.
    """
    for name in ("setup.sh", "pyproject.toml", ".ci"):
        (shutil.copytree if name == ".ci" else shutil.copy)(ROOT / name, tmp_path / name)
    bin_folder = tmp_path / ".venv/bin"
    bin_folder.mkdir(parents=True)
    for tool in ("python", "pip", "ruff", "mypy"):
        (bin_folder / tool).write_text(
            f'#!/bin/bash\necho "{tool} $*" >>calls\n'
            "[[ $* == - ]] && cat >/dev/null\n"
            f'[[ -z ${{FAIL:-}} || "{tool} $*" != *"$FAIL"* ]]\n'
        )
        (bin_folder / tool).chmod(0o755)
    (tmp_path / "calls").touch()
    marker = subprocess.check_output("cat pyproject.toml setup.sh | cksum", shell=True, text=True, cwd=tmp_path)
    (tmp_path / ".venv/.installed").write_text(marker)
    return tmp_path


def test_scripts_are_executable_and_parse():
    for script in (SETUP, ROOT / ".ci/run"):
        assert os.access(script, os.X_OK), script
        assert shell("bash", "-n", script)[0] == 0


def test_readme_offers_the_commands_that_exist():
    assert "\n./setup.sh run " in README
    assert "\n./setup.sh test " in README
    assert "./setup.sh test" in (ROOT / ".ci/run").read_text()


def test_unknown_command_is_refused():
    code, _, errors = shell(SETUP, "tset")
    assert code == 2
    assert "unknown command tset" in errors


def test_ready_environment_is_left_alone(checkout):
    code, output, errors = shell(checkout / "setup.sh", VENV=".venv")
    assert (code, errors) == (0, "")
    calls = (checkout / "calls").read_text()
    assert "install" not in calls
    assert "ready" in output


def test_changed_dependencies_are_installed(checkout):
    (checkout / "pyproject.toml").write_text("# changed\n")
    assert shell(checkout / "setup.sh", VENV=".venv")[0] == 0
    assert "pip install --quiet -e .[sim-mujoco,torch,dev]" in (checkout / "calls").read_text()
    (checkout / "calls").write_text("")
    assert shell(checkout / "setup.sh", VENV=".venv")[0] == 0
    assert "install" not in (checkout / "calls").read_text()


def test_run_starts_the_main_job_with_more_options(checkout):
    assert shell(checkout / "setup.sh", "run", "--tasks", "turn_tap", VENV=".venv")[0] == 0
    last = (checkout / "calls").read_text().splitlines()[-1]
    assert last == "python -m envs.run --suite rlbench18 --policy drifting --quick --workers 2 --tasks turn_tap"


STEPS = ("ruff check", "ruff format --check", "mypy", "python -m results.leaderboard --check", "python -m pytest")


def test_ci_runs_every_check(checkout):
    assert shell(checkout / ".ci/run", VENV=".venv")[0] == 0
    calls = (checkout / "calls").read_text()
    positions = [calls.index(step) for step in STEPS]
    assert positions == sorted(positions)


@pytest.mark.parametrize("step", STEPS)
def test_ci_fails_with_any_check(checkout, step):
    code, _, _ = shell(checkout / ".ci/run", VENV=".venv", FAIL=step)
    assert code != 0
    assert step in (checkout / "calls").read_text().splitlines()[-1]


def test_too_old_python_is_named(tmp_path):
    for name in ("python3.11", "python3.12", "python3.13", "python3"):
        (tmp_path / name).write_text("#!/bin/bash\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    code, _, errors = shell(SETUP, VENV=tmp_path / "venv", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert code == 1
    assert "no Python 3.11, 3.12 or 3.13" in errors
    assert not (tmp_path / "venv").exists()


def test_missing_libraries_name_the_command_for_users_who_are_not_root(checkout):
    fakes = checkout / "fakes"
    fakes.mkdir()
    for name, text in (("id", "echo 1000"), ("apt-get", "exit 1")):
        (fakes / name).write_text(f"#!/bin/bash\n{text}\n")
        (fakes / name).chmod(0o755)
    path = f"{fakes}:{os.environ['PATH']}"
    # "python -" is the rendering check.
    (checkout / ".venv/bin/python").write_text("#!/bin/bash\n[[ $1 == - ]] && cat >/dev/null && exit 1\nexit 0\n")
    code, _, errors = shell(checkout / "setup.sh", VENV=".venv", PATH=path)
    assert code == 1
    assert "sudo apt-get install -y libegl1 libegl-mesa0" in errors


def test_every_requirement_is_bounded_on_both_sides():
    for requirement in requirements():
        signs = {specifier.operator for specifier in requirement.specifier}
        assert signs == {">=", "<"}, requirement


def test_torch_of_the_setup_is_allowed():
    (version,) = re.findall(r"^TORCH=(\S+)$", SETUP.read_text(), re.M)
    torch = [requirement for requirement in requirements() if requirement.name == "torch"]
    assert torch and all(version in requirement.specifier for requirement in torch)


def test_every_import_is_declared():
    declared = {requirement.name.lower().replace("_", "-") for requirement in requirements()}
    distributions = packages_distributions()
    undeclared = set()
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                modules = [node.module]
            for name in {module.split(".")[0] for module in modules}:
                if name in sys.stdlib_module_names or name in PACKAGES:
                    continue
                owners = {owner.lower().replace("_", "-") for owner in distributions.get(name, [name])}
                if not owners & declared:
                    undeclared.add(f"{path.relative_to(ROOT)}: {name}")
    # The user's own CoppeliaSim and the specified backbone are not ours to install.
    optional = {"pyrep", "rlbench", "transformers"}
    assert {entry for entry in undeclared if entry.split(": ")[1] not in optional} == set()


@pytest.mark.parametrize(
    "module", ["model.actions", "envs.spec", "envs.suite", "policies.base", "results.leaderboard", "results.records"]
)
def test_interfaces_and_results_need_neither_torch_nor_a_simulator(module):
    code = f"import sys, {module}; print(sorted(sys.modules.keys() & {{'torch', 'mujoco'}}))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True, cwd=ROOT).strip() == "[]"


def python_examples() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README, re.S)


@pytest.mark.sim
def test_gymnasium_loop_of_the_readme_works():
    _, example = python_examples()
    ending = "print('reward', reward, 'success', info['success'])"
    code, output, errors = shell(sys.executable, "-c", f"{example}\n{ending}", PYTHONPATH=str(ROOT))
    assert code == 0, output + errors
    assert re.search(r"^reward (1.0 success True|0.0 success False)$", output, re.M), output


def test_policy_of_the_readme_works(tmp_path):
    example, _ = python_examples()
    (tmp_path / "my_pkg").mkdir()
    (tmp_path / "my_pkg/mine.py").write_text(example)
    command = [sys.executable, "-m", "envs.run", "--suite", "mock", "--policy", "my_pkg.mine:MyPolicy"]
    command += ["--episodes", "1", "--out", tmp_path / "record.jsonl"]
    code, output, errors = shell(*command, PYTHONPATH=f"{tmp_path}:{ROOT}")
    assert code == 0, output + errors
    assert (tmp_path / "record.jsonl").read_text().count('"kind":"episode"') == 2


def test_links_of_the_readme_exist():
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert targets
    for target in targets:
        assert (ROOT / target).exists(), target
