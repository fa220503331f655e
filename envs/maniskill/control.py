"""Our actions as ManiSkill's: what a control does, and absolute joint positions of one arm or two."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Float32

from envs.maniskill.kinematics import JOINT_HIGH, JOINT_LOW
from model.actions import EMBODIMENTS, ActionConvention

FINGER_OPEN = 0.04  # m each


@dataclass(frozen=True)
class Arm:
    """An arm's state.

    Attributes:
        joints: Angles, rad.
        fingers: How far each is from the middle, m.
        tip: Pose of the tool centre point in the world.
        rotation: The same pose's rotation as a quaternion xyzw.
        base: Pose of the arm's base in the world.
    """

    joints: Float[np.ndarray, "7"]
    fingers: Float[np.ndarray, "2"]
    tip: Float[np.ndarray, "4 4"]
    rotation: Float[np.ndarray, "4"]
    base: Float[np.ndarray, "4 4"]

    @property
    def opening(self) -> float:
        """How far the gripper is open: 0 closed .. 1 open."""
        return float(self.fingers.mean()) / FINGER_OPEN


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
    def start(self, arms: Sequence[Arm]) -> None:
        """A new episode, with the arms as they are."""

    @abstractmethod
    def command(self, action: Float32[np.ndarray, "128"]) -> Float32[np.ndarray, "arms n"]:
        """ManiSkill's vector for each arm (gripper last, -1 closed .. 1 open)."""

    @abstractmethod
    def hold(self) -> Float32[np.ndarray, "128"]:
        """The action that keeps the arms where they were last told to be."""

    @abstractmethod
    def from_joints(self, command: Float[np.ndarray, "arms 8"], arms: Sequence[Arm]) -> Float32[np.ndarray, "128"]:
        """Our action that leads where a joint command of ManiSkill's does.

        Args:
            command: Of each arm: joint angles (rad), gripper (-1 closed .. 1 open).
            arms: The arms as they are.
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

    def start(self, arms: Sequence[Arm]) -> None:
        """See `Control.start`."""
        self._last = np.concatenate([[*arm.joints, arm.opening] for arm in arms]).astype(np.float32)

    def command(self, action: Float32[np.ndarray, "128"]) -> Float32[np.ndarray, "arms 8"]:
        """See `Control.command`. Entries out of bounds are clipped."""
        self._last = np.clip(self._embodiment.decode(action), *self._bounds)
        command = self._last.reshape(self._arms, 8).copy()
        command[:, 7] = 2.0 * command[:, 7] - 1.0
        return command

    def hold(self) -> Float32[np.ndarray, "128"]:
        """See `Control.hold`."""
        return self._embodiment.encode(self._last)

    def from_joints(self, command: Float[np.ndarray, "arms 8"], arms: Sequence[Arm]) -> Float32[np.ndarray, "128"]:
        """See `Control.from_joints`."""
        native = np.array(command, dtype=np.float64)
        native[:, 7] = (native[:, 7] + 1.0) / 2.0
        return self._embodiment.encode(native.reshape(-1))
