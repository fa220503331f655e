"""The keyframes of a recorded demonstration: where its gripper moves, its arm pauses, or it ends."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

_STILL = 0.1  # rad/s, every joint
_PAUSE = 4  # observations between two pauses


class Keyframe(NamedTuple):
    """Tip pose (world, m; quaternion xyzw) and gripper state."""

    pose: Float[np.ndarray, "7"]
    open: bool


def keyframes(demo: Any) -> list[Keyframe]:
    """The keyframes of an `rlbench.demo.Demo`, in order; played one after the other they do what it did."""
    return [
        Keyframe(np.asarray(demo[k].gripper_pose, dtype=float), bool(demo[k].gripper_open > 0.5))
        for k in keyframe_indices(demo)
    ]


def keyframe_indices(demo: Any) -> list[int]:
    """Indices into the demonstration's observations."""
    last, found, pause_ends = len(demo) - 1, [], 0
    for k in range(1, len(demo)):
        moved_gripper = demo[k].gripper_open != demo[k - 1].gripper_open
        pauses = k >= pause_ends and _pauses(demo, k)
        if pauses:
            pause_ends = k + _PAUSE
        if moved_gripper or pauses or k == last:
            found.append(k)
    return found


def _pauses(demo: Any, k: int) -> bool:
    """The arm stands still, and the gripper is not at work."""
    if k >= len(demo) - 2 or np.abs(demo[k].joint_velocities).max() > _STILL:
        return False
    around = range(max(k - 2, 0), k + 2)
    return all(demo[j].gripper_open == demo[k].gripper_open for j in around)
