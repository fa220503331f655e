"""What experts without a planner do with a hand: go somewhere, grip a part, carry it. From privileged state.

An action is where the motion that is under way leads to (over the cube, the cube, the goal), not a small step of it:
the control goes there by itself. So what a demonstration shows is a place that can be seen, and it is the right answer
from wherever the hand is.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from envs.maniskill.funnel import ABOVE_M, Frame, beside, onto, upwards
from envs.maniskill.simulation import Simulation

CUBE_M = 0.04  # edge
NEAR_M, THERE_M = 0.01, 0.006  # the next motion may begin; the hand is there
_CLEAR_M = 0.05  # height from which on what was gripped on the table is carried sideways
GRIP_TICKS = 5  # until the fingers hold, or have let go
_NEAR_RAD = 0.1
_MOST_TICKS = 60  # of a motion
_STILL, _STILL_TICKS = 1e-3, 4  # m and parts of an axis: what does not move by more has been stopped by something
_GRASPS = 3  # attempts


@dataclass(frozen=True)
class Goal:
    """What a hand does in a tick.

    Attributes:
        pose: Of the tool centre point in the world.
        opening: Of the gripper: 0 closed .. 1 open.
        free: The hand only gets somewhere, and holds nothing.
    """

    pose: Frame
    opening: float
    free: bool = False


class Hand:
    """One hand. Its motions are the goals of one tick after the other.

    Args:
        simulation: The simulator, reset to an episode.
        arm: Which arm's it is.
        set_point: Tells where the control has sent the hand to so far, world.
    """

    def __init__(self, simulation: Simulation, arm: int, set_point: Callable[[], Frame]) -> None:
        self._simulation, self._arm, self._set_point = simulation, arm, set_point
        self.rest = self.tip

    @property
    def tip(self) -> Frame:
        """Pose of the tool centre point in the world."""
        return self._simulation.arms()[self._arm].tip

    @property
    def set_point(self) -> Frame:
        """Where it has been sent to so far; a copy."""
        return self._set_point().copy()

    def go(self, pose: Frame | Callable[[], Frame], opening: float, near: float = NEAR_M) -> Iterator[Goal]:
        """Until the hand is there, or stands still; a pose that is a function is looked up in every tick."""
        before, still = None, 0
        for _ in range(_MOST_TICKS):
            goal, tip = pose() if callable(pose) else pose, self.tip
            still = still + 1 if before is not None and np.abs(tip - before).max() < _STILL else 0
            if still == _STILL_TICKS:
                return
            before = tip
            away = float(np.linalg.norm(goal[:3, 3] - tip[:3, 3]))
            turn = Rotation.from_matrix(goal[:3, :3] @ tip[:3, :3].T).magnitude()
            if away < near and turn < _NEAR_RAD:
                return
            yield Goal(goal, opening)

    def stay(self, pose: Frame, opening: float, ticks: int) -> Iterator[Goal]:
        """At a pose for some ticks."""
        for _ in range(ticks):
            yield Goal(pose, opening)

    def reach(
        self, at: Callable[[], Frame], opening: float, near: float = THERE_M, free: bool = False
    ) -> Iterator[Goal]:
        """To a pose from over it (`envs.maniskill.funnel.onto`); free until the hand is in line with it."""
        for goal in self.go(lambda: onto(at(), self.tip), opening, THERE_M):
            yield Goal(goal.pose, opening, free and beside(at(), self.tip) > 0.0)

    def pick(self, part: Any, grasp: Callable[[], Frame]) -> Iterator[Goal]:
        """Grips a part; once more where it was missed."""
        for _ in range(_GRASPS):
            yield from self.reach(grasp, 1.0, free=True)
            yield from self.stay(grasp(), 0.0, GRIP_TICKS)
            if bool(self._simulation.agents[self._arm].is_grasping(part).item()):
                return

    def lift(self, to: Frame) -> Iterator[Goal]:
        """To a pose with what it holds, straight up from the table at first."""
        yield from self.go(lambda: upwards(to, self.tip, _CLEAR_M), 0.0)

    def put(self, part: Any, at: Float[np.ndarray, "3"]) -> Iterator[Goal]:
        """Puts a part that it holds down with its middle at a place, and rises."""
        on = self.bringing(part, at)
        yield from self.reach(lambda: on, 0.0)
        yield from self.stay(on, 1.0, GRIP_TICKS)
        yield from self.go(raised(on, ABOVE_M), 1.0)

    def bringing(self, part: Any, to: Float[np.ndarray, "3"]) -> Frame:
        """The command that brings the middle of a part that it holds to a place."""
        pose = self.set_point
        pose[:3, 3] += to - frame_of(part.pose)[:3, 3]
        return pose

    def down(self, closing: Float[np.ndarray, "3"], at: Float[np.ndarray, "3"]) -> Frame:
        """The gripper pointing down, its fingers closing along a direction or against it: the lesser turn from rest."""
        closing = np.array([closing[0], closing[1], 0.0]) / np.linalg.norm(closing[:2])
        if closing @ self.rest[:3, 1] < 0:
            closing = -closing
        pose = np.eye(4)
        pose[:3, 2] = (0.0, 0.0, -1.0)
        pose[:3, 1] = closing
        pose[:3, 0] = np.cross(closing, pose[:3, 2])
        pose[:3, 3] = at
        return pose

    def cube_grasp(self, cube: Any) -> Frame:
        """From above along the cube's faces, with the least turn from rest."""
        frame = frame_of(cube.pose)
        sides = sorted((frame[:3, 0], frame[:3, 1]), key=lambda side: -abs(float(side @ self.rest[:3, 1])))
        return self.down(sides[0], frame[:3, 3])


def frame_of(pose: Any) -> Frame:
    """Of a pose of ManiSkill's."""
    return np.asarray(pose.sp.to_transformation_matrix(), dtype=np.float64)


def raised(pose: Frame, by: float) -> Frame:
    """Higher, m."""
    moved = pose.copy()
    moved[2, 3] += by
    return moved
