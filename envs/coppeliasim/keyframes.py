"""The keyframes of a recorded demonstration: where its gripper moves, its arm pauses, or it ends, as in PerAct."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

_STILL = 0.1  # rad/s, every joint
_PAUSE = 5  # observations from a pause to the next one, at least


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
    """Indices into the demonstration's observations. The first one is none, though a pause may begin there."""
    last, found, next_pause = len(demo) - 1, [], 0
    for k in range(len(demo)):
        pauses = k >= next_pause and _pauses(demo, k)
        if pauses:
            next_pause = k + _PAUSE
        if k > 0 and (pauses or k == last or demo[k].gripper_open != demo[k - 1].gripper_open):
            found.append(k)
    # The end says all that a keyframe just before it says.
    if len(found) > 1 and found[-2] == last - 1:
        del found[-2]
    return found


def _pauses(demo: Any, k: int) -> bool:
    """The arm stands still, and the gripper is not at work: the two observations before and the next one agree.

    Before the first two come the last ones, by Python's count from the end: PerAct's keyframes have it so.
    """
    if k >= len(demo) - 2 or np.abs(demo[k].joint_velocities).max() > _STILL:
        return False
    return all(demo[j].gripper_open == demo[k].gripper_open for j in (k - 2, k - 1, k + 1))
