"""The grasp switch: a weld while the gripper is closed on a graspable object, or friction alone."""

import dataclasses

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="needs MuJoCo: pip install -e '.[sim-mujoco]'")

from envs.rlbench.pose import yaw_pose
from envs.spec import Episode
from model.actions import GRIPPER, POSITION

pytestmark = pytest.mark.sim


@pytest.fixture
def physical(rlbench, monkeypatch):
    suite = dataclasses.replace(rlbench, options=rlbench.options | {"grasp": "physical"})
    env = suite.make("reach_and_drag")
    monkeypatch.setattr(env, "_observe", dict)
    env.reset(Episode("rlbench18", "reach_and_drag", 0, 1_000_000))
    yield env
    env.close()


def grasp_the_stick(env):
    """The expert's first two keyframes: over the stick, then down and close."""
    for _ in range(2):
        result = env.step(env.expert_action())
        assert result.info.failure is None
    assert env._world.fingers.max() < 0.01


def lift(env, opened, height):
    action = env.hold_action()
    action[POSITION][2] += height
    action[GRIPPER] = float(opened)
    env.step(action)


def test_a_closed_gripper_holds_what_is_between_its_fingers_until_it_opens(scene):
    env = scene("reach_and_drag")
    world = env._world
    grasp_the_stick(env)
    assert world.held == "stick" and world.data.eq_active.tolist() == [1]

    relative = world.pose("hand").inverse() * world.pose("stick")
    lift(env, opened=False, height=0.15)
    carried = world.pose("hand").inverse() * world.pose("stick")
    assert np.linalg.norm(carried.position - relative.position) < 5e-3
    assert (carried.rotation * relative.rotation.inv()).magnitude() < 0.15

    before = world.pose("stick").position[2]
    env._controller.grip(True)  # a motion that nobody plays does nothing
    assert world.held == "stick"
    lift(env, opened=True, height=0.0)
    assert world.held is None and not world.data.eq_active.any()
    lift(env, opened=True, height=0.0)
    assert world.pose("stick").position[2] < before - 0.05


def test_an_empty_gripper_holds_nothing(scene):
    env = scene("reach_and_drag")
    lift(env, opened=False, height=0.0)
    assert env._world.held is None and not env._world.data.eq_active.any()


def test_only_what_both_fingers_touch_is_held(scene):
    env = scene("reach_and_drag")
    world = env._world
    above = env.expert_action()
    env.step(above)
    # The stick is taken away: what the expert closes on now is air.
    world.place("stick", yaw_pose(0.3, 0.9, 1.5))
    down = env.expert_action()
    env.step(down)
    assert world.held is None


def test_with_the_physical_option_nothing_is_welded(physical):
    grasp_the_stick(physical)
    world = physical._world
    assert world.touched() == ["stick"]
    assert world.held is None and not world.data.eq_active.any()


def test_a_reset_lets_go(scene):
    env = scene("reach_and_drag")
    grasp_the_stick(env)
    assert env._world.held == "stick"
    env = scene("reach_and_drag", seed=5)
    assert env._world.held is None and not env._world.data.eq_active.any()
