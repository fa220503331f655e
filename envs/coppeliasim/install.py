"""What the user has to install for CoppeliaSim, whether it is there, and which RLBench it is."""

import inspect
import json
import os
import socket
import sys
from dataclasses import dataclass
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from envs.spec import InputError
from envs.suite import Suite

PYREP = "git+https://github.com/stepjam/PyRep.git"
UPSTREAM = "git+https://github.com/stepjam/RLBench.git"
FORK = "git+https://github.com/MohitShridhar/RLBench.git@peract"

# A file that tells the package from another one of its name (PyPI's `pyrep` is not PyRep).
_MARKS = {"pyrep": "robots", "rlbench": "task_environment.py"}

STEPS = f"""\
To install it (Linux only):
  1. Download CoppeliaSim 4.1.0 Edu from https://www.coppeliarobotics.com/previousVersions and unpack it.
  2. export COPPELIASIM_ROOT=/path/to/CoppeliaSim_Edu_V4_1_0_Ubuntu20_04
     export LD_LIBRARY_PATH=$LD_LIBRARY_PATH:$COPPELIASIM_ROOT
     export QT_QPA_PLATFORM_PLUGIN_PATH=$COPPELIASIM_ROOT
  3. pip install {PYREP}
  4. pip install {FORK}    (PerAct's fork, all 18 tasks)
     or pip install {UPSTREAM}    (RLBench itself, 15 of them)
  5. Without a screen: apt-get install xvfb xauth libgl1-mesa-dri libxkbcommon-x11-0, and put
     LIBGL_ALWAYS_SOFTWARE=1 xvfb-run -a -s '-screen 0 1280x1024x24 +extension GLX +render -noreset' before the command.
Licences: CoppeliaSim Edu is free for education only, RLBench for non-commercial research only.
Or leave --sim coppeliasim out: the embedded back end (--sim mujoco) needs none of this."""

DISPLAY_REMEDY = (
    "CoppeliaSim renders through an X server, also without a screen. Give it a virtual one: "
    "apt-get install xvfb xauth libgl1-mesa-dri libxkbcommon-x11-0, then "
    "LIBGL_ALWAYS_SOFTWARE=1 xvfb-run -a -s '-screen 0 1280x1024x24 +extension GLX +render -noreset' "
    "python -m envs.run ..."
)


@dataclass(frozen=True)
class Installed:
    """The RLBench that is installed.

    Attributes:
        fork: It is the PerAct fork, or another one whose planner takes a ninth number, `ignore_collisions`.
        version: Of CoppeliaSim (the one that this PyRep is for), PyRep and RLBench, with the commits that pip noted
            when it installed them from a repository, and which RLBench it is.
    """

    fork: bool
    version: str


def installed() -> Installed:
    """Finds and imports PyRep and RLBench. Does not launch the simulator.

    Raises:
        InputError: Something is missing or does not load. The message says how to install it.
    """
    if not sys.platform.startswith("linux"):
        raise InputError("PyRep drives CoppeliaSim on Linux only: leave --sim coppeliasim out.")
    if missing := [problem for name in _MARKS if (problem := _missing(name))]:
        raise InputError(f"CoppeliaSim's Python packages are not installed: {'; '.join(missing)}.\n{STEPS}")
    if problems := _environment_problems():
        raise InputError(f"CoppeliaSim is not set up: {'; '.join(problems)}.\n{STEPS}")
    try:
        pyrep, rlbench = import_module("pyrep"), import_module("rlbench")
        arm_modes = import_module("rlbench.action_modes.arm_action_modes")
        planned = arm_modes.EndEffectorPoseViaPlanning.action
    except Exception as error:  # the simulator's library, an RLBench before 1.2, a package of another NumPy: anything
        said = f"{type(error).__name__}: {error}"
        raise InputError(f"RLBench is installed but does not load ({said}).\n{STEPS}") from error
    # Not by version: the fork calls itself what upstream was called when it branched off.
    fork = "ignore_collisions" in inspect.signature(planned).parameters
    bindings = str(getattr(pyrep, "__version__", "unknown"))
    simulator = ".".join(bindings.split(".")[:3])
    flavour = "PerAct fork" if fork else "upstream"
    benchmark = getattr(rlbench, "__version__", "unknown")
    version = f"{simulator}, PyRep {bindings}{_commit('pyrep')}, RLBench {benchmark}{_commit('rlbench')} ({flavour})"
    return Installed(fork, version)


def task_class(suite: Suite, task: str) -> Any:
    """RLBench's class of a task. Call `installed` first.

    Raises:
        InputError: The installed RLBench lacks it.
    """
    found = _task_class(task)
    if found is not None:
        return found
    available = [name for name in suite.tasks if _task_class(name) is not None]
    lacking = [name for name in suite.tasks if name not in available]
    raise InputError(
        f"the installed RLBench ({installed().version}) lacks {', '.join(lacking)}. Leave them out: "
        f"--tasks {' '.join(available)}. Or install PerAct's fork, which has all {len(suite.tasks)}: "
        f"pip install --force-reinstall --no-deps {FORK}"
    )


def check_display() -> None:
    """Raises InputError where no X server answers: Qt would end the process without a word of Python's."""
    display = os.environ.get("DISPLAY", "")
    if not display:
        raise InputError(f"there is no display (DISPLAY is not set). {DISPLAY_REMEDY}")
    if not _answers(display):
        raise InputError(f"no X server answers at DISPLAY={display}. {DISPLAY_REMEDY}")


def _missing(name: str) -> str | None:
    spec = find_spec(name)
    folders = [] if spec is None else list(spec.submodule_search_locations or [])
    if any((Path(folder) / _MARKS[name]).exists() for folder in folders):
        return None
    if spec is None or spec.origin is None:  # nothing, or a mere folder of that name
        return f"no {name}"
    return f"{spec.origin} is an unrelated package of the name {name} (pip uninstall {name}, then follow the steps)"


def _commit(name: str) -> str:
    """A space and the commit's first 7 digits, where pip noted one (PEP 610); the version numbers rarely change."""
    try:
        noted = metadata.distribution(name).read_text("direct_url.json")
        commit = json.loads(noted or "{}").get("vcs_info", {}).get("commit_id", "")
    except (metadata.PackageNotFoundError, json.JSONDecodeError):
        return ""
    return f" {commit[:7]}" if commit else ""


def _environment_problems() -> list[str]:
    root = os.environ.get("COPPELIASIM_ROOT", "")
    if not root:
        return ["COPPELIASIM_ROOT is not set"]
    if not any(Path(root).glob("libcoppeliaSim.so*")):
        return [f"COPPELIASIM_ROOT={root} holds no libcoppeliaSim.so"]
    problems = []
    # Read by the dynamic loader and by Qt before Python could set them.
    if Path(root).resolve() not in _folders("LD_LIBRARY_PATH"):
        problems.append("LD_LIBRARY_PATH lacks COPPELIASIM_ROOT")
    if Path(root).resolve() not in _folders("QT_QPA_PLATFORM_PLUGIN_PATH"):
        problems.append("QT_QPA_PLATFORM_PLUGIN_PATH lacks COPPELIASIM_ROOT")
    return problems


def _folders(variable: str) -> list[Path]:
    return [Path(folder).resolve() for folder in os.environ.get(variable, "").split(os.pathsep) if folder]


def _task_class(task: str) -> Any:
    module = f"rlbench.tasks.{task}"
    try:
        found = import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        return None
    return getattr(found, "".join(word.capitalize() for word in task.split("_")))


def _answers(display: str) -> bool:
    host, _, rest = display.rpartition(":")
    if host not in ("", "unix"):
        return True  # another machine's: only a connection by X itself could tell
    number = rest.split(".")[0]
    for address in (f"\0/tmp/.X11-unix/X{number}", f"/tmp/.X11-unix/X{number}"):
        with socket.socket(socket.AF_UNIX) as server:
            try:
                server.connect(address)
            except OSError:
                continue
            return True
    return False
