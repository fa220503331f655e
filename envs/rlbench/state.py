"""The proprioception vector that both back ends observe."""

import numpy as np
from jaxtyping import Float, Float32

FINGER_OPEN = 0.04  # m each
PROPRIOCEPTION = (
    "gripper_open",
    "finger_left",
    "finger_right",
    *(f"eef_{axis}" for axis in ("x", "y", "z", "qx", "qy", "qz", "qw")),
    *(f"joint_{k}" for k in range(7)),
    "time",
)


def proprioception(
    gripper_open: float,
    fingers: Float[np.ndarray, "2"],
    tip: Float[np.ndarray, "7"],
    joints: Float[np.ndarray, "7"],
    steps: int,
    max_steps: int,
) -> Float32[np.ndarray, "18"]:
    """The vector, in the order of `PROPRIOCEPTION`.

    Args:
        gripper_open: 1 open, 0 closed.
        fingers: Opening of each, m.
        tip: Pose in the world: x y z (m), quaternion xyzw.
        joints: Angles, rad.
        steps: Actions carried out so far.
        max_steps: Actions an episode; the last entry falls over them from 1 to -1, as in PerAct's evaluation.
    """
    remaining = max(1.0 - 2.0 * steps / max(max_steps - 1, 1), -1.0)
    parts = [[gripper_open], np.clip(fingers, 0.0, FINGER_OPEN), tip[:3], positive(tip[3:]), joints, [remaining]]
    return np.concatenate(parts).astype(np.float32)


def positive(quaternion: Float[np.ndarray, "4"]) -> Float[np.ndarray, "4"]:
    """The representative of q and -q (xyzw) whose largest entry is positive."""
    return quaternion * np.sign(quaternion[np.abs(quaternion).argmax()])
