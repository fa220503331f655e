"""Proprioception of ManiSkill's Pandas: gripper, fingers, end effector and joints of each arm."""

import numpy as np
from jaxtyping import Float32

from envs.maniskill.control import Arm
from envs.rlbench.state import positive

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


def arm_entries(arm: Arm) -> Float32[np.ndarray, "17"]:
    """An arm's entries."""
    entries = [np.array([arm.opening]), arm.fingers, arm.tip[:3, 3], positive(arm.rotation), arm.joints]
    return np.concatenate(entries).astype(np.float32)
