"""The experts of the tasks with one arm where actions are poses: without a planner (`envs.maniskill.hand`)."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from envs.maniskill.funnel import ABOVE_M, Frame, beside, onto, share
from envs.maniskill.hand import CUBE_M, Goal, Hand, frame_of
from envs.maniskill.insertion import BEFORE_M, INTO_M

_BEHIND, _SHORT = 0.10, 0.06  # m: from a cube's middle before it is pushed; from the target's middle at the end
_PUSH_HEIGHT = 0.02  # m
_TILT = np.radians(15.0)  # of the gripper on the charger
_PLUG_BEFORE_M = 0.05
_CORRECTIONS, _CORRECTION_TICKS = 3, 5
_ALIGNED_M, _ALIGNED_RAD = 1e-3, 0.01
_INSERT_M = 0.006  # a tick


def plan(task: str, hand: Hand, base: Any) -> Iterator[Goal]:
    """The hand's goals of one tick after the other, from an episode's start.

    Args:
        task: ManiSkill's name of the task.
        hand: The hand.
        base: ManiSkill's environment.
    """
    return _PLANS[task](hand, base)


def _pick_cube(hand: Hand, base: Any) -> Iterator[Goal]:
    """Grips the cube and holds it at the goal."""
    yield from hand.pick(base.cube, lambda: hand.cube_grasp(base.cube))
    yield Goal(hand.bringing(base.cube, frame_of(base.goal_site.pose)[:3, 3]), 0.0)


def _stack_cube(hand: Hand, base: Any) -> Iterator[Goal]:
    """Grips the red cube, lifts it, puts it down on the green one and rises."""
    yield from hand.pick(base.cubeA, lambda: hand.cube_grasp(base.cubeA))
    yield from hand.put(base.cubeA, frame_of(base.cubeB.pose)[:3, 3] + (0.0, 0.0, CUBE_M))


def _push_cube(hand: Hand, base: Any) -> Iterator[Goal]:
    """Goes down behind the cube, the gripper closed, and pushes it onto the target."""
    while True:
        cube, target = frame_of(base.obj.pose)[:3, 3], frame_of(base.goal_region.pose)[:3, 3]
        tip = hand.tip
        low = share(tip[2, 3], ABOVE_M, _PUSH_HEIGHT + 0.01)
        # Anywhere behind the cube will do, and right behind it once the hand is down.
        nearest = cube[0] - _BEHIND + low * (_BEHIND - CUBE_M / 2)
        behind = np.array([np.clip(tip[0, 3], cube[0] - _BEHIND, nearest), cube[1], _PUSH_HEIGHT])
        down = hand.down(hand.rest[:3, 1], behind)
        goal, out = onto(down, tip), beside(down, tip)
        goal[0, 3] += low * (1.0 - out) * max(target[0] - _SHORT - goal[0, 3], 0.0)
        yield Goal(goal, 0.0, out > 0.0)


def _insert_peg(hand: Hand, base: Any) -> Iterator[Goal]:
    """Grips the peg by its tail, holds it before the hole and pushes it in."""
    half = float(base.peg_half_sizes[0, 0])

    def grasp() -> Frame:
        lying = frame_of(base.peg.pose)
        tail = lying[:3, 3] - max(0.05, half / 2 + 0.01) * lying[:3, 0]
        return hand.down(np.cross([0.0, 0.0, 1.0], lying[:3, 0]), tail)

    yield from hand.pick(base.peg, grasp)
    yield from _insert(hand, base, base.peg, BEFORE_M + half, INTO_M)


def _plug_charger(hand: Hand, base: Any) -> Iterator[Goal]:
    """Grips the charger, holds it before the receptacle and pushes it in."""

    def grasp() -> Frame:
        lying = frame_of(base.charger_base_pose)
        pose = hand.down(lying[:3, 1], lying[:3, 3])
        pose[:3, :3] = Rotation.from_rotvec(_TILT * pose[:3, 1]).as_matrix() @ pose[:3, :3]
        return pose

    yield from hand.pick(base.charger, grasp)
    yield from _insert(hand, base, base.charger, _PLUG_BEFORE_M, 0.0)


def _insert(hand: Hand, base: Any, part: Any, back: float, into: float) -> Iterator[Goal]:
    """Aligns a part that is held with its hole and pushes it in, for as long as it takes.

    The arm comes to rest a few millimetres beside its command, more than a hole leaves room for. So each correction
    moves the command by what is missing.
    """

    def missing(along: float) -> Frame:
        """The command that brings the part to its goal, or so far along the goal's axis (m) from it."""
        goal = frame_of(base.goal_pose)
        goal[:3, 3] += along * goal[:3, 0]
        return goal @ np.linalg.inv(frame_of(part.pose)) @ hand.set_point

    def aligned() -> bool:
        """Whether it only has to go on along the axis."""
        to = np.linalg.inv(frame_of(base.goal_pose)) @ frame_of(part.pose)
        turn = Rotation.from_matrix(to[:3, :3]).magnitude()
        return bool(np.linalg.norm(to[1:3, 3]) < _ALIGNED_M and turn < _ALIGNED_RAD)

    while True:
        yield from hand.lift(missing(-back))
        for _ in range(_CORRECTIONS):
            if aligned():
                break
            yield from hand.stay(missing(-back), 0.0, _CORRECTION_TICKS)
        start, end = hand.set_point, missing(into)
        way = end[:3, 3] - start[:3, 3]
        for part_way in np.linspace(0.0, 1.0, int(np.ceil(float(np.linalg.norm(way)) / _INSERT_M)) + 1)[1:]:
            pose = end.copy()
            pose[:3, 3] = start[:3, 3] + part_way * way
            yield Goal(pose, 0.0)
        yield from hand.stay(end, 0.0, _CORRECTION_TICKS)
        pose = hand.set_point
        pose[:3, 3] -= (back + into) * frame_of(base.goal_pose)[:3, 0]
        yield from hand.go(pose, 0.0)


_PLANS: dict[str, Callable[[Hand, Any], Iterator[Goal]]] = {
    "PegInsertionSide-v1": _insert_peg,
    "PickCube-v1": _pick_cube,
    "StackCube-v1": _stack_cube,
    "PlugCharger-v1": _plug_charger,
    "PushCube-v1": _push_cube,
}
