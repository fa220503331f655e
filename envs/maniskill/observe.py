"""Proprioception of ManiSkill's Pandas: gripper, fingers, end effector and joints of each arm."""

import numpy as np
from jaxtyping import Float, Float32

FINGER_OPEN = 0.04  # m each
_ENTRIES = (
    *("gripper_open", "finger_left", "finger_right"),
    *(f"eef_{axis}" for axis in ("x", "y", "z", "qx", "qy", "qz", "qw")),
    *(f"joint_{k}" for k in range(7)),
)


def names(arms: int) -> tuple[str, ...]:
    """Name of each entry of the proprioception: of one arm, or of the left arm and then the right one."""
    if arms == 1:
        return _ENTRIES
    return tuple(f"{side}_{entry}" for side in ("left", "right") for entry in _ENTRIES)


def arm_entries(qpos: Float[np.ndarray, "9"], tip: Float[np.ndarray, "7"]) -> Float32[np.ndarray, "17"]:
    """An arm's entries.

    Args:
        qpos: Seven joint angles (rad), two finger positions (m).
        tip: Tool centre point in the frame of the arm's base: x y z (m), quaternion wxyz.
    """
    fingers = np.clip(qpos[7:9], 0.0, FINGER_OPEN)
    rotation = tip[[4, 5, 6, 3]]  # xyzw
    rotation = rotation * np.sign(rotation[np.abs(rotation).argmax()])  # of q and -q always the same one
    return np.concatenate([[fingers.mean() / FINGER_OPEN], fingers, tip[:3], rotation, qpos[:7]]).astype(np.float32)


def opening(qpos: Float[np.ndarray, "9"]) -> float:
    """How far the gripper is open: 0 closed .. 1 open."""
    return float(np.clip(qpos[7:9].mean() / FINGER_OPEN, 0.0, 1.0))
