"""Four tasks with moving objects under dense control, on the embedded MuJoCo simulator. See docs/dynamic.md."""

from typing import Any

from envs.rlbench import need_mujoco
from envs.spec import Env, InputError, TaskSpec
from envs.suite import Suite


def make(suite: Suite, task: str, sim: str, options: dict[str, Any]) -> Env:
    """Builds a task's environment; see `envs.suite.Suite.make`.

    Raises:
        InputError: An unknown option, the simulator's packages are missing, or it cannot render off screen.
    """
    if options:
        raise InputError(f"the suite {suite.name!r} takes no option {', '.join(options)}; leave it out.")
    need_mujoco()
    from envs.dynamic.env import DynamicEnv
    from envs.dynamic.tasks import load

    return DynamicEnv(suite, load(task))


def task_spec(suite: Suite, task: str, sim: str) -> TaskSpec:
    """The facts of a task without opening the simulator.

    Raises:
        InputError: The simulator's packages are missing, or the suite names a camera that there is not.
    """
    need_mujoco()
    from envs.dynamic.facts import task_spec as spec
    from envs.dynamic.tasks import load

    return spec(suite, load(task))
