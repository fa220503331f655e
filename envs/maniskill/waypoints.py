"""The expert of pose control: where the hand should go next, from privileged state, without a planner.

An action is the pose at the end of the motion that is under way (over the cube, at the cube, at the goal), not a small
step of it: `PoseControl` goes there in a straight line. So what a demonstration shows is a place that can be seen, and
it is the right answer from wherever the hand is.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from envs.maniskill.end_effector import PoseControl
from envs.maniskill.insertion import BEFORE_M, INTO_M
from envs.maniskill.simulation import Simulation

Frame = Float[np.ndarray, "4 4"]

_ABOVE = 0.06  # m over what is gripped, before and after
_NEAR_M, _NEAR_RAD = 0.01, 0.1  # the next motion may begin
_THERE_M = 0.004
_MOST_TICKS = 60  # of a motion
_GRIP_TICKS = 5  # until the fingers hold, or have let go
_GRASPS = 3  # attempts
_CUBE = 0.04  # m, edge
_LIFT = 0.08  # m
_BEHIND, _SHORT = 0.10, 0.06  # m: from a cube's middle before it is pushed; from the target's middle at the end
_PUSH_HEIGHT = 0.02  # m
_TILT = np.radians(15.0)  # of the gripper on the charger
_CORRECTIONS, _CORRECTION_TICKS = 3, 5
_INSERT_M = 0.006  # a tick


@dataclass(frozen=True)
class Goal:
    """What to do in a tick.

    Attributes:
        pose: Of the tool centre point in the world.
        opening: Of the gripper: 0 closed .. 1 open.
        free: The hand only gets somewhere, and holds nothing.
    """

    pose: Frame
    opening: float
    free: bool = False


class Waypoints:
    """The expert of a task with one arm. Ask for `goal` once in each tick, from an episode's start.

    Args:
        simulation: The simulator, reset to the episode.
        control: What plays the goals.
        task: ManiSkill's name of the task.
    """

    def __init__(self, simulation: Simulation, control: PoseControl, task: str) -> None:
        self._simulation, self._control = simulation, control
        self._base: Any = simulation.base
        self._rest = self._tip
        self._plan = _PLANS[task](self)
        self._last = Goal(self._rest, 1.0)

    def goal(self) -> Goal:
        """What to do now; after the plan's end the last goal."""
        self._last = next(self._plan, Goal(self._last.pose, self._last.opening))
        return self._last

    @property
    def _tip(self) -> Frame:
        return self._simulation.arms()[0].tip

    # -- motions -------------------------------------------------------------------------------------------------

    def _go(
        self, pose: Frame | Callable[[], Frame], opening: float, near: float = _NEAR_M, free: bool = False
    ) -> Iterator[Goal]:
        """Until the hand is there; a pose that is a function is looked up in every tick."""
        for _ in range(_MOST_TICKS):
            goal, tip = pose() if callable(pose) else pose, self._tip
            away = float(np.linalg.norm(goal[:3, 3] - tip[:3, 3]))
            turn = Rotation.from_matrix(goal[:3, :3] @ tip[:3, :3].T).magnitude()
            if away < near and turn < _NEAR_RAD:
                return
            yield Goal(goal, opening, free)

    def _stay(self, pose: Frame, opening: float, ticks: int) -> Iterator[Goal]:
        for _ in range(ticks):
            yield Goal(pose, opening)

    def _pick(self, part: Any, grasp: Callable[[], Frame]) -> Iterator[Goal]:
        """Grips a part; once more where it was missed."""
        for _ in range(_GRASPS):
            yield from self._go(lambda: _backed(grasp(), _ABOVE), 1.0, free=True)
            at = grasp()
            yield from self._go(at, 1.0, _THERE_M)
            yield from self._stay(at, 0.0, _GRIP_TICKS)
            if bool(self._base.agent.is_grasping(part).item()):
                return

    def _carry(self, by: tuple[float, float, float]) -> Iterator[Goal]:
        yield from self._go(_shifted(self._control.set_point, np.array(by)), 0.0)

    def _down(self, closing: Float[np.ndarray, "3"], at: Float[np.ndarray, "3"]) -> Frame:
        """The gripper pointing down, its fingers closing along a direction or against it: the lesser turn from rest."""
        closing = np.array([closing[0], closing[1], 0.0]) / np.linalg.norm(closing[:2])
        if closing @ self._rest[:3, 1] < 0:
            closing = -closing
        pose = np.eye(4)
        pose[:3, 2] = (0.0, 0.0, -1.0)
        pose[:3, 1] = closing
        pose[:3, 0] = np.cross(closing, pose[:3, 2])
        pose[:3, 3] = at
        return pose

    # -- tasks ---------------------------------------------------------------------------------------------------

    def _cube_grasp(self, cube: Any) -> Frame:
        frame = _frame(cube.pose)
        sides = sorted((frame[:3, 0], frame[:3, 1]), key=lambda side: -abs(float(side @ self._rest[:3, 1])))
        return self._down(sides[0], frame[:3, 3])

    def pick_cube(self) -> Iterator[Goal]:
        """Grips the cube and holds it at the goal."""
        cube = self._base.cube
        yield from self._pick(cube, lambda: self._cube_grasp(cube))
        pose = self._control.set_point
        pose[:3, 3] += _frame(self._base.goal_site.pose)[:3, 3] - _frame(cube.pose)[:3, 3]
        yield Goal(pose, 0.0)

    def stack_cube(self) -> Iterator[Goal]:
        """Grips the red cube, lifts it, puts it down on the green one and rises."""
        cube, below = self._base.cubeA, self._base.cubeB
        yield from self._pick(cube, lambda: self._cube_grasp(cube))
        yield from self._carry((0.0, 0.0, _LIFT))
        on = self._control.set_point
        on[:3, 3] += _frame(below.pose)[:3, 3] + (0.0, 0.0, _CUBE) - _frame(cube.pose)[:3, 3]
        yield from self._go(_shifted(on, np.array([0.0, 0.0, _ABOVE])), 0.0)
        yield from self._go(on, 0.0, _THERE_M)
        yield from self._stay(on, 1.0, _GRIP_TICKS)
        yield Goal(_shifted(on, np.array([0.0, 0.0, _ABOVE])), 1.0)

    def push_cube(self) -> Iterator[Goal]:
        """Goes down behind the cube, the gripper closed, and pushes it onto the target."""
        cube = self._base.obj
        while True:
            yield from self._go(lambda: self._behind(cube, _ABOVE + _PUSH_HEIGHT), 0.0, free=True)
            yield from self._go(lambda: self._behind(cube, _PUSH_HEIGHT), 0.0, free=True)
            target = _frame(self._base.goal_region.pose)[:3, 3]
            end = self._down(self._rest[:3, 1], np.array([target[0] - _SHORT, _frame(cube.pose)[1, 3], _PUSH_HEIGHT]))
            yield from self._go(end, 0.0, _THERE_M)

    def _behind(self, cube: Any, height: float) -> Frame:
        pose = self._down(self._rest[:3, 1], _frame(cube.pose)[:3, 3])
        pose[0, 3] -= _BEHIND
        pose[2, 3] = height
        return pose

    def insert_peg(self) -> Iterator[Goal]:
        """Grips the peg by its tail, holds it before the hole and pushes it in."""
        peg, half = self._base.peg, float(self._base.peg_half_sizes[0, 0])

        def grasp() -> Frame:
            lying = _frame(peg.pose)
            tail = lying[:3, 3] - max(0.05, half / 2 + 0.01) * lying[:3, 0]
            return self._down(np.cross([0.0, 0.0, 1.0], lying[:3, 0]), tail)

        yield from self._pick(peg, grasp)
        yield from self._carry((0.0, 0.0, _LIFT))
        yield from self._insert(peg, BEFORE_M + half, INTO_M)

    def plug_charger(self) -> Iterator[Goal]:
        """Grips the charger, holds it before the receptacle and pushes it in."""
        charger = self._base.charger

        def grasp() -> Frame:
            lying = _frame(self._base.charger_base_pose)
            pose = self._down(lying[:3, 1], lying[:3, 3])
            tilt = Rotation.from_rotvec(_TILT * pose[:3, 1]).as_matrix()
            pose[:3, :3] = tilt @ pose[:3, :3]
            return pose

        yield from self._pick(charger, grasp)
        yield from self._carry((0.0, 0.0, _LIFT))
        yield from self._insert(charger, 0.05, 0.0)

    def _insert(self, part: Any, back: float, into: float) -> Iterator[Goal]:
        """Aligns a part that is held with its hole and pushes it in, for as long as it takes.

        The arm comes to rest a few millimetres beside its command, more than a hole leaves room for. So each correction
        moves the command by what is missing.
        """
        while True:
            yield from self._go(self._missing(part, -back), 0.0)
            for _ in range(_CORRECTIONS):
                yield from self._stay(self._missing(part, -back), 0.0, _CORRECTION_TICKS)
            start, end = self._control.set_point, self._missing(part, into)
            way = end[:3, 3] - start[:3, 3]
            for share in np.linspace(0.0, 1.0, int(np.ceil(float(np.linalg.norm(way)) / _INSERT_M)) + 1)[1:]:
                pose = end.copy()
                pose[:3, 3] = start[:3, 3] + share * way
                yield Goal(pose, 0.0)
            yield from self._stay(end, 0.0, _CORRECTION_TICKS)
            pose = self._control.set_point
            pose[:3, 3] -= (back + into) * _frame(self._base.goal_pose)[:3, 0]
            yield from self._go(pose, 0.0)

    def _missing(self, part: Any, along: float) -> Frame:
        """The command that brings a part that is held to its goal, or so far along the goal's axis (m) from it."""
        goal = _frame(self._base.goal_pose)
        goal[:3, 3] += along * goal[:3, 0]
        return goal @ np.linalg.inv(_frame(part.pose)) @ self._control.set_point


_PLANS: dict[str, Callable[[Waypoints], Iterator[Goal]]] = {
    "PegInsertionSide-v1": Waypoints.insert_peg,
    "PickCube-v1": Waypoints.pick_cube,
    "StackCube-v1": Waypoints.stack_cube,
    "PlugCharger-v1": Waypoints.plug_charger,
    "PushCube-v1": Waypoints.push_cube,
}


def _frame(pose: Any) -> Frame:
    """Of a pose of ManiSkill's."""
    return np.asarray(pose.sp.to_transformation_matrix(), dtype=np.float64)


def _shifted(pose: Frame, by: Float[np.ndarray, "3"]) -> Frame:
    moved = pose.copy()
    moved[:3, 3] += by
    return moved


def _backed(pose: Frame, way: float) -> Frame:
    """Back from where the gripper points to, m."""
    return _shifted(pose, -way * pose[:3, 2])
