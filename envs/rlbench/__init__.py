"""RLBench-18 on its embedded MuJoCo back end."""

import os
import sys
from typing import Any

from envs.spec import Env, InputError, TaskSpec
from envs.suite import Suite

if sys.platform == "linux":
    # Read when mujoco is first imported: without a display only off-screen back ends work.
    os.environ.setdefault("MUJOCO_GL", "egl")


def make(suite: Suite, task: str, sim: str, options: dict[str, Any]) -> Env:
    """Builds a task's environment.

    Args:
        suite: The suite.
        task: Task name.
        sim: "mujoco".
        options: None are known.

    Raises:
        InputError: An unknown option, or the simulator's packages are missing.
    """
    if options:
        raise InputError(f"the embedded back end takes no option {', '.join(options)}; leave it out.")
    _need_mujoco()
    from envs.rlbench.env import MujocoEnv
    from envs.rlbench.tasks import load

    return MujocoEnv(suite, load(task))


def task_spec(suite: Suite, task: str, sim: str) -> TaskSpec:
    """The facts of a task without opening the simulator.

    Raises:
        InputError: The simulator's packages are missing.
    """
    _need_mujoco()
    from envs.rlbench.env import task_spec as spec
    from envs.rlbench.tasks import load

    return spec(suite, load(task))


def _need_mujoco() -> None:
    try:
        import mujoco  # noqa: F401
    except ImportError as error:
        raise InputError(
            "the embedded RLBench needs MuJoCo. Install: pip install -e '.[sim-mujoco]' (or run ./setup.sh)"
        ) from error
