"""Carries out planned motions and gripper actions in the physics."""

from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from envs.rlbench import panda
from envs.rlbench.kinematics import Kinematics
from envs.rlbench.pose import Pose
from envs.rlbench.state import FINGER_OPEN
from envs.rlbench.world import TIMESTEP, World
from envs.spec import SimulatorError

_TIP_SPEED = 0.45  # m/s: fast enough to be cheap, slow enough that pushed objects do not fly
_TIP_TURN = 2.0  # rad/s
_JOINT_SPEED = 1.6  # rad/s
_RAMP = 0.12  # s of acceleration and of deceleration
_TICK = 10  # physics steps between two servo commands
TICK_HZ = 1 / (_TICK * TIMESTEP)
_SETTLED = 0.004  # rad
_SETTLE_LIMIT = 0.4  # s
_FINGER_SPEED = 0.2  # m/s


class Controller:
    """Drives the arm along joint paths and the fingers open or closed.

    Each motion is a generator that yields after every tick of physics, so that the caller can check success, record
    frames, or stop early.
    """

    def __init__(self, world: World, attach: bool) -> None:
        """Takes over a world's robot.

        Args:
            world: The world.
            attach: A closed gripper welds a graspable object that both fingers touch (RLBench: one that the sensor
                between them sees); False leaves the grasp to friction.
        """
        self._world = world
        self._attach = attach
        self.open = True

    def place(self, posture: Float[np.ndarray, "7"]) -> None:
        """Puts the arm into a posture (joint angles, rad) and opens the fingers: at once, without physics."""
        world = self._world
        world.data.qpos[world.arm_qpos] = posture
        world.data.qpos[world.finger_qpos] = FINGER_OPEN
        world.command(posture)
        world.command_fingers(FINGER_OPEN)

    def follow(self, path: Float[np.ndarray, "n 7"], tip_of: Callable[[np.ndarray], Pose]) -> Iterator[float]:
        """Drives along a joint path; yields the share of the motion done, 0..1.

        Args:
            path: Joint angles, rad; the first row is the present posture.
            tip_of: Forward kinematics, for the speed limit of the tip.
        """
        world = self._world
        times = _schedule(path, tip_of)
        duration = float(times[-1])
        total = duration + _RAMP
        tick = _TICK * TIMESTEP
        for k in range(1, int(np.ceil(total / tick)) + 1):
            clock, speed = _trapezoid(k * tick, duration)
            joints = np.array([np.interp(clock, times, path[:, j]) for j in range(7)])
            ahead = np.array([np.interp(min(clock + 1e-3, duration), times, path[:, j]) for j in range(7)])
            # The servo's damping acts on the absolute speed: lead the target by what it would lag.
            lead = (ahead - joints) / 1e-3 * speed * panda.DAMPING_RATIO_TIME
            world.command(joints + lead)
            world.step(_TICK)
            yield min(k * tick / total, 1.0)
        world.command(path[-1])
        for _ in range(int(_SETTLE_LIMIT / tick)):
            if np.abs(world.arm - path[-1]).max() < _SETTLED and np.abs(world.data.qvel[world.arm_dofs]).max() < 0.02:
                break
            world.step(_TICK)
            yield 1.0

    def stand(self, ticks: int) -> Iterator[float]:
        """Keeps the servos' targets for so many ticks."""
        for _ in range(ticks):
            self._world.step(_TICK)
            yield 1.0

    def grip(self, opening: bool) -> Iterator[float]:
        """Opens or closes the gripper; nothing happens when it is in that state already."""
        if opening == self.open:
            return
        world = self._world
        if opening:
            world.release()
        goal = FINGER_OPEN if opening else 0.0
        current = float(world.fingers.mean())
        ticks = int(np.ceil(FINGER_OPEN / _FINGER_SPEED / (_TICK * TIMESTEP)))
        for target in np.linspace(current, goal, ticks + 1)[1:]:
            world.command_fingers(float(target))
            world.step(_TICK)
            yield 1.0
        for _ in range(5):
            world.step(_TICK)
            yield 1.0
        self.open = opening
        if not opening and self._attach:
            touched = world.touched()
            if touched:
                world.attach(touched[0])


def start_posture(kinematics: Kinematics) -> Float[np.ndarray, "7"]:
    """Joint angles (rad) in which every episode starts.

    Raises:
        SimulatorError: The arm cannot reach the start pose.
    """
    start = Pose(np.array(panda.START_POSITION), Rotation.from_quat(panda.START_QUATERNION))
    joints = kinematics.solve(start, np.array(panda.START_GUESS), iterations=200)
    if joints is None:
        raise SimulatorError("the start pose is out of reach")
    return joints


def _schedule(path: Float[np.ndarray, "n 7"], tip_of: Callable[[np.ndarray], Pose]) -> Float[np.ndarray, "n"]:
    """Time of each point at cruising speed, s."""
    tips = [tip_of(joints) for joints in path]
    times = [0.0]
    for k in range(1, len(path)):
        seconds = max(
            float(np.abs(path[k] - path[k - 1]).max()) / _JOINT_SPEED,
            float(np.linalg.norm(tips[k].position - tips[k - 1].position)) / _TIP_SPEED,
            (tips[k].rotation * tips[k - 1].rotation.inv()).magnitude() / _TIP_TURN,
            1e-4,
        )
        times.append(times[-1] + seconds)
    return np.array(times)


def _trapezoid(clock: float, duration: float) -> tuple[float, float]:
    """Position on the path's own time axis and rate of advance, with ramps at both ends."""
    ramp = min(_RAMP, duration)
    total = duration + ramp
    if clock >= total:
        return duration, 0.0
    if clock < ramp:
        return 0.5 * clock * clock / ramp, clock / ramp
    if clock > total - ramp:
        left = total - clock
        return duration - 0.5 * left * left / ramp, left / ramp
    return clock - 0.5 * ramp, 1.0
