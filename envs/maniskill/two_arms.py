"""Experts for two arms, from privileged state: cubes are handed over on the table between the arms.

Each arm's planner knows nothing of the other arm, so one moves while the other waits out of its way.
"""

from typing import Any

import numpy as np

from envs.maniskill.expert import Counted
from envs.maniskill.simulation import Simulation

_DOWN = np.array([0.0, 0.0, -1.0])
_ABOVE = 0.10  # m over a cube before and after it is touched
_HALF_CUBE = 0.02  # m
_MEETING = np.array([0.0, 0.0, _HALF_CUBE])  # both arms reach there, at 0.75 m from their bases
_WAITING = 0.30  # m from the middle, where an arm is out of the other's way
_SPEED, _ACCELERATION = 1.8, 3.0  # rad/s, rad/s2: both hand-overs fit into an episode
_SETTLE = 4  # steps at the end of a motion in which the arm, which lags behind its command, gets there


class PlanError(Exception):
    """The planner finds no path."""


def solve(simulation: Simulation, task: str, play: Counted) -> None:
    """Solves the episode that the simulation has been reset to. Where no path is found, the solution ends there."""
    pair = _Pair(simulation, play)
    left, right = (_Arm(pair, k) for k in (0, 1))
    base = simulation.base
    try:
        if task == "TwoRobotPickCube-v1":
            _pick_cube(base, left, right)
        else:
            _stack_cube(base, left, right)
    except PlanError:
        return


def _pick_cube(base: Any, left: "_Arm", right: "_Arm") -> None:
    left.carry(base.cube, _MEETING)
    left.withdraw()
    right.pick(base.cube)
    right.bring(base.cube, base.goal_site.pose.sp.p)


def _stack_cube(base: Any, left: "_Arm", right: "_Arm") -> None:
    """The target lies beyond the right arm's reach, so the left one places both cubes."""
    right.carry(base.cubeB, _MEETING)
    right.withdraw()
    target = base.goal_region.pose.sp.p
    left.carry(base.cubeB, np.array([target[0], target[1], _HALF_CUBE]))
    below = base.cubeB.pose.sp.p
    left.carry(base.cubeA, below + np.array([0.0, 0.0, 2 * _HALF_CUBE]))


class _Pair:
    """Both arms' commands: the one that does not move holds its last."""

    def __init__(self, simulation: Simulation, play: Counted) -> None:
        self.simulation = simulation
        self._play = play
        self._last = np.stack([[*arm.joints, 1.0] for arm in simulation.arms()])

    def step(self, arm: int, command: np.ndarray) -> bool:
        self._last[arm] = command
        return self._play(self._last.copy())


class _Arm:
    """One of the arms: what ManiSkill's planner takes for an environment with one robot, and its motions."""

    def __init__(self, pair: _Pair, index: int) -> None:
        from mani_skill.examples.motionplanning.panda.motionplanner import PandaArmMotionPlanningSolver

        base = pair.simulation.base
        self._pair, self._index = pair, index
        self._side = -1.0 if index == 0 else 1.0  # of the table, along y
        self.unwrapped = self
        self.agent = pair.simulation.agents[index]
        self.control_mode, self.control_timestep = "pd_joint_pos", base.control_timestep
        self._planner = PandaArmMotionPlanningSolver(
            self,
            vis=False,
            base_pose=self.agent.robot.pose,
            visualize_target_grasp_pose=False,
            print_env_info=False,
            joint_vel_limits=_SPEED,
            joint_acc_limits=_ACCELERATION,
        )

    def step(self, command: np.ndarray) -> tuple[None, float, bool, bool, dict[str, bool]]:
        """As in Gymnasium."""
        success = self._pair.step(self._index, np.asarray(command, dtype=float))
        return None, 0.0, success, False, {"success": success}

    def carry(self, cube: Any, to: np.ndarray) -> None:
        """Picks a cube up, puts it down with its centre at `to` (m, world), and rises."""
        self.pick(cube)
        over = np.array([to[0], to[1], to[2] + _ABOVE])
        self.bring(cube, over)
        self.bring(cube, to, _SETTLE)
        self._planner.open_gripper()
        self._shift(np.array([0.0, 0.0, _ABOVE]))

    def pick(self, cube: Any) -> None:
        """Grasps a cube from above and lifts it."""
        grasp = self._grasp(cube)
        self._move(_raised(grasp))
        self._move(grasp, _SETTLE)
        self._planner.close_gripper()
        self._move(_raised(grasp))

    def bring(self, cube: Any, to: np.ndarray, settle: int = 0) -> None:
        """Moves the cube that it holds so that its centre gets to `to`."""
        self._shift(to - cube.pose.sp.p, settle)

    def withdraw(self) -> None:
        """Gets out of the other arm's way."""
        tip = self.agent.tcp.pose.sp
        self._shift(np.array([0.0, self._side * _WAITING - tip.p[1], max(0.0, 0.25 - tip.p[2])]))

    def _shift(self, by: np.ndarray, settle: int = 0) -> None:
        import sapien

        tip = self.agent.tcp.pose.sp
        self._move(sapien.Pose(tip.p + by, tip.q), settle)

    def _grasp(self, cube: Any) -> Any:
        """A grasp from above along the cube's faces; of the four, the first that the arm reaches."""
        from transforms3d.quaternions import quat2mat

        axes = quat2mat(cube.pose.sp.q)[:, :2].T
        now = self.agent.tcp.pose.sp.to_transformation_matrix()[:3, 1]
        closings = sorted([*axes, *-axes], key=lambda axis: -float(axis @ now))  # least turning first
        for closing in closings:
            level = np.array([closing[0], closing[1], 0.0])
            pose = self.agent.build_grasp_pose(_DOWN, level / np.linalg.norm(level), cube.pose.sp.p)
            if self._planner.move_to_pose_with_screw(_raised(pose), dry_run=True) != -1:
                return pose
        return self.agent.build_grasp_pose(_DOWN, closings[0] / np.linalg.norm(closings[0]), cube.pose.sp.p)

    def _move(self, pose: Any, settle: int = 0) -> None:
        if isinstance(self._planner.move_to_pose_with_screw(pose, refine_steps=settle), int):
            raise PlanError


def _raised(pose: Any) -> Any:
    import sapien

    return sapien.Pose(pose.p + np.array([0.0, 0.0, _ABOVE]), pose.q)
