"""RLBench-18: the embedded MuJoCo back end (default), or the user's own CoppeliaSim (`envs.coppeliasim`)."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envs import coppeliasim
from envs.spec import Env, Episode, InputError, TaskSpec
from envs.suite import Suite

if TYPE_CHECKING:
    from envs.rlbench.tracer import Tracer

TRACED = ("mujoco",)  # back ends whose failures can be explained, see `make_tracer`

if sys.platform == "linux":
    # Read when mujoco is first imported: without a display only off-screen back ends work.
    os.environ.setdefault("MUJOCO_GL", "egl")

RENDERING_REMEDY = (
    "Debian/Ubuntu: apt-get install libegl1 libegl-mesa0 libgl1-mesa-dri and leave MUJOCO_GL unset; "
    "or apt-get install libosmesa6 and set MUJOCO_GL=osmesa."
)


def make(suite: Suite, task: str, sim: str, options: dict[str, Any]) -> Env:
    """Builds a task's environment.

    Args:
        suite: The suite.
        task: Task name.
        sim: "mujoco" or "coppeliasim".
        options: Of CoppeliaSim: `demos`, a folder; see `envs.coppeliasim.make`.

    Raises:
        InputError: An unknown option, the simulator's packages are missing, or it cannot render off screen.
    """
    if sim == coppeliasim.SIM:
        return coppeliasim.make(suite, task, options)
    if options:
        raise InputError(f"the embedded back end takes no option {', '.join(options)}; leave it out.")
    need_mujoco()
    from envs.rlbench.env import MujocoEnv
    from envs.rlbench.tasks import load

    return MujocoEnv(suite, load(task))


def task_spec(suite: Suite, task: str, sim: str) -> TaskSpec:
    """The facts of a task without opening the simulator.

    Raises:
        InputError: The simulator's packages are missing.
    """
    if sim == coppeliasim.SIM:
        return coppeliasim.task_spec(suite, task)
    need_mujoco()
    from envs.rlbench.env import task_spec as spec
    from envs.rlbench.tasks import load

    return spec(suite, load(task))


def stored_episodes(suite: Suite, sim: str, demos: Path, episodes: Sequence[Episode]) -> tuple[list[Episode], str]:
    """See `Suite.with_demos`.

    Raises:
        InputError: The embedded back end has no stored demonstrations, or the folder lacks one.
    """
    if sim != coppeliasim.SIM:
        raise InputError("the embedded back end draws its episodes itself: leave --demos out or add --sim coppeliasim.")
    return coppeliasim.stored_episodes(suite, demos, episodes)


def make_tracer(suite: Suite, task: str, sim: str) -> "Tracer":
    """What plays a task's episodes for the analysis of failures.

    Raises:
        InputError: Not the embedded back end, the simulator's packages are missing, or it cannot render off screen.
    """
    if sim not in TRACED:
        raise InputError(f"only the embedded back end has expert keyframes, not {sim!r}: give a record of it.")
    need_mujoco()
    from envs.rlbench.tracer import Tracer

    return Tracer(suite, task)


def need_mujoco() -> None:
    """Makes sure that MuJoCo is there and can render off screen.

    Raises:
        InputError: It is not; the message names the packages.
    """
    try:
        import mujoco  # noqa: F401
    except ModuleNotFoundError as error:
        raise InputError(
            f"the embedded simulator needs the package {error.name}. Install: pip install -e '.[sim-mujoco]' "
            "(or run ./setup.sh)"
        ) from error
    except Exception as error:  # it loads its GL library here, and what is missing fails in many ways
        raise InputError(f"MuJoCo's off-screen rendering does not load ({error}). {RENDERING_REMEDY}") from error
