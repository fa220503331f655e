"""Disturbances of the expert: what it should do next is shown from states that are a little off its own path.

A policy that has only seen the expert's states copies them: a hand that hovers above a block is always turned as the
block is, so that nothing teaches to look at the block. With disturbances the hand drives to a pose near the keyframe,
while the frame keeps the keyframe itself as its action (DART, arXiv:1703.09327). Only keyframes on the way are
disturbed, not those that grip, let go, back off or end the plan.

Under dense control a centimetre is not enough: an expert that follows a moving object is always where it should be, so
the next action is the one before it, a little further, and a policy that has learned just that never corrects itself.
There the hand can also go astray for some ticks, anywhere around (`Excursions`). The expert comes back from there.
"""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

YAW_PER_CM = 20.0  # degrees: standard deviation of the turn about the vertical, for each centimetre of position
TILT_PER_CM = 2.0  # degrees: of the turn about a horizontal axis
LARGEST = 2.5  # standard deviations
STRAY_FIRST, STRAY_LATER = 0.5, 0.04  # probability that an excursion begins with the first tick; with any later one
STRAY_TICKS = (3, 10)  # how long it lasts
STRAY_YAW = 20.0  # degrees: standard deviation of the turn about the vertical
# How an episode is tried, one after the other, before it is played undisturbed: share of the size, and carefully.
ATTEMPTS = ((1.0, False), (1.0, True), (0.4, True))


@runtime_checkable
class KnowsTheWay(Protocol):
    """An environment whose expert tells which keyframes only lead to the next."""

    def on_the_way(self, careful: bool) -> bool:
        """Whether the action that `expert_action` gave last only leads to the next one.

        Args:
            careful: Leave out what may push, or carry through a narrow place.
        """


def disturb(native: Float[np.ndarray, "8"], size: float, rng: np.random.Generator) -> Float[np.ndarray, "8"]:
    """A pose near an absolute end-effector action.

    Args:
        native: x y z (m), quaternion xyzw, gripper.
        size: Standard deviation of each coordinate of the position, cm; rotations grow with it.
        rng: Source of the disturbance.
    """
    x, y, z, yaw, tilt = np.clip(rng.normal(size=5), -LARGEST, LARGEST)
    heading = rng.uniform(-np.pi, np.pi)
    axis = np.array([np.cos(heading), np.sin(heading), 0.0])
    turn = Rotation.from_euler("z", np.radians(YAW_PER_CM * size * yaw))
    turn *= Rotation.from_rotvec(np.radians(TILT_PER_CM * size * tilt) * axis)
    moved = np.array(native, dtype=np.float64)
    moved[:3] += 0.01 * size * np.array([x, y, z])
    moved[3:7] = (turn * Rotation.from_quat(moved[3:7])).as_quat()
    return moved


class Excursions:
    """Now and then, for some ticks, the hand goes elsewhere, with the gripper open or closed as it happens.

    Args:
        size: Standard deviation of each coordinate of where it goes, cm from where it should go; 0 for never.
        rng: Source of all that is random.
    """

    def __init__(self, size: float, rng: np.random.Generator) -> None:
        self._size, self._rng = size, rng
        self._left, self._first = 0, True
        self._offset = np.zeros(3)
        self._turn, self._open = 0.0, 1.0

    def __call__(self, native: Float[np.ndarray, "8"], may_begin: bool) -> Float[np.ndarray, "8"] | None:
        """What to do instead in this tick; None outside of an excursion.

        Args:
            native: What should be done: x y z (m), quaternion xyzw, gripper.
            may_begin: An excursion may begin here (`KnowsTheWay`).
        """
        chance, self._first = STRAY_FIRST if self._first else STRAY_LATER, False
        if not self._size:
            return None
        if not self._left and may_begin and self._rng.random() < chance:
            self._left = int(self._rng.integers(STRAY_TICKS[0], STRAY_TICKS[1] + 1))
            offset, turn = np.split(np.clip(self._rng.normal(size=4), -LARGEST, LARGEST), [3])
            self._offset, self._turn = 0.01 * self._size * offset, np.radians(STRAY_YAW) * float(turn[0])
            self._open = float(self._rng.integers(2))
        if not self._left:
            return None
        self._left -= 1
        moved = np.array(native, dtype=np.float64)
        moved[:3] += self._offset
        moved[3:7] = (Rotation.from_euler("z", self._turn) * Rotation.from_quat(moved[3:7])).as_quat()
        moved[7] = self._open
        return moved
