"""Native actions to the network's internal vectors and back, and the normalisation of proprioception.

The internal vector has the 128 slots of `model.actions`, with three changes on the active ones:

* Rotation leaves its quaternion slots 3:7 (inactive inside) and becomes 6-D in the padding slots 56:62: the first
  column of the rotation matrix in 56:59, the second in 59:62. It keeps its own scale: 5 degrees are 0.09.
* Gripper 0 .. 1 becomes -0.5 .. 0.5 times `GRIPPER_SCALE`: opening weighs as much as one standard deviation of
  position.
* All other slots are z-normalised with the training set's mean and standard deviation.

Quaternions are xyzw. Of q and -q, which are one rotation, the one with w >= 0 comes out (where w = 0, the first
entry that is not zero is positive).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32

from model.actions import ABSOLUTE_EEF, ACTION_DIM, EMBODIMENTS, GRIPPER, QUATERNION, Embodiment

ROTATION_6D = slice(56, 62)
# Parts of an internal vector that belong together: positions, rotations, joints of an arm, each gripper.
PARTS = tuple(
    slice(*bounds)
    for bounds in (
        *((0, 3), (56, 62), (7, 8)),  # end effector: position, rotation 6-D, gripper
        *((8, 15), (15, 16)),  # joints, gripper
        *((16, 23), (23, 24), (24, 31), (31, 32)),  # two arms
        (32, 48),  # fingers
        *((48, 51), (51, 54), (54, 55), (55, 56)),  # displacement, turn, gripper, base
    )
)
GRIPPER_SCALE = 1.0
MINIMUM_STD = 1e-2  # of action slots (1 cm, 0.6 degrees): a slot that never moves must not amplify noise
MINIMUM_PROPRIOCEPTION_STD = 1e-3


def canonical_quaternion(q: Float[np.ndarray, "*n 4"]) -> Float[np.ndarray, "*n 4"]:
    """Unit quaternion xyzw with a unique sign; a zero quaternion becomes the identity."""
    q = np.asarray(q, dtype=np.float64)
    norm = np.linalg.norm(q, axis=-1, keepdims=True)
    q = np.where(norm > 1e-8, q / np.maximum(norm, 1e-8), [0.0, 0.0, 0.0, 1.0])
    # w decides; entries that are zero but for rounding pass the decision on to x, y, z.
    order = np.where(np.abs(q[..., [3, 0, 1, 2]]) > 1e-6, q[..., [3, 0, 1, 2]], 0.0)
    first = np.take_along_axis(order, np.argmax(order != 0, axis=-1)[..., None], axis=-1)
    return q * np.where(first < 0, -1.0, 1.0)


def quaternion_to_6d(q: Float[np.ndarray, "*n 4"]) -> Float[np.ndarray, "*n 6"]:
    """First and second column of the rotation matrix of a quaternion xyzw."""
    x, y, z, w = np.moveaxis(canonical_quaternion(q), -1, 0)
    first = [1 - 2 * (y * y + z * z), 2 * (x * y + z * w), 2 * (x * z - y * w)]
    second = [2 * (x * y - z * w), 1 - 2 * (x * x + z * z), 2 * (y * z + x * w)]
    return np.stack(first + second, axis=-1)


def quaternion_from_6d(columns: Float[np.ndarray, "*n 6"]) -> Float[np.ndarray, "*n 4"]:
    """Canonical quaternion xyzw of the rotation nearest in the sense of Gram-Schmidt; any six numbers give one."""
    columns = np.asarray(columns, dtype=np.float64)
    a = _unit(columns[..., :3], np.array([1.0, 0.0, 0.0]))
    b = columns[..., 3:] - (a * columns[..., 3:]).sum(-1, keepdims=True) * a
    # Parallel columns leave the second free: any direction at a right angle to the first.
    least = np.eye(3)[np.argmin(np.abs(a), axis=-1)]
    b = _unit(b, _unit(np.cross(a, least), np.array([0.0, 1.0, 0.0])))
    m = np.stack([a, b, np.cross(a, b)], axis=-1)
    # Each row is 4 q_k q for one entry k; the row with the largest q_k loses no digits.
    m00, m01, m02 = (m[..., 0, k] for k in range(3))
    m10, m11, m12 = (m[..., 1, k] for k in range(3))
    m20, m21, m22 = (m[..., 2, k] for k in range(3))
    rows = np.stack(
        [
            np.stack([1 + m00 - m11 - m22, m01 + m10, m02 + m20, m21 - m12], axis=-1),
            np.stack([m01 + m10, 1 - m00 + m11 - m22, m12 + m21, m02 - m20], axis=-1),
            np.stack([m02 + m20, m12 + m21, 1 - m00 - m11 + m22, m10 - m01], axis=-1),
            np.stack([m21 - m12, m02 - m20, m10 - m01, 1 + m00 + m11 + m22], axis=-1),
        ],
        axis=-2,
    )
    best = np.argmax(np.diagonal(rows, axis1=-2, axis2=-1), axis=-1)
    return canonical_quaternion(np.take_along_axis(rows, best[..., None, None], axis=-2)[..., 0, :])


def _unit(v: np.ndarray, fallback: np.ndarray) -> np.ndarray:
    norm = np.linalg.norm(v, axis=-1, keepdims=True)
    return np.where(norm > 1e-8, v / np.maximum(norm, 1e-8), fallback)


def internal_mask(embodiment: Embodiment) -> Bool[np.ndarray, "128"]:
    """The slots of the internal vector that an embodiment uses."""
    mask = embodiment.mask
    if _has_rotation(embodiment):
        mask[QUATERNION] = False
        mask[ROTATION_6D] = True
    return mask


def _has_rotation(embodiment: Embodiment) -> bool:
    return bool(embodiment.mask[QUATERNION].all())


def _has_gripper(embodiment: Embodiment) -> bool:
    return bool(embodiment.mask[ABSOLUTE_EEF].all())


@dataclass(frozen=True)
class Normalizer:
    """The numbers that turn native actions and proprioception into network inputs, stored beside the weights.

    Attributes:
        embodiment: Name of the embodiment.
        mean: Of each of the 128 internal slots; zero where there is nothing to normalise.
        std: Likewise; one where there is nothing to normalise, never under `MINIMUM_STD`.
        proprioception_mean: Of each entry of the proprioception vector.
        proprioception_std: Likewise, never under `MINIMUM_PROPRIOCEPTION_STD`.
    """

    embodiment: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    proprioception_mean: tuple[float, ...]
    proprioception_std: tuple[float, ...]

    @classmethod
    def fit(
        cls, embodiment: str, native: Float[np.ndarray, "N n"], proprioception: Float[np.ndarray, "N P"]
    ) -> "Normalizer":
        """Measures a training set.

        Args:
            embodiment: Name of the embodiment.
            native: Its native actions.
            proprioception: Raw proprioception vectors.
        """
        robot = EMBODIMENTS[embodiment]
        action = robot.encode(native).astype(np.float64)
        mean, std = np.zeros(ACTION_DIM), np.ones(ACTION_DIM)
        slots = internal_mask(robot) & robot.mask
        if _has_gripper(robot):
            slots[GRIPPER] = False
            mean[GRIPPER], std[GRIPPER] = 0.5, 1 / GRIPPER_SCALE
        mean[slots] = action[:, slots].mean(0)
        std[slots] = np.maximum(action[:, slots].std(0), MINIMUM_STD)
        state = np.asarray(proprioception, dtype=np.float64)
        return cls(
            embodiment,
            tuple(mean.tolist()),
            tuple(std.tolist()),
            tuple(state.mean(0).tolist()),
            tuple(np.maximum(state.std(0), MINIMUM_PROPRIOCEPTION_STD).tolist()),
        )

    @property
    def mask(self) -> Bool[np.ndarray, "128"]:
        """Active slots of the internal vector."""
        return internal_mask(EMBODIMENTS[self.embodiment])

    def to_internal(self, action: Float[np.ndarray, "*n 128"]) -> Float32[np.ndarray, "*n 128"]:
        """Internal vector of an action in the 128 slots; inactive slots are zero."""
        action = np.asarray(action, dtype=np.float64)
        internal = (action - np.asarray(self.mean)) / np.asarray(self.std)
        if _has_rotation(EMBODIMENTS[self.embodiment]):
            internal[..., ROTATION_6D] = quaternion_to_6d(action[..., QUATERNION])
        return np.where(self.mask, internal, 0.0).astype(np.float32)

    def to_action(self, internal: Float[np.ndarray, "*n 128"]) -> Float32[np.ndarray, "*n 128"]:
        """The inverse of `to_internal`, for any numbers: rotations are made unit, the gripper is cut to 0 .. 1."""
        robot = EMBODIMENTS[self.embodiment]
        internal = np.asarray(internal, dtype=np.float64)
        action = internal * np.asarray(self.std) + np.asarray(self.mean)
        if _has_rotation(robot):
            action[..., QUATERNION] = quaternion_from_6d(internal[..., ROTATION_6D])
        if _has_gripper(robot):
            action[..., GRIPPER] = action[..., GRIPPER].clip(0.0, 1.0)
        return np.where(robot.mask, action, 0.0).astype(np.float32)

    def proprioception(self, state: Float[np.ndarray, "*n P"]) -> Float32[np.ndarray, "*n P"]:
        """Normalised proprioception, cut at 5 standard deviations (a value never seen must not run away)."""
        z = (np.asarray(state, dtype=np.float64) - self.proprioception_mean) / np.asarray(self.proprioception_std)
        return z.clip(-5, 5).astype(np.float32)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for the checkpoint."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Normalizer":
        """The inverse of `to_dict`."""
        names = ("mean", "std", "proprioception_mean", "proprioception_std")
        return cls(data["embodiment"], *(tuple(data[name]) for name in names))
