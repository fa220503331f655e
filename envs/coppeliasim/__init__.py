"""RLBench-18 on the user's own CoppeliaSim 4.1, PyRep and RLBench, which are imported here and nowhere else.

Both RLBench itself (actions of 8 numbers) and the PerAct fork of it (9 numbers) are understood; which one is installed
is read from its API, and is part of the protocol.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from envs.spec import Env, Episode, InputError, TaskSpec
from envs.suite import Suite, nearest

SIM = "coppeliasim"


def make(suite: Suite, task: str, options: dict[str, Any]) -> Env:
    """Launches CoppeliaSim and loads a task.

    Args:
        suite: The suite.
        task: Task name.
        options: `demos`: folder of stored demonstrations to start the episodes from, for a suite that
            `Suite.with_demos` returned; without it they are drawn.

    Raises:
        InputError: An unknown option, something is not installed (the message says how to), no display, or the
            installed RLBench lacks the task.
        SimulatorError: CoppeliaSim does not start.
    """
    for name in options:
        if name != "demos":
            raise InputError(f"the CoppeliaSim back end has no option {name!r}.{nearest(name, ['demos'])}")
    from envs.coppeliasim.env import CoppeliaEnv

    demos = options.get("demos")
    return CoppeliaEnv(suite, task, None if demos is None else Path(demos))


def task_spec(suite: Suite, task: str) -> TaskSpec:
    """The facts of a task, without launching the simulator.

    Raises:
        InputError: Something is not installed, or the installed RLBench lacks the task.
    """
    from envs.coppeliasim.env import task_spec as spec

    return spec(suite, task)


def stored_episodes(suite: Suite, demos: Path, episodes: Sequence[Episode]) -> tuple[list[Episode], str]:
    """The episodes with the variations of the stored demonstrations that they start from, and the dataset's digest.

    Raises:
        InputError: The folder lacks a demonstration.
    """
    from envs.coppeliasim.demos import stored_episodes as stored

    return stored(suite, demos, episodes)
