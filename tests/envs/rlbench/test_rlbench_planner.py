from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="needs MuJoCo: pip install -e '.[sim-mujoco]'")

import mujoco

from envs.rlbench.lab import WORKSPACE_Z
from envs.rlbench.planner import PlanningError
from envs.rlbench.pose import Pose, yaw_pose
from envs.rlbench.task import facing_down

pytestmark = pytest.mark.sim


@pytest.fixture
def chest(scene):
    """The chest in the middle of the table; the gripper hangs low on its left side, the target low on its right."""
    env = scene("open_drawer")
    world = env._world
    world.place("root", yaw_pose(0.38, 0.0, WORKSPACE_Z))
    left = env._planner.kinematics.solutions(pose(0.20, 0.35, 0.85), world.arm)[0]
    world.data.qpos[world.arm_qpos] = left
    world.forward()
    return env


def pose(x, y, z):
    return Pose(np.array([x, y, z]), facing_down(0.0))


RIGHT = pose(0.20, -0.35, 0.85)


def dense(path):
    return np.concatenate([np.linspace(a, b, 25) for a, b in pairwise(path)])


def hits_furniture(world, path):
    """Whether the arm runs into the table or the chest, judged apart from the planner's own bookkeeping."""
    model, data = world.model, mujoco.MjData(world.model)
    data.qpos[:] = world.data.qpos
    foot = model.body("link0").id
    for joints in dense(path):
        data.qpos[world.arm_qpos] = joints
        mujoco.mj_forward(model, data)
        for contact in data.contact:
            robot = [g for g in (contact.geom1, contact.geom2) if model.geom_contype[g] == 1]
            if len(robot) == 1 and model.geom_bodyid[robot[0]] != foot and contact.dist < -2e-3:
                return True
    return False


def test_a_target_outside_the_workspace_is_refused(chest):
    with pytest.raises(PlanningError, match=r"\(0\.300, 0\.000, 0\.700\) is outside the workspace"):
        chest._planner.plan(pose(0.30, 0.0, 0.70), seed=0)


def test_a_target_out_of_reach_is_refused(chest):
    with pytest.raises(PlanningError, match="out of the arm's reach"):
        chest._planner.plan(pose(0.77, -0.65, 1.74), seed=0)


@pytest.mark.parametrize("target", [pose(0.30, 0.40, 1.1), pose(0.20, 0.35, 1.3), RIGHT])
def test_a_path_leads_from_the_arms_posture_to_the_target(chest, target):
    path = chest._planner.plan(target, seed=0)
    np.testing.assert_array_equal(path[0], chest._world.arm)
    reached = chest._planner.kinematics.tip(path[-1])
    np.testing.assert_allclose(reached.position, target.position, atol=3e-4)
    assert (reached.rotation * target.rotation.inv()).magnitude() < 3e-3


def test_where_the_way_is_free_the_tip_moves_in_a_straight_line(chest):
    target = pose(0.30, 0.40, 1.2)
    path = chest._planner.plan(target, seed=0)
    tips = np.array([chest._planner.kinematics.tip(joints).position for joints in path])
    along = (target.position - tips[0]) / np.linalg.norm(target.position - tips[0])
    off = (tips - tips[0]) - np.outer((tips - tips[0]) @ along, along)
    assert len(path) > 5 and np.linalg.norm(off, axis=1).max() < 1e-3


@pytest.mark.parametrize("seed", range(3))
def test_a_path_leads_around_the_chest(chest, seed):
    world, planner = chest._world, chest._planner
    straight = np.stack([world.arm, planner.kinematics.solutions(RIGHT, world.arm)[0]])
    assert hits_furniture(world, straight)
    assert not hits_furniture(world, planner.plan(RIGHT, seed))


def test_the_seed_alone_decides_the_path(chest):
    first = chest._planner.plan(RIGHT, seed=4)
    chest._planner.plan(pose(0.2, 0.35, 1.3), seed=9)
    np.testing.assert_array_equal(chest._planner.plan(RIGHT, seed=4), first)


def test_planning_leaves_the_world_alone(chest):
    before = chest._world.data.qpos.copy()
    chest._planner.plan(RIGHT, seed=0)
    np.testing.assert_array_equal(chest._world.data.qpos, before)
