"""Straight motions by our own kinematics, for where the planner finds no path."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation, Slerp

from envs.maniskill.kinematics import reach, tool

_STEP_M, _STEP_RAD = 0.015, 0.06  # of a motion, at most

Frame = Float[np.ndarray, "4 4"]


def straight(joints: Float[np.ndarray, "7"], target: Frame, pace: float = 1.0) -> list[Float[np.ndarray, "7"]]:
    """Joint angles of each step of a straight motion that starts and ends gently; empty where there are none.

    Args:
        joints: Where it starts, rad.
        target: Pose of the tool centre point in the frame of the arm's base.
        pace: 1 is up to 0.3 m/s and 1.2 rad/s on average.
    """
    start = tool(joints)
    between = Slerp([0.0, 1.0], Rotation.from_matrix(np.stack([start[:3, :3], target[:3, :3]])))
    way, turn = np.linalg.norm(target[:3, 3] - start[:3, 3]), (between([1.0]) * between([0.0]).inv()).magnitude()[0]
    count = max(1, int(np.ceil(max(way / _STEP_M, turn / _STEP_RAD) / pace)))
    path: list[np.ndarray] = []
    for share in (1.0 - np.cos(np.pi * np.arange(1, count + 1) / count)) / 2.0:
        frame = np.eye(4)
        frame[:3, :3] = between([share]).as_matrix()[0]
        frame[:3, 3] = (1.0 - share) * start[:3, 3] + share * target[:3, 3]
        found = reach(frame, path[-1] if path else joints)
        if found is None:
            return []
        path.append(found)
    return path


@contextmanager
def straight_where_no_plan() -> Iterator[None]:
    """Within, ManiSkill's planner goes straight, whatever stands there, where it finds no screw motion to a pose."""
    from mani_skill.examples.motionplanning.panda.motionplanner import PandaArmMotionPlanningSolver as Solver

    planned = Solver.move_to_pose_with_screw

    def move(self: Any, pose: Any, dry_run: bool = False, refine_steps: int = 0) -> Any:
        result = planned(self, pose, dry_run, refine_steps)
        if not isinstance(result, int) or dry_run:  # an int says that there is no plan
            return result
        target = getattr(pose, "sp", pose)
        path = straight(
            self.robot.get_qpos()[0, :7].cpu().numpy(), (self.base_pose.inv() * target).to_transformation_matrix()
        )
        return self.follow_path({"position": np.array(path)}, refine_steps) if path else -1

    Solver.move_to_pose_with_screw = move
    try:
        yield
    finally:
        Solver.move_to_pose_with_screw = planned
