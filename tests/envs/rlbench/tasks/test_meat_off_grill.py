"""meat_off_grill: the named meat, let go on the plate beside the grill."""

import re

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="needs MuJoCo: pip install -e '.[sim-mujoco]'")

pytestmark = pytest.mark.sim

MEATS = ("chicken", "steak")
# Middle of the sensor's foot in the root's frame, and half sizes of what may touch it, m.
X, Y, Z = 0.145, -0.04, 0.154
SENSOR, TOP = 0.05, 0.189
HALF_WIDTH, HALF_HEIGHT = {"chicken": 0.025, "steak": 0.031}, {"chicken": 0.0275, "steak": 0.011}
# Along y: farthest points of each on its +y and -y side.
ALONG = {"chicken": (0.076, 0.061), "steak": (0.045, 0.045)}
ON_PLATE = {"chicken": 0.1866, "steak": 0.1701}


@pytest.mark.parametrize("variation", range(2))
def test_the_named_meat_must_reach_the_plate(scene, put, variation):
    env = scene("meat_off_grill", variation)
    meat, other = MEATS[variation], MEATS[1 - variation]
    z = ON_PLATE[meat]
    assert not put(env, other, "root", X, Y, ON_PLATE[other]), "the other meat is on the plate"
    env = scene("meat_off_grill", variation)
    assert put(env, meat, "root", X, Y, z)
    for side in (-1, 1):
        reach = SENSOR + HALF_WIDTH[meat]
        assert not put(env, meat, "root", X + side * (reach + 0.002), Y, z)
        assert put(env, meat, "root", X + side * (reach - 0.002), Y, z)
    upper, lower = ALONG[meat]
    assert not put(env, meat, "root", X, Y - (SENSOR + upper + 0.002), z)
    assert put(env, meat, "root", X, Y - (SENSOR + upper - 0.002), z)
    assert not put(env, meat, "root", X, Y + (SENSOR + lower + 0.002), z)
    assert put(env, meat, "root", X, Y + (SENSOR + lower - 0.002), z)


@pytest.mark.parametrize("variation", range(2))
def test_the_meat_must_lie_at_the_plates_height(scene, put, variation):
    env = scene("meat_off_grill", variation)
    meat = MEATS[variation]
    half = HALF_HEIGHT[meat]
    assert not put(env, meat, "root", X, Y, TOP + half + 0.002), "over the plate"
    assert put(env, meat, "root", X, Y, TOP + half - 0.002)
    assert not put(env, meat, "root", X, Y, Z - half - 0.002), "under the side table"


@pytest.mark.parametrize("variation", range(2))
def test_the_meat_counts_once_let_go(scene, variation):
    env = scene("meat_off_grill", variation)
    world, sensed = env._world, []
    for _ in range(4):
        _, done, _ = env.step(env.expert_action())
        assert not done
    release = env.expert_action()
    check = env._task.success

    def watched(world):
        sensed.append((world.held, world.in_sensor(MEATS[variation], "beside"), check(world)))
        return sensed[-1][2]

    env._task.success = watched
    _, done, info = env.step(release)
    assert done and info.success and sensed[-1] == (None, True, True)
    held_there = [solved for held, inside, solved in sensed if held and inside]
    assert held_there and not any(held_there)
    assert world.held is None


def test_both_pieces_lie_apart_on_the_grate_whatever_the_variation(scene):
    for variation in range(2):
        env = scene("meat_off_grill", variation)
        root = env._world.pose("root").inverse()
        chicken, steak = ((root * env._world.pose(meat)) for meat in MEATS)
        np.testing.assert_allclose(chicken.position, (-0.170, -0.03, 0.166 + 0.0275), atol=1e-3)
        np.testing.assert_allclose(steak.position, (-0.045, -0.04, 0.166 + 0.011), atol=1e-3)
        for pose in (chicken, steak):
            assert pose.rotation.magnitude() < 0.02
        # Between them fits a finger of the open hand.
        assert abs(chicken.position[0] - steak.position[0]) > sum(HALF_WIDTH.values()) + 0.05


def test_every_sentence_names_the_meat(scene):
    for variation, meat in enumerate(MEATS):
        env = scene("meat_off_grill", variation)
        sentences = env._task.instructions(variation)
        assert env._instruction in sentences and len(set(sentences)) == 3
        for sentence in sentences:
            assert [word for word in re.findall(r"\w+", sentence) if word in MEATS] == [meat]
