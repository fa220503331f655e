"""The experts of the tasks with two arms, without a planner: cubes are handed over on the table between the arms.

One arm moves while the other one waits out of its way.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from envs.maniskill.hand import CUBE_M, Goal, Hand, frame_of

_MEETING = np.array([0.0, 0.0, CUBE_M / 2])  # m, world: both arms reach there
_AWAY_M, _AWAY_HEIGHT = 0.30, 0.25  # m, from the middle between the arms: out of the other one's way
_ROOM_M = 0.09  # between the middles of cubes that are put side by side
_OFF_CENTRE = 0.75  # of the target's radius, at most

Goals = tuple[Goal, Goal]


def plan(task: str, left: Hand, right: Hand, base: Any) -> Iterator[Goals]:
    """Both hands' goals of one tick after the other, from an episode's start.

    Args:
        task: ManiSkill's name of the task.
        left: The left hand.
        right: The right one.
        base: ManiSkill's environment.
    """
    return _PLANS[task](_Pair(left, right), base)


class _Pair:
    """Both hands: the one that does not move stays at its last goal."""

    def __init__(self, left: Hand, right: Hand) -> None:
        self.left, self.right = left, right
        self._last = [Goal(hand.rest, 1.0) for hand in (left, right)]

    def move(self, hand: Hand, *motions: Iterator[Goal]) -> Iterator[Goals]:
        """One hand's motions."""
        index = 0 if hand is self.left else 1
        for motion in motions:
            for goal in motion:
                self._last[index] = goal
                yield self._last[0], self._last[1]

    def carry(self, hand: Hand, cube: Any, to: Callable[[], np.ndarray]) -> Iterator[Goals]:
        """Picks a cube up and puts it down with its middle at a place."""
        yield from self.move(hand, hand.pick(cube, lambda: hand.cube_grasp(cube)))
        yield from self.move(hand, hand.put(cube, to()))

    def withdraw(self, hand: Hand) -> Iterator[Goals]:
        """Out of the other hand's way."""
        pose = hand.set_point
        pose[1, 3], pose[2, 3] = -_AWAY_M if hand is self.left else _AWAY_M, _AWAY_HEIGHT
        yield from self.move(hand, hand.go(pose, 1.0, 0.05))


def _pick_cube(pair: _Pair, base: Any) -> Iterator[Goals]:
    """The left arm puts the cube down in the middle, the right one holds it at the goal."""
    yield from pair.carry(pair.left, base.cube, lambda: _MEETING)
    yield from pair.withdraw(pair.left)
    right = pair.right
    yield from pair.move(right, right.pick(base.cube, lambda: right.cube_grasp(base.cube)))
    goal = Goal(right.bringing(base.cube, frame_of(base.goal_site.pose)[:3, 3]), 0.0)
    yield from pair.move(right, iter([goal]))


def _stack_cube(pair: _Pair, base: Any) -> Iterator[Goals]:
    """The target lies beyond the right arm's reach, so the left one places both cubes."""
    yield from pair.carry(pair.right, base.cubeB, lambda: _MEETING)
    yield from pair.withdraw(pair.right)
    yield from pair.carry(pair.left, base.cubeB, lambda: _beside(base))
    yield from pair.carry(pair.left, base.cubeA, lambda: frame_of(base.cubeB.pose)[:3, 3] + (0.0, 0.0, CUBE_M))


def _beside(base: Any) -> np.ndarray:
    """On the target, and away from the other cube, which may lie on it too."""
    target, other = frame_of(base.goal_region.pose)[:2, 3], frame_of(base.cubeA.pose)[:2, 3]
    away = target - other
    far = float(np.linalg.norm(away))
    most = _OFF_CENTRE * float(base.goal_radius)
    shift = np.clip(_ROOM_M - far, 0.0, most) * (away / far if far > 1e-6 else np.array([0.0, 1.0]))
    return np.array([*(target + shift), CUBE_M / 2])


_PLANS: dict[str, Callable[[_Pair, Any], Iterator[Goals]]] = {
    "TwoRobotPickCube-v1": _pick_cube,
    "TwoRobotStackCube-v1": _stack_cube,
}
