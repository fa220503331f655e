"""The expert where the control goes to what it is told by itself: no planner, it only tells where to go next."""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float32

from envs.maniskill import two_arms, waypoints
from envs.maniskill.control import Control, JointControl
from envs.maniskill.end_effector import PoseControl
from envs.maniskill.hand import Goal, Hand
from envs.maniskill.simulation import Simulation
from envs.maniskill.tasks import Task


class GoalExpert:
    """The goals of an episode as actions. Ask in every step, from the first on.

    Args:
        task: The task.
        simulation: The simulator, reset to the episode.
        control: What plays the actions.
    """

    def __init__(self, task: Task, simulation: Simulation, control: PoseControl | JointControl) -> None:
        hands = [Hand(simulation, arm, lambda arm=arm: control.set_point(arm)) for arm in range(task.arms)]  # type: ignore[misc]
        self._plan: Iterator[Sequence[Goal]]
        if task.arms == 1:
            self._plan = ((goal,) for goal in waypoints.plan(task.name, hands[0], simulation.base))
        else:
            self._plan = two_arms.plan(task.name, hands[0], hands[1], simulation.base)
        self._control = control
        self._step = -1
        self._goals: Sequence[Goal] = [Goal(hand.rest, 1.0) for hand in hands]

    def action(self, step: int) -> Float32[np.ndarray, "128"]:
        """What to do in a step; after the plan's end the last action."""
        if step != self._step:
            self._step, self._goals = step, next(self._plan, self._goals)
        return self._control.going([(goal.pose, goal.opening) for goal in self._goals])

    @property
    def free(self) -> bool:
        """The last action only leads to the next one."""
        return all(goal.free for goal in self._goals)


def goal_expert(task: Task, simulation: Simulation, control: Control) -> GoalExpert | None:
    """The expert of an episode; None where the control does not go to a goal by itself."""
    if isinstance(control, PoseControl) or (isinstance(control, JointControl) and control.paced):
        return GoalExpert(task, simulation, control)
    return None
