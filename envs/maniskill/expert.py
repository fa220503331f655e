"""The experts that plan each step: ManiSkill's motion-planned solutions of four tasks, and our own of PegInsertionSide.

Where the control goes to a far goal by itself no planner is needed (`envs.maniskill.goals`). Here, where ManiSkill's
planner finds no path the experts go straight, and an insertion that has failed is tried again. All plan with mplib,
whose wheels crash under NumPy 2, so they run in an environment of their own (`envs/maniskill/setup_experts.sh`).
Nothing else of the benchmark needs it.
"""

import io
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from importlib.util import find_spec
from typing import Any

import numpy as np

from envs.maniskill.insertion import insert_again, solve_peg
from envs.maniskill.simulation import Simulation
from envs.maniskill.straight import straight_where_no_plan
from envs.maniskill.tasks import Task
from envs.spec import InputError

# Plays a command for each arm ([arms, 8]: joints in rad, gripper -1 closed .. 1 open); true for a success.
Play = Callable[[np.ndarray], bool]

REMEDY = (
    "The experts have an environment of their own: ./envs/maniskill/setup_experts.sh makes .venv-experts; then run the "
    "same command with .venv-experts/bin/python"
)
# Task -> ManiSkill's solution of it.
_SOLUTIONS = {
    "PickCube-v1": "solvePickCube",
    "StackCube-v1": "solveStackCube",
    "PlugCharger-v1": "solvePlugCharger",
    "PushCube-v1": "solvePushCube",
}
_INSERTIONS = ("PegInsertionSide-v1", "PlugCharger-v1")


class OutOfStepsError(Exception):
    """The solution is longer than an episode."""


def solve(simulation: Simulation, task: Task, play: Play, max_steps: int) -> None:
    """Solves the episode that the simulation has been reset to, from privileged state, and plays the solution.

    A path that the planner does not find leaves the solution incomplete, which is the expert's failure.

    Args:
        simulation: The simulator.
        task: Its task.
        play: Carries a command out in it.
        max_steps: Commands after which it ends.

    Raises:
        InputError: The planner is not there, or this NumPy would crash it, or the task has two arms.
    """
    if task.arms > 1:
        raise InputError("the experts for two arms do not plan each step: set joint_speed in the suite's options.")
    check_planner()
    played = Counted(play, max_steps)
    for agent in simulation.agents:  # the planner reads the robot's full description, not the light one
        agent.urdf_path = simulation.descriptions[agent.uid]
    with suppress(OutOfStepsError), straight_where_no_plan(), redirect_stdout(io.StringIO()):  # that it would fill
        if task.name in _SOLUTIONS:
            from mani_skill.examples.motionplanning.panda import solutions

            getattr(solutions, _SOLUTIONS[task.name])(_OneArm(simulation.base, played))
        else:
            solve_peg(_OneArm(simulation.base, played))
        if task.name in _INSERTIONS and not played.succeeded:
            insert_again(simulation, lambda joints: played(np.array([[*joints, -1.0]])))


def check_planner() -> None:
    """Raises InputError where mplib is missing, or would crash."""
    if find_spec("mplib") is None:
        raise InputError(f"the experts plan with mplib, which is not installed. {REMEDY}.")
    if int(np.__version__.split(".")[0]) >= 2:
        raise InputError(f"the experts plan with mplib, which crashes under NumPy 2 (here {np.__version__}). {REMEDY}.")


class Counted:
    """Plays commands, as many as an episode has steps.

    Attributes:
        succeeded: Whether one of them did.
    """

    def __init__(self, play: Play, max_steps: int) -> None:
        self._play, self._left = play, max_steps
        self.succeeded = False

    def __call__(self, command: np.ndarray) -> bool:
        """See `Play`.

        Raises:
            OutOfStepsError: There is no step left.
        """
        if self._left == 0:
            raise OutOfStepsError
        self._left -= 1
        success = self._play(command)
        self.succeeded |= success
        return success


class _OneArm:
    """What ManiSkill's solutions drive instead of its environment: every step goes through `play`."""

    control_mode = "pd_joint_pos"  # what they plan for, whatever control plays it

    def __init__(self, base: Any, play: Play) -> None:
        self._base, self._play = base, play

    @property
    def unwrapped(self) -> "_OneArm":
        """As in Gymnasium."""
        return self

    def __getattr__(self, name: str) -> Any:
        """The robot, the objects and so on are the environment's."""
        return getattr(self._base, name)

    def reset(self, seed: int | None = None) -> None:
        """The episode stands already."""

    def step(self, command: np.ndarray) -> tuple[None, float, bool, bool, dict[str, bool]]:
        """As in Gymnasium; the solutions look at none of it."""
        success = self._play(np.asarray(command, dtype=float)[None])
        return None, 0.0, success, False, {"success": success}
