"""The unified action space, version 1: 128 float32 slots that every embodiment shares.

| region | slots | contents |
|---|---|---|
| A absolute end-effector | 0:8 | x y z (m), qx qy qz qw (unit, xyzw), gripper (0 closed .. 1 open) |
| B joints | 8:16 | j0..j6 (rad), gripper |
| C bimanual joints | 16:32 | left j0..j6, gripper, right j0..j6, gripper |
| D dexterous fingers | 32:48 | f0..f15 (rad) |
| E delta end-effector | 48:56 | dx dy dz (m), drx dry drz (rad), dgripper, dbase |
| padding | 56:128 | zero |

An embodiment names the slots it uses. This module imports numpy alone: simulators, policies and the leaderboard
all depend on it.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

ACTION_DIM = 128
ACTION_SPACE_VERSION = 1

ABSOLUTE_EEF = slice(0, 8)
JOINTS = slice(8, 16)
BIMANUAL_JOINTS = slice(16, 32)
FINGERS = slice(32, 48)
DELTA_EEF = slice(48, 56)

POSITION = slice(0, 3)
QUATERNION = slice(3, 7)
GRIPPER = 7


class ActionError(ValueError):
    """An action vector that cannot be executed: wrong shape, not finite, or not a valid rotation."""


@dataclass(frozen=True)
class Embodiment:
    """A robot's view of the unified action space.

    Attributes:
        id: Fixed integer, stable across versions (an index into embedding tables).
        name: Unique name.
        slots: Index into the 128 slots of each entry of the native vector, in native order.
    """

    id: int
    name: str
    slots: tuple[int, ...]

    @property
    def native_dim(self) -> int:
        """Length of the native action vector."""
        return len(self.slots)

    @property
    def mask(self) -> Bool[np.ndarray, "128"]:
        """True on the slots this embodiment uses."""
        mask = np.zeros(ACTION_DIM, dtype=bool)
        mask[list(self.slots)] = True
        return mask

    def encode(self, native: Float[np.ndarray, "*batch n"]) -> Float[np.ndarray, "*batch 128"]:
        """Puts a native action vector into the 128 slots; all other slots are zero.

        Raises:
            ActionError: The last axis is not `native_dim` long.
        """
        native = np.asarray(native, dtype=np.float32)
        if native.shape[-1:] != (self.native_dim,):
            raise ActionError(f"{self.name} takes {self.native_dim} numbers an action, got shape {native.shape}")
        action = np.zeros((*native.shape[:-1], ACTION_DIM), dtype=np.float32)
        action[..., list(self.slots)] = native
        return action

    def decode(self, action: Float[np.ndarray, "*batch 128"]) -> Float[np.ndarray, "*batch n"]:
        """Reads the native action vector out of the 128 slots: the inverse of `encode` on active slots.

        Raises:
            ActionError: The last axis is not 128 long.
        """
        action = np.asarray(action)
        if action.shape[-1:] != (ACTION_DIM,):
            raise ActionError(f"an action has {ACTION_DIM} slots, got shape {action.shape}")
        return action[..., list(self.slots)].astype(np.float32)


def _slots(*regions: slice) -> tuple[int, ...]:
    return tuple(index for region in regions for index in range(region.start, region.stop))


_ALL = (
    Embodiment(0, "absolute_eef", _slots(ABSOLUTE_EEF)),
    Embodiment(1, "joints", _slots(JOINTS)),
    Embodiment(2, "bimanual_joints", _slots(BIMANUAL_JOINTS)),
    Embodiment(3, "dexterous", _slots(slice(0, 7), FINGERS)),
    Embodiment(4, "delta_eef", _slots(DELTA_EEF)),
    # Two six-joint arms with a gripper each: the seventh joint of either arm stays masked.
    Embodiment(5, "aloha", _slots(slice(16, 22), slice(23, 24), slice(24, 30), slice(31, 32))),
)
EMBODIMENTS: dict[str, Embodiment] = {embodiment.name: embodiment for embodiment in _ALL}


@dataclass(frozen=True)
class ActionConvention:
    """What the numbers of an action mean. Policy and task must agree on every field, or the run is refused.

    Attributes:
        embodiment: Name of an `Embodiment`.
        frame: Frame of poses and displacements: "world", "base" or "tool"; "none" for joint actions.
        rotation: "quaternion_xyzw", "euler_xyz", "rotation_vector"; "none" where there is no rotation.
        gripper: Polarity, such as "0_closed_1_open"; "none" without a gripper.
        control_mode: How the robot gets there: "keyframe" (a planner drives to the pose), "position", "delta".
    """

    embodiment: str
    frame: str
    rotation: str
    gripper: str
    control_mode: str

    def __post_init__(self) -> None:
        if self.embodiment not in EMBODIMENTS:
            raise ValueError(f"unknown embodiment {self.embodiment!r}; known: {', '.join(EMBODIMENTS)}")


KEYFRAME_EEF = ActionConvention("absolute_eef", "world", "quaternion_xyzw", "0_closed_1_open", "keyframe")
POSITION_EEF = ActionConvention("absolute_eef", "world", "quaternion_xyzw", "0_closed_1_open", "position")


def check_action(action: np.ndarray, embodiment: Embodiment) -> None:
    """Checks that an action can be handed to a simulator.

    Args:
        action: The candidate; must be [128], finite on the active slots and, where the embodiment has an absolute
            end-effector pose, with a quaternion of norm 1 within 1e-3.
        embodiment: Whose slots are read.

    Raises:
        ActionError: With the reason; the runner records it as that episode's failure.
    """
    action = np.asarray(action)
    if action.shape != (ACTION_DIM,):
        raise ActionError(f"an action is a vector of {ACTION_DIM} slots, got shape {action.shape}")
    if not np.issubdtype(action.dtype, np.number) or np.issubdtype(action.dtype, np.complexfloating):
        raise ActionError("the action holds NaN, infinite or non-numeric values")
    with np.errstate(over="ignore"):
        active = action[embodiment.mask].astype(np.float32)  # what is played and written down
    if not np.all(np.isfinite(active)):
        raise ActionError("the action holds NaN, infinite or non-numeric values")
    if set(range(3, 7)) <= set(embodiment.slots):
        norm = float(np.linalg.norm(action[QUATERNION]))
        if abs(norm - 1.0) > 1e-3:
            raise ActionError(f"the quaternion (xyzw) has norm {norm:.4f}, not 1")
