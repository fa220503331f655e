"""insert_onto_square_peg: the ring around the foot of the named pillar, and nothing less."""

import re

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="needs MuJoCo: pip install -e '.[sim-mujoco]'")

from scipy.spatial.transform import Rotation

from envs.rlbench.palette import PALETTE
from envs.rlbench.pose import Pose

pytestmark = pytest.mark.sim

TASK = "insert_onto_square_peg"
PILLARS = ((-0.125, -0.075), (0.0, -0.075), (0.125, -0.075))
ON_BASE = 0.025  # m: middle of a ring that lies on the base
RING = 0.025  # m: half its width


def target(env):
    """Index of the pillar that the detectors stand around."""
    goal = env._world.pose("root").inverse() * env._world.pose("goal")
    return int(np.argmin([np.linalg.norm(goal.position[:2] - pillar) for pillar in PILLARS]))


def drop(env, x, y, z, yaw=0.0):
    """Lets the ring fall from a point of the root's frame; returns whether that solves the task."""
    world = env._world
    world.place("ring", world.pose("root") * Pose(np.array([x, y, z]), Rotation.from_euler("z", yaw)))
    world.forward()
    assert not env._check()
    world.step(500)
    world.forward()
    return env._check()


@pytest.mark.parametrize("variation", [0, 7])
def test_only_around_the_named_pillar(scene, put, variation):
    env = scene(TASK, variation)
    named = target(env)
    for k, pillar in enumerate(PILLARS):
        assert put(env, "ring", "root", *pillar, ON_BASE) == (k == named)
    assert not put(env, "ring", "root", 0.0, 0.1, 0.003), "the ring lies on the table"


def test_down_to_the_foot(scene, put):
    env = scene(TASK)
    x, y = PILLARS[target(env)]
    # The detectors end 0.05 m above the root; the ring is 0.01 m high.
    assert put(env, "ring", "root", x, y, 0.055 - 0.001)
    assert not put(env, "ring", "root", x, y, 0.055 + 0.001)


@pytest.mark.parametrize(
    "axis, limit",
    [
        ((0, 1), RING - 0.018),  # off the detector at -y
        ((0, -1), RING - 0.015),  # off the one at +y
        ((1, 0), RING - 0.015),
        ((-1, 0), RING - 0.015),
    ],
)
def test_all_four_sides_count(scene, put, axis, limit):
    env = scene(TASK)
    pillar, axis = np.array(PILLARS[target(env)]), np.array(axis)
    assert put(env, "ring", "root", *(pillar + (limit - 0.001) * axis), ON_BASE)
    assert not put(env, "ring", "root", *(pillar + (limit + 0.001) * axis), ON_BASE)


def test_a_held_ring_counts(scene, put):
    env = scene(TASK)
    env._world.attach("ring")
    assert put(env, "ring", "root", *PILLARS[target(env)], ON_BASE) and not env._world.released


@pytest.mark.parametrize("dx, dy", [(0.0, 0.0), (0.002, -0.002), (-0.002, 0.002)])
def test_a_ring_whose_hole_is_over_the_pillar_falls_down_along_it(scene, dx, dy):
    env = scene(TASK)
    x, y = PILLARS[target(env)]
    assert drop(env, x + dx, y + dy, 0.146)


def test_a_ring_turned_against_the_pillar_stays_on_top(scene):
    env = scene(TASK)
    assert not drop(env, *PILLARS[target(env)], 0.146, np.pi / 4)
    assert env._world.pose("ring").position[2] > 0.752 + 0.13


def test_a_ring_that_falls_beside_the_pillar_does_not_count(scene):
    env = scene(TASK)
    x, y = PILLARS[target(env)]
    assert not drop(env, x, y - 0.045, 0.146)
    assert env._world.pose("ring").position[2] < 0.752 + 0.05


def test_the_sentence_names_the_targets_colour(scene, painted):
    named, places = set(), set()
    for variation in range(20):
        env = scene(TASK, variation)
        colours = [painted(env, f"pillar{i}") for i in range(3)]
        assert len(set(colours)) == 3
        for sentence in env._task.instructions(variation):
            assert [word for word in re.findall(r"\w+", sentence) if word in PALETTE] == [colours[target(env)]]
        named.add(colours[target(env)])
        places.add(target(env))
    assert named == set(PALETTE) and places == {0, 1, 2}


def test_the_ring_lies_before_the_base(scene):
    turns = set()
    for seed in range(8):
        env = scene(TASK, seed=seed)
        ring = env._world.pose("root").inverse() * env._world.pose("ring")
        reach = RING * (abs(np.cos(ring.yaw)) + abs(np.sin(ring.yaw))) - 5e-4
        assert abs(ring.position[0]) + reach < 0.2 and reach < ring.position[1] < 0.2 - reach
        assert abs(ring.position[2] - 0.003) < 5e-4, "flat on the table"
        turns.add(round(ring.yaw, 3))
    assert len(turns) == 8
