"""Whether an action convention can be meant, and whether numbers agree with it."""

import re
from collections.abc import Callable

import numpy as np
from jaxtyping import Float32

from envs.spec import InputError
from envs.suite import nearest
from model.actions import DELTA_EEF, QUATERNION, ActionConvention, Embodiment

_QUATERNION = set(range(QUATERNION.start, QUATERNION.stop))
_DELTA_ROTATION = set(range(DELTA_EEF.start + 3, DELTA_EEF.start + 6))
_GRIPPERS = {7, 15, 23, 31, DELTA_EEF.start + 6}
_POLARITY = re.compile(r"(-?\d+(?:\.\d+)?)_closed_(-?\d+(?:\.\d+)?)_open")

Fail = Callable[[str], InputError]


def rotation_of(embodiment: Embodiment) -> slice | None:
    """Where a native vector holds a rotation: entries of a quaternion, or of an angular displacement."""
    for region in (_QUATERNION, _DELTA_ROTATION):
        places = [place for place, slot in enumerate(embodiment.slots) if slot in region]
        if places:
            return slice(places[0], places[-1] + 1)
    return None


def check_convention(convention: ActionConvention, embodiment: Embodiment, fail: Fail) -> None:
    """Raises `fail(message)` for a convention that no robot of that embodiment can have."""
    slots = set(embodiment.slots)
    frames: tuple[str, ...]
    rotations: tuple[str, ...]
    if slots >= _QUATERNION:
        frames, rotations = ("world", "base", "tool"), ("quaternion_xyzw",)
    elif slots >= _DELTA_ROTATION:
        frames, rotations = ("world", "base", "tool"), ("rotation_vector", "euler_xyz")
    else:
        frames, rotations = ("none",), ("none",)
    modes = ("delta",) if slots >= _DELTA_ROTATION else ("position", "keyframe", "delta")
    for entry, allowed in (("frame", frames), ("rotation", rotations), ("control_mode", modes)):
        value = getattr(convention, entry)
        if value not in allowed:
            raise fail(
                f"convention has {entry} {value!r}, which embodiment {embodiment.name} cannot have."
                f"{nearest(value, allowed)} Choose one of: {', '.join(allowed)}."
            )
    if not slots & _GRIPPERS:
        if convention.gripper != "none":
            raise fail(f"embodiment {embodiment.name} has no gripper: write `gripper: none` under convention.")
    elif _POLARITY.fullmatch(convention.gripper) is None:
        raise fail(
            f"convention has gripper {convention.gripper!r}; write the numbers that mean closed and open, as "
            "0_closed_1_open."
        )


def check_gripper(
    actions: Float32[np.ndarray, "N A"], convention: ActionConvention, embodiment: Embodiment, fail: Fail
) -> None:
    """Raises `fail(message)` where gripper numbers lie far outside what the convention calls closed and open.

    Grippers that were recorded from a person's hand overshoot; other units and polarities miss by more.
    """
    match = _POLARITY.fullmatch(convention.gripper)
    if match is None:
        return
    closed, opened = float(match[1]), float(match[2])
    slack = abs(opened - closed) / 2
    for place, slot in enumerate(embodiment.slots):
        low, high = float(actions[:, place].min()), float(actions[:, place].max())
        if slot in _GRIPPERS and (low < min(closed, opened) - slack or high > max(closed, opened) + slack):
            raise fail(
                f"entry {place} of the action, a gripper, takes values from {low:g} to {high:g}, but convention says "
                f"{convention.gripper}. Give that piece a scale and an offset."
            )
