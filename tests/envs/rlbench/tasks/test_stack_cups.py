"""Nesting cups: what counts, what the sentences name, and that cups really go into each other."""

import re

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

pytest.importorskip("mujoco", reason="needs MuJoCo: pip install -e '.[sim-mujoco]'")

from envs.rlbench.palette import COLOR_NAMES, PALETTE
from envs.rlbench.pose import Pose

pytestmark = pytest.mark.sim

NESTED = 0.033  # m


def test_both_cups_must_be_in_the_one_that_stays(scene, put):
    env = scene("stack_cups")
    assert not put(env, "cup3", "cup2", 0, 0, NESTED)
    assert put(env, "cup1", "cup2", 0, 0, 2 * NESTED)
    assert not put(env, "cup3", "cup2", 0.2, 0, 0)


def test_a_cup_must_reach_into_the_sensor(scene, put):
    env = scene("stack_cups")
    put(env, "cup1", "cup2", 0, 0, NESTED)
    top = 0.1125  # m over the foot of the cup that stays
    assert not put(env, "cup3", "cup2", 0, 0, top + 0.003)
    assert put(env, "cup3", "cup2", 0, 0, top - 0.003)
    # Sideways: the foot of a cup, 0.034 m in radius, against a sensor 0.04 m wide about (-0.006, -0.002).
    for x, y in ((0.014 + 0.034, 0), (-0.026 - 0.034, 0), (0, 0.018 + 0.034), (0, -0.022 - 0.034)):
        away = np.array([x, y]) / np.hypot(x, y)
        assert not put(env, "cup3", "cup2", *(np.array([x, y]) + 0.004 * away), top - 0.010)
        assert put(env, "cup3", "cup2", *(np.array([x, y]) - 0.004 * away), top - 0.010)


def test_another_cup_at_the_bottom_does_not_count(scene, put):
    env = scene("stack_cups")
    assert not put(env, "cup2", "cup1", 0, 0, NESTED)
    assert not put(env, "cup3", "cup1", 0, 0, 2 * NESTED), "one cup of two is in the named one"
    put(env, "cup2", "cup1", 0.2, 0.2, 0)
    assert not put(env, "cup3", "cup1", 0, 0, NESTED), "the cups are nested beside the named one"


def test_the_last_cup_must_be_released(scene, put):
    env = scene("stack_cups")
    put(env, "cup3", "cup2", 0, 0, NESTED)
    assert put(env, "cup1", "cup2", 0, 0, 2 * NESTED)
    env._world.attach("cup1")
    assert not env._check()
    env._world.release()
    assert env._check()


@pytest.mark.parametrize("yaw", [0.0, 0.17, 0.3])
def test_a_cup_slides_into_another(scene, yaw):
    world = scene("stack_cups")._world
    base = world.pose("cup2")
    # A little beside the middle, and turned so that corners meet faces.
    world.place("cup1", base * Pose(np.array([0.002, -0.001, 0.08]), Rotation.from_euler("z", yaw)))
    world.step(500)
    world.forward()
    nested = world.pose("cup2").inverse() * world.pose("cup1")
    upright = nested.rotation.apply([0.0, 0.0, 1.0])[2]
    assert 0.025 < nested.position[2] < 0.05 and np.abs(nested.position[:2]).max() < 0.003 and upright > 0.998


def test_sentences_name_the_colour_of_the_cup_that_stays(scene, painted):
    for variation in range(20):
        env = scene("stack_cups", variation)
        color = painted(env, "cup2")
        assert color == COLOR_NAMES[variation] and color not in (painted(env, "cup1"), painted(env, "cup3"))
        offered = env._task.instructions(variation)
        assert env._instruction in offered and len(set(offered)) == 3
        for sentence in offered:
            assert [word for word in re.findall(r"\w+", sentence) if word in PALETTE] == [color]


def test_cups_stand_apart_and_upright(scene):
    for seed in range(8):
        world = scene("stack_cups", 0, seed)._world
        poses = [world.pose(f"cup{i}") for i in (1, 2, 3)]
        points = np.array([pose.position for pose in poses])
        gaps = np.linalg.norm(points[:, None] - points[None], axis=-1) + np.eye(3)
        assert gaps.min() > 0.104
        assert np.allclose(points[:, 2], 0.750, atol=1e-3)
        assert all(pose.rotation.apply([0.0, 0.0, 1.0])[2] > 0.9999 for pose in poses)
