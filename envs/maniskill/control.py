"""Our actions as ManiSkill's: what a control does, and absolute joint positions of one arm or two."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Float32

from envs.maniskill.kinematics import JOINT_HIGH, JOINT_LOW, REST, Frame, reach, tool
from model.actions import EMBODIMENTS, ActionConvention

CONTROL_HZ = 20.0
FINGER_OPEN = 0.04  # m each
_SEARCH = 200  # iterations from the rest posture


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

    def from_joints(self, command: Float[np.ndarray, "arms 8"], arms: Sequence[Arm]) -> Float32[np.ndarray, "128"]:
        """Our action that leads where a joint command of ManiSkill's does; for planned solutions.

        Args:
            command: Of each arm: joint angles (rad), gripper (-1 closed .. 1 open).
            arms: The arms as they are.
        """
        raise NotImplementedError


class JointControl(Control):
    """Absolute joint positions and gripper opening, ManiSkill's `pd_joint_pos`.

    Args:
        arms: 1 or 2.
        speed: The joints' set points go towards the commanded positions, all of an arm's in the same time, and none
            faster than this (rad/s); None for at once, as ManiSkill does.
    """

    mode = "pd_joint_pos"

    def __init__(self, arms: int, speed: float | None = None) -> None:
        name = "joints" if arms == 1 else "bimanual_joints"
        self.convention = ActionConvention(name, "none", "none", "0_closed_1_open", "position")
        self.low, self.high = (*JOINT_LOW, 0.0) * arms, (*JOINT_HIGH, 1.0) * arms
        self._arms, self._embodiment, self._speed = arms, EMBODIMENTS[name], speed
        self._bounds = np.array([self.low, self.high], dtype=np.float32)
        self._last = np.zeros(8 * arms, dtype=np.float32)
        self._joints = np.zeros((arms, 7))
        self._bases: list[Frame] = []

    @property
    def paced(self) -> bool:
        """The arms go to a far command by themselves."""
        return self._speed is not None

    def start(self, arms: Sequence[Arm]) -> None:
        """See `Control.start`."""
        self._last = np.concatenate([[*arm.joints, arm.opening] for arm in arms]).astype(np.float32)
        self._joints = np.array([arm.joints for arm in arms], dtype=float)
        self._bases = [arm.base for arm in arms]

    def command(self, action: Float32[np.ndarray, "128"]) -> Float32[np.ndarray, "arms 8"]:
        """See `Control.command`. Entries out of bounds are clipped."""
        self._last = np.clip(self._embodiment.decode(action), *self._bounds)
        command = self._last.reshape(self._arms, 8).copy()
        way = command[:, :7] - self._joints
        if self._speed is not None:
            way *= np.minimum(1.0, self._speed / CONTROL_HZ / np.maximum(np.abs(way).max(1, keepdims=True), 1e-9))
        self._joints = self._joints + way
        command[:, :7] = self._joints
        command[:, 7] = 2.0 * command[:, 7] - 1.0
        return command

    def hold(self) -> Float32[np.ndarray, "128"]:
        """See `Control.hold`."""
        return self._embodiment.encode(self._last)

    def set_point(self, arm: int) -> Frame:
        """Pose of an arm's tool centre point in the world that its joints were last sent to."""
        return self._bases[arm] @ tool(self._joints[arm])

    def going(self, goals: Sequence[tuple[Frame, float]]) -> Float32[np.ndarray, "128"]:
        """The action that goes to a pose (world) and a gripper opening (0 closed .. 1 open) of each arm.

        Joint positions are looked for from the rest posture, so that a pose has one answer wherever the arm is. Where
        there are none the arm stays.
        """
        native = self._last.reshape(self._arms, 8).astype(float)
        for arm, (pose, opening) in enumerate(goals):
            found = reach(np.linalg.inv(self._bases[arm]) @ pose, np.array(REST), _SEARCH)
            native[arm] = *(native[arm, :7] if found is None else found), opening
        return self._embodiment.encode(native.reshape(-1))

    def from_joints(self, command: Float[np.ndarray, "arms 8"], arms: Sequence[Arm]) -> Float32[np.ndarray, "128"]:
        """See `Control.from_joints`."""
        native = np.array(command, dtype=np.float64)
        native[:, 7] = (native[:, 7] + 1.0) / 2.0
        return self._embodiment.encode(native.reshape(-1))
