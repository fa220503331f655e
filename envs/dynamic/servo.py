"""The arm under control at a fixed rate: every tick it goes towards a tip pose as far as its speed limits let it."""

from collections.abc import Iterator

import numpy as np
from scipy.spatial.transform import Rotation

from envs.rlbench import panda
from envs.rlbench.kinematics import Kinematics
from envs.rlbench.pose import Pose
from envs.rlbench.state import FINGER_OPEN
from envs.rlbench.world import TIMESTEP, World
from envs.spec import SimulatorError

CONTROL_HZ = 20.0
TIP_SPEED = 0.6  # m/s
TIP_TURN = 2.5  # rad/s
JOINT_SPEED = 2.2  # rad/s
FINGER_SPEED = 0.25  # m/s each
# Targets are pulled into this box (m, world): the table's middle, and as high as the tasks need.
TARGET_LOW = np.array([-0.05, -0.50, 0.757])
TARGET_HIGH = np.array([0.65, 0.50, 1.20])
PART_S = 0.01  # s between two commands to the joints
_TICK_S = 1.0 / CONTROL_HZ
_PARTS = round(_TICK_S / PART_S)
_STEPS = round(PART_S / TIMESTEP)
_GUESS = np.array([0.0, 0.2, 0.0, -1.8, 0.0, 2.0, 0.785])  # posture from which the start is looked for, rad


class Servo:
    """Position control of the tip, and of the fingers.

    The pose that the joints are sent to (the set point) moves in a straight line towards the target, at `TIP_SPEED` and
    `TIP_TURN` at most, and slower where a joint would exceed `JOINT_SPEED`. Where inverse kinematics finds nothing
    it stays for that tick.

    Attributes:
        open: Whether the gripper was last told to open.
        set_point: Tip pose that the joints are sent to.
    """

    def __init__(
        self, world: World, kinematics: Kinematics, attach: bool, start: Pose, tool: str | None, farthest: float
    ) -> None:
        """Puts the arm into its start posture, at once and without physics.

        Args:
            world: The world.
            kinematics: Of the arm.
            attach: A closing gripper welds a graspable object that both fingers touch; False leaves it to friction.
            start: Tip pose.
            tool: Free body that is mounted on the hand where it is now; the gripper stays closed then.
            farthest: x that targets are pulled back to where they are beyond, m.

        Raises:
            SimulatorError: The arm cannot reach the start pose.
        """
        joints = kinematics.solve(start, _GUESS, iterations=200)
        if joints is None:
            raise SimulatorError("the start pose is out of reach")
        self._world, self._kinematics, self._attach, self._tool = world, kinematics, attach, tool
        self._joints = joints
        self._high = np.minimum(TARGET_HIGH, (farthest, np.inf, np.inf))
        self.open = tool is None
        self.set_point = kinematics.tip(joints)
        self._fingers = FINGER_OPEN if self.open else 0.0
        world.data.qpos[world.arm_qpos] = joints
        world.data.qpos[world.finger_qpos] = self._fingers
        world.command(joints)
        world.command_fingers(self._fingers)
        world.forward()
        if tool is not None:
            world.attach(tool)

    def drive(self, target: Pose, opening: bool) -> Iterator[None]:
        """One tick, in parts of `PART_S` seconds; yields after each, so that the caller can move what else moves.

        Args:
            target: Where the tip should go, world.
            opening: Whether the gripper should be open.
        """
        world, before = self._world, self._joints
        self._advance(target)
        self._tell(opening)
        # The joints' damping acts on the absolute speed: lead the command by what it would lag.
        lead = (self._joints - before) / _TICK_S * panda.DAMPING_RATIO_TIME
        goal = FINGER_OPEN if self.open else 0.0
        for part in range(1, _PARTS + 1):
            way = FINGER_SPEED * PART_S
            self._fingers += float(np.clip(goal - self._fingers, -way, way))
            world.command(before + part / _PARTS * (self._joints - before) + lead)
            world.command_fingers(self._fingers)
            world.step(_STEPS)
            yield
        if self._attach and not self.open and world.held is None:
            touched = world.touched()
            if touched:
                world.attach(touched[0])

    def _tell(self, opening: bool) -> None:
        if self._tool is not None:
            return
        if opening and not self.open:
            self._world.release()
            self._fingers = float(self._world.fingers.mean())  # not from where they were told to squeeze to
        self.open = opening

    def _advance(self, target: Pose) -> None:
        """Moves the set point by a tick."""
        now = self.set_point
        way = np.clip(target.position, TARGET_LOW, self._high) - now.position
        turn = (target.rotation * now.rotation.inv()).as_rotvec()
        way *= _share(float(np.linalg.norm(way)), TIP_SPEED * _TICK_S)
        turn *= _share(float(np.linalg.norm(turn)), TIP_TURN * _TICK_S)
        pose = Pose(now.position + way, Rotation.from_rotvec(turn) * now.rotation)
        joints = self._kinematics.solve(pose, self._joints)
        if joints is None:
            return
        change = joints - self._joints
        self._joints = self._joints + change * _share(float(np.abs(change).max()), JOINT_SPEED * _TICK_S)
        self.set_point = self._kinematics.tip(self._joints)


def _share(wanted: float, most: float) -> float:
    """The share of a way that is within a limit."""
    return min(1.0, most / max(wanted, 1e-9))
