"""Disturbances of the expert: what it should do next is shown from states that are a little off its own path.

A policy that has only seen the expert's states copies them: a hand that hovers above a block is always turned as the
block is, so that nothing teaches to look at the block. With disturbances the hand drives to a pose near the keyframe,
while the frame keeps the keyframe itself as its action (DART, arXiv:1703.09327). Only keyframes on the way are
disturbed, not those that grip, let go, back off or end the plan.
"""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

YAW_PER_CM = 20.0  # degrees: standard deviation of the turn about the vertical, for each centimetre of position
TILT_PER_CM = 2.0  # degrees: of the turn about a horizontal axis
LARGEST = 2.5  # standard deviations
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
