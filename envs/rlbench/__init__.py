"""RLBench-18 on its embedded MuJoCo back end."""

import os
import sys
from typing import Any

from envs.spec import Env, InputError, TaskSpec
from envs.suite import Suite

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
        sim: "mujoco".
        options: None are known.

    Raises:
        InputError: An unknown option, the simulator's packages are missing, or it cannot render off screen.
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
    except ModuleNotFoundError as error:
        raise InputError(
            f"the embedded RLBench needs the package {error.name}. Install: pip install -e '.[sim-mujoco]' "
            "(or run ./setup.sh)"
        ) from error
    except Exception as error:  # it loads its GL library here, and what is missing fails in many ways
        raise InputError(f"MuJoCo's off-screen rendering does not load ({error}). {RENDERING_REMEDY}") from error
