"""Proprioception of ManiSkill's Pandas: gripper, fingers, end effector and joints; and the state of objects."""

from typing import Any

import numpy as np
from jaxtyping import Float32

from envs.maniskill.control import Arm
from envs.rlbench.state import positive

_ENTRIES = (
    *("gripper_open", "finger_left", "finger_right"),
    *(f"eef_{axis}" for axis in ("x", "y", "z", "qx", "qy", "qz", "qw")),
    *(f"joint_{k}" for k in range(7)),
)


_POSE = ("x", "y", "z", "qx", "qy", "qz", "qw")
_OBJECTS = (
    *(f"{thing}_{entry}" for thing in ("object", "target") for entry in _POSE),
    *(f"object_half_{axis}" for axis in ("x", "y", "z")),
)
# ManiSkill's names of what is moved and of what it is moved to, and of the former's half size (m).
_THINGS = {
    "PegInsertionSide-v1": ("peg", "goal_pose", "peg_half_sizes"),
    "PickCube-v1": ("cube", "goal_site", "cube_half_size"),
    "StackCube-v1": ("cubeA", "cubeB", "cube_half_size"),
    "PlugCharger-v1": ("charger", "goal_pose", "_base_size"),
    "PushCube-v1": ("obj", "goal_region", "cube_half_size"),
}


def names(arms: int, objects: bool = False) -> tuple[str, ...]:
    """Name of each entry of the proprioception: of one arm, or of the left arm and then the right one.

    Args:
        arms: Their number.
        objects: With the state of the objects (`object_entries`).
    """
    if arms == 1:
        return _ENTRIES + _OBJECTS * objects
    return tuple(f"{side}_{entry}" for side in ("left", "right") for entry in _ENTRIES)


def arm_entries(arm: Arm) -> Float32[np.ndarray, "17"]:
    """An arm's entries."""
    entries = [np.array([arm.opening]), arm.fingers, arm.tip[:3, 3], positive(arm.rotation), arm.joints]
    return np.concatenate(entries).astype(np.float32)


def object_entries(task: str, base: Any) -> Float32[np.ndarray, "17"]:
    """Poses (world, xyzw) of what a task moves and of its target, and half size (m) of the former.

    The target of an insertion is the pose of the part when it is in.

    Args:
        task: ManiSkill's name of a task with one arm.
        base: ManiSkill's environment.
    """
    thing, target, size = (getattr(base, name) for name in _THINGS[task])
    poses = []
    for what in (thing, target):
        pose = getattr(what, "pose", what).sp
        poses += [pose.p, positive(pose.q[[1, 2, 3, 0]])]
    half = np.broadcast_to(np.asarray(size, dtype=np.float64).reshape(-1), 3)
    return np.concatenate([*poses, half]).astype(np.float32)
