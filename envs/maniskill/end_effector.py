"""Control of one arm's end effector: where it should be, or by how much it should move."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float32
from scipy.spatial.transform import Rotation

from envs.maniskill.control import Arm, Control, JointControl
from envs.maniskill.kinematics import reach, tool
from envs.maniskill.settings import Options
from envs.rlbench.state import positive
from model.actions import EMBODIMENTS, POSITION_EEF, ActionConvention

# ManiSkill's controller of displacements: +-1 are so many metres and rad a step. Its rotations have the opposite sign.
STEP_M = 0.1
STEP_RAD = 0.1
# Towards a pose the set point goes by so much a step, at most: 0.6 m/s and 2.5 rad/s.
POSE_M, POSE_RAD = 0.03, 0.125
# What the random policy draws positions from: m, world.
_TABLE_LOW, _TABLE_HIGH = (-0.3, -0.4, 0.0), (0.3, 0.4, 0.5)

Frame = Float[np.ndarray, "4 4"]


class PoseControl(Control):
    """Poses of the tool centre point in the world and gripper opening, by ManiSkill's `pd_joint_pos`.

    In each step the set point goes towards the pose, by 3 cm and 0.125 rad at most, and inverse kinematics gives joint
    positions near the last ones. Where it finds none the arm stays.
    """

    mode = "pd_joint_pos"
    convention = POSITION_EEF

    def __init__(self) -> None:
        self._embodiment = EMBODIMENTS["absolute_eef"]
        self.low = (*_TABLE_LOW, -1.0, -1.0, -1.0, -1.0, 0.0)
        self.high = (*_TABLE_HIGH, 1.0, 1.0, 1.0, 1.0, 1.0)

    def start(self, arms: Sequence[Arm]) -> None:
        """See `Control.start`."""
        (arm,) = arms
        self._base, self._joints, self._opening = arm.base, arm.joints.astype(float), arm.opening

    def set_point(self, arm: int = 0) -> Frame:
        """Pose of the tool centre point in the world that the joints were last sent to."""
        return self._base @ tool(self._joints)

    def going(self, goals: Sequence[tuple[Frame, float]]) -> Float32[np.ndarray, "128"]:
        """The action that goes to a pose (world), with a gripper opening (0 closed .. 1 open)."""
        ((pose, opening),) = goals
        quaternion = positive(Rotation.from_matrix(pose[:3, :3]).as_quat())
        return self._embodiment.encode(np.array([*pose[:3, 3], *quaternion, opening]))

    def command(self, action: Float32[np.ndarray, "128"]) -> Float32[np.ndarray, "1 8"]:
        """See `Control.command`."""
        native = self._embodiment.decode(action).astype(np.float64)
        wanted = np.eye(4)
        wanted[:3, :3], wanted[:3, 3] = Rotation.from_quat(native[3:7]).as_matrix(), native[:3]
        joints = reach(_towards(tool(self._joints), np.linalg.inv(self._base) @ wanted), self._joints)
        if joints is not None:
            self._joints = joints
        self._opening = float(np.clip(native[7], 0.0, 1.0))
        return np.array([[*self._joints, 2.0 * self._opening - 1.0]], dtype=np.float32)

    def hold(self) -> Float32[np.ndarray, "128"]:
        """See `Control.hold`."""
        return self.going([(self.set_point(), self._opening)])


class DisplacementControl(Control):
    """Displacements of the end effector along and about the axes of the arm's base, ManiSkill's `pd_ee_delta_pose`.

    The rotation is given by intrinsic x, y, z angles and comes after the orientation of now: R' = R(angles) R. A
    displacement is at most 0.1 m along each axis and its three angles have a norm of at most 0.1 rad; more is cut. The
    gripper's entry changes the opening that was last commanded (1 is from closed to open). There is no base to move.
    """

    mode = "pd_ee_delta_pose"
    convention = ActionConvention("delta_eef", "base", "euler_xyz", "change_of_opening", "delta")

    def __init__(self) -> None:
        self.low = (-STEP_M,) * 3 + (-STEP_RAD,) * 3 + (-1.0, 0.0)
        self.high = (STEP_M,) * 3 + (STEP_RAD,) * 3 + (1.0, 0.0)
        self._embodiment = EMBODIMENTS["delta_eef"]
        self._opening = 1.0

    def start(self, arms: Sequence[Arm]) -> None:
        """See `Control.start`."""
        self._opening = arms[0].opening

    def command(self, action: Float32[np.ndarray, "128"]) -> Float32[np.ndarray, "1 7"]:
        """See `Control.command`."""
        native = self._embodiment.decode(action).astype(np.float64)
        self._opening = float(np.clip(self._opening + native[6], 0.0, 1.0))
        parts = (native[:3] / STEP_M, -native[3:6] / STEP_RAD, [2.0 * self._opening - 1.0])
        return np.concatenate(parts).astype(np.float32)[None]

    def hold(self) -> Float32[np.ndarray, "128"]:
        """See `Control.hold`."""
        return self._embodiment.encode(np.zeros(8))

    def from_joints(self, command: Float[np.ndarray, "1 8"], arms: Sequence[Arm]) -> Float32[np.ndarray, "128"]:
        """See `Control.from_joints`. A motion that is longer than a step's is cut."""
        (arm,) = arms
        now, then = np.linalg.inv(arm.base) @ arm.tip, tool(command[0, :7])
        shift = np.clip(then[:3, 3] - now[:3, 3], -STEP_M, STEP_M)
        turn = Rotation.from_matrix(then[:3, :3] @ now[:3, :3].T)
        angles = turn.as_euler("XYZ")
        angles *= min(1.0, STEP_RAD / max(float(np.linalg.norm(angles)), 1e-9))
        opening = (float(command[0, 7]) + 1.0) / 2.0
        return self._embodiment.encode(np.array([*shift, *angles, opening - self._opening, 0.0]))


def make_control(options: Options, arms: int) -> Control:
    """The control that a suite's options name."""
    if options.control == "joints":
        return JointControl(arms, options.joint_speed)
    return PoseControl() if options.control == "eef" else DisplacementControl()


def _towards(now: Frame, wanted: Frame) -> Frame:
    """The pose as far on the way as a step goes."""
    step = np.eye(4)
    shift = wanted[:3, 3] - now[:3, 3]
    step[:3, 3] = now[:3, 3] + shift * min(1.0, POSE_M / max(float(np.linalg.norm(shift)), 1e-9))
    turn = Rotation.from_matrix(wanted[:3, :3] @ now[:3, :3].T).as_rotvec()
    turn *= min(1.0, POSE_RAD / max(float(np.linalg.norm(turn)), 1e-9))
    step[:3, :3] = Rotation.from_rotvec(turn).as_matrix() @ now[:3, :3]
    return step
