"""Our actions as ManiSkill's: absolute joint positions of one arm or two, or displacements of the end effector."""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Float32

from model.actions import EMBODIMENTS, ActionConvention

# The Panda's joint limits, rad.
JOINT_LOW = (-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973)
JOINT_HIGH = (2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973)
# ManiSkill's end-effector controller: +-1 are so many metres and rad a step. Its rotations have the opposite sign.
STEP_M = 0.1
STEP_RAD = 0.1


class Control(ABC):
    """A way to control the arms; remembers what was last commanded.

    Attributes:
        convention: Meaning of an action.
        mode: ManiSkill's name of the controller.
        low: Lower bound of each native entry.
        high: Upper bound.
    """

    convention: ActionConvention
    mode: ClassVar[str]
    low: tuple[float, ...]
    high: tuple[float, ...]

    @abstractmethod
    def start(self, joints: Float[np.ndarray, "arms 7"], opening: Float[np.ndarray, "arms"]) -> None:
        """A new episode, from these joint angles (rad) and gripper openings (0 closed .. 1 open)."""

    @abstractmethod
    def command(self, action: Float32[np.ndarray, "128"]) -> Float32[np.ndarray, "arms n"]:
        """ManiSkill's vector for each arm (gripper last, -1 closed .. 1 open)."""

    @abstractmethod
    def hold(self) -> Float32[np.ndarray, "128"]:
        """The action that keeps the arms where they were last told to be."""

    @abstractmethod
    def from_joints(self, command: Float[np.ndarray, "arms 8"]) -> Float32[np.ndarray, "128"]:
        """Our action for a joint command of ManiSkill's: the inverse of `command`.

        Raises:
            NotImplementedError: This control has no joint commands.
        """


class JointControl(Control):
    """Absolute joint positions and gripper opening, ManiSkill's `pd_joint_pos`.

    Args:
        arms: 1 or 2.
    """

    mode = "pd_joint_pos"

    def __init__(self, arms: int) -> None:
        name = "joints" if arms == 1 else "bimanual_joints"
        self.convention = ActionConvention(name, "none", "none", "0_closed_1_open", "position")
        self.low, self.high = (*JOINT_LOW, 0.0) * arms, (*JOINT_HIGH, 1.0) * arms
        self._arms, self._embodiment = arms, EMBODIMENTS[name]
        self._bounds = np.array([self.low, self.high], dtype=np.float32)
        self._last = np.zeros(8 * arms, dtype=np.float32)

    def start(self, joints: Float[np.ndarray, "arms 7"], opening: Float[np.ndarray, "arms"]) -> None:
        """See `Control.start`."""
        self._last = np.concatenate([joints, opening[:, None]], axis=1).reshape(-1).astype(np.float32)

    def command(self, action: Float32[np.ndarray, "128"]) -> Float32[np.ndarray, "arms 8"]:
        """See `Control.command`. Entries out of bounds are clipped."""
        self._last = np.clip(self._embodiment.decode(action), *self._bounds)
        command = self._last.reshape(self._arms, 8).copy()
        command[:, 7] = 2.0 * command[:, 7] - 1.0
        return command

    def hold(self) -> Float32[np.ndarray, "128"]:
        """See `Control.hold`."""
        return self._embodiment.encode(self._last)

    def from_joints(self, command: Float[np.ndarray, "arms 8"]) -> Float32[np.ndarray, "128"]:
        """See `Control.from_joints`."""
        native = np.array(command, dtype=np.float64)
        native[:, 7] = (native[:, 7] + 1.0) / 2.0
        return self._embodiment.encode(native.reshape(-1))


class DeltaControl(Control):
    """Displacements of the end effector along and about the axes of the arm's base, ManiSkill's `pd_ee_delta_pose`.

    The rotation is given by intrinsic x, y, z angles and comes after the orientation of now: R' = R(angles) R. A
    displacement is at most 0.1 m along each axis and its three angles have a norm of at most 0.1 rad; more is cut. The
    gripper's entry changes the opening that was last commanded (1 is from closed to open). There is no base to move.
    """

    mode = "pd_ee_delta_pose"

    def __init__(self) -> None:
        self.convention = ActionConvention("delta_eef", "base", "euler_xyz", "change_of_opening", "delta")
        self.low = (-STEP_M,) * 3 + (-STEP_RAD,) * 3 + (-1.0, 0.0)
        self.high = (STEP_M,) * 3 + (STEP_RAD,) * 3 + (1.0, 0.0)
        self._embodiment = EMBODIMENTS["delta_eef"]
        self._opening = 1.0

    def start(self, joints: Float[np.ndarray, "arms 7"], opening: Float[np.ndarray, "arms"]) -> None:
        """See `Control.start`."""
        self._opening = float(opening[0])

    def command(self, action: Float32[np.ndarray, "128"]) -> Float32[np.ndarray, "arms 7"]:
        """See `Control.command`."""
        native = self._embodiment.decode(action).astype(np.float64)
        self._opening = float(np.clip(self._opening + native[6], 0.0, 1.0))
        parts = (native[:3] / STEP_M, -native[3:6] / STEP_RAD, [2.0 * self._opening - 1.0])
        return np.concatenate(parts).astype(np.float32)[None]

    def hold(self) -> Float32[np.ndarray, "128"]:
        """See `Control.hold`."""
        return self._embodiment.encode(np.zeros(8))

    def from_joints(self, command: Float[np.ndarray, "arms 8"]) -> Float32[np.ndarray, "128"]:
        """See `Control.from_joints`."""
        raise NotImplementedError("the experts command joint positions: a suite of displacements has no expert")


def make_control(name: str, arms: int) -> Control:
    """The control that a suite's option names."""
    return JointControl(arms) if name == "joints" else DeltaControl()
