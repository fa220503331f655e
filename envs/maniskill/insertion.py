"""Insertions: a solution of PegInsertionSide, and second attempts where something did not get into its hole."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

from envs.maniskill.kinematics import tool
from envs.maniskill.simulation import Simulation
from envs.maniskill.straight import straight

_SLOWLY = 0.3  # pace of an insertion
_PAUSE = 5  # steps in which the arm, which lags behind its command, gets there
_ATTEMPTS = 2
_ALIGNMENTS = 3
BEFORE_M, INTO_M = 0.01, 0.02  # of the peg's head: before the hole, and beyond its middle
_SPEED = 0.75  # share of the planner's own limits

# Carries out joint angles (rad), the gripper closed; true for a success.
Go = Callable[[Float[np.ndarray, "7"]], bool]


def solve_peg(env: Any) -> None:
    """Solves PegInsertionSide as ManiSkill does, but holds the peg by its tail whichever way the gripper is turned.

    ManiSkill's solution takes the gripper's axis for the peg's. Where they are opposite it holds the peg by its head,
    and the hand is in the way.

    Args:
        env: What ManiSkill's planner drives.
    """
    import sapien
    from mani_skill.examples.motionplanning.panda.motionplanner import PandaArmMotionPlanningSolver

    planner = PandaArmMotionPlanningSolver(
        env,
        vis=False,
        base_pose=env.agent.robot.pose,
        visualize_target_grasp_pose=False,
        print_env_info=False,
        joint_vel_limits=_SPEED,
        joint_acc_limits=_SPEED,
    )
    half, lying, goal = float(env.peg_half_sizes[0, 0]), env.peg.pose.sp, env.goal_pose.sp
    axis = lying.to_transformation_matrix()[:3, 0]
    closing = np.cross([0.0, 0.0, 1.0], axis)
    if closing @ env.agent.tcp.pose.sp.to_transformation_matrix()[:3, 1] < 0:
        closing = -closing  # least turning
    tail = lying.p - max(0.05, half / 2 + 0.01) * axis
    grasp = env.agent.build_grasp_pose(np.array([0.0, 0.0, -1.0]), closing, tail)
    before = goal * sapien.Pose([-BEFORE_M - half, 0.0, 0.0])
    command = before * lying.inv() * grasp
    for pose in (grasp * sapien.Pose([0.0, 0.0, -0.05]), grasp):
        if isinstance(planner.move_to_pose_with_screw(pose), int):
            return
    planner.close_gripper()
    for _ in range(1 + _ALIGNMENTS):
        if isinstance(planner.move_to_pose_with_screw(command), int):
            return
        command = before * env.peg.pose.sp.inv() * command
    planner.move_to_pose_with_screw(
        goal * sapien.Pose([INTO_M, 0.0, 0.0]) * before.inv() * command, refine_steps=_PAUSE
    )


def insert_again(simulation: Simulation, go: Go) -> None:
    """Aligns what the arm holds with its hole once more, and pushes it in; for as long as that does not succeed.

    The arm comes to rest a few millimetres beside its command, more than a hole leaves room for. So once it is free,
    each alignment moves the command by what is missing, and not to where the arm should be.

    Args:
        simulation: The simulator.
        go: Carries a command out.
    """
    base = simulation.base
    if hasattr(base, "charger"):
        part, back, into = base.charger, 0.05, 0.0
    else:
        part, back, into = base.peg, BEFORE_M + float(base.peg_half_sizes[0, 0]), INTO_M
    for _ in range(_ATTEMPTS):
        joints = simulation.arms()[0].joints  # what was commanded may lie behind what stands in its way
        for along, pace in ((-back, 1.0), (-back, _SLOWLY), (-back, _SLOWLY), (into, _SLOWLY)):
            if not bool(base.agent.is_grasping(part).item()):
                return
            (arm,) = simulation.arms()
            goal = base.goal_pose.sp.to_transformation_matrix()
            goal[:3, 3] += along * goal[:3, 0]
            missing = goal @ np.linalg.inv(part.pose.sp.to_transformation_matrix())
            path = straight(joints, np.linalg.inv(arm.base) @ missing @ arm.base @ tool(joints), pace)
            if not path or any(go(command) for command in (*path, *[path[-1]] * _PAUSE)):
                return
            joints = path[-1]
