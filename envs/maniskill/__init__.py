"""ManiSkill 3 tasks with one Panda or two, at a control rate. The simulator is imported when a task is built.

`mani-skill` comes with the extra `sim-maniskill`; it renders through Vulkan, also without a GPU (docs/maniskill.md).
"""

from typing import Any

from envs.spec import Env, InputError, TaskSpec
from envs.suite import Suite


def make(suite: Suite, task: str, sim: str, options: dict[str, Any]) -> Env:
    """Builds a task's environment.

    Args:
        suite: The suite.
        task: Task name, as in ManiSkill.
        sim: "physx_cpu", or "physx_cuda" for physics and rendering on a CUDA device.
        options: None are known: what there is to choose belongs to the protocol, see `envs.maniskill.settings`.

    Raises:
        InputError: An unknown option, the packages or the driver are missing (the message says how to get them), or
            the task needs assets that the package does not bring.
    """
    if options:
        raise InputError(f"ManiSkill's tasks take no option {', '.join(options)}; leave it out.")
    from envs.maniskill.env import ManiSkillEnv

    return ManiSkillEnv(suite, task, sim)


def task_spec(suite: Suite, task: str, sim: str) -> TaskSpec:
    """The facts of a task, without opening the simulator.

    Raises:
        InputError: The packages are missing, or the suite's file asks for something that there is not.
    """
    from envs.maniskill.settings import read_settings
    from envs.maniskill.specification import task_spec as spec

    return spec(suite, read_settings(suite, task), sim)
