"""When a bulb counts as screwed in, and which one the sentence means."""

import re

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="needs MuJoCo: pip install -e '.[sim-mujoco]'")

from envs.rlbench.palette import COLOR_NAMES, PALETTE

pytestmark = pytest.mark.sim

SEATED = 0.294  # m: the bulb's foot over the root's plane when it is in the lamp


def test_the_screw_must_be_in_the_socket(scene, put):
    env = scene("light_bulb_in")
    reach = 0.010 + 0.0135  # sensor and screw
    for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        assert not put(env, "bulb0", "lamp", dx * (reach + 0.002), dy * (reach + 0.002), SEATED)
        assert put(env, "bulb0", "lamp", dx * (reach - 0.002), dy * (reach - 0.002), SEATED)
    # The sensor reaches from 0.279 to 0.314 m; the bulb from its foot to 0.106 m above.
    assert not put(env, "bulb0", "lamp", 0, 0, 0.314 + 0.002)
    assert put(env, "bulb0", "lamp", 0, 0, 0.314 - 0.002)
    assert put(env, "bulb0", "lamp", 0, 0, 0.279 - 0.106 + 0.002)
    assert not put(env, "bulb0", "lamp", 0, 0, 0.279 - 0.106 - 0.002)


def test_the_other_bulb_and_the_other_holder_do_not_count(scene, put):
    env = scene("light_bulb_in")
    assert not put(env, "bulb0", "holder1", 0, 0, 0.13)
    assert not put(env, "bulb1", "lamp", 0, 0, SEATED)
    assert put(env, "bulb0", "lamp", 0, 0, SEATED)


def test_a_bulb_that_is_held_does_not_count(scene, put):
    env = scene("light_bulb_in")
    assert put(env, "bulb0", "lamp", 0, 0, SEATED)
    env._world.attach("bulb0")
    assert not env._check()
    env._world.release()
    assert env._check()


def test_a_bulb_let_go_in_the_socket_sinks_in_and_stands(scene, put):
    env = scene("light_bulb_in")
    world = env._world
    put(env, "bulb0", "lamp", 0.001, -0.001, SEATED + 0.008)
    world.step(300)
    world.forward()
    bulb = world.pose("lamp").inverse() * world.pose("bulb0")
    assert np.abs(bulb.position - (0, 0, SEATED)).max() < 0.003
    assert bulb.rotation.apply([0, 0, 1])[2] > 0.999
    assert env._check()


def test_a_bulb_on_the_sockets_rim_is_not_in(scene, put):
    env = scene("light_bulb_in")
    world = env._world
    assert not put(env, "bulb0", "lamp", 0.020, 0, 0.336)
    for _ in range(10):
        world.step(50)
        assert not env._check()


def test_the_bulbs_stand_still_in_their_holders(scene):
    for seed in range(1_000_000, 1_000_005):
        world = scene("light_bulb_in", seed=seed)._world
        for i in range(2):
            bulb = world.pose(f"holder{i}").inverse() * world.pose(f"bulb{i}")
            np.testing.assert_allclose(bulb.position, (0, 0, 0.018), atol=5e-4)
            assert bulb.rotation.apply([0, 0, 1])[2] > 0.999


def test_the_holders_stand_apart_within_their_boundary(scene):
    for seed in range(1_000_000, 1_000_010):
        world = scene("light_bulb_in", seed=seed)._world
        root = world.pose("root")
        first, second = (root.inverse() * world.pose(f"holder{i}") for i in range(2))
        assert np.linalg.norm(first.position - second.position) >= 0.125 - 1e-9
        for holder in (first, second):
            assert (np.abs(holder.position[:2] - (0, 0.255)) < np.array([0.1665, 0.149]) - 0.049).all()


def test_every_sentence_names_the_colour_of_the_holder(scene):
    named = set()
    for variation in range(20):
        env = scene("light_bulb_in", variation)
        target, other = (env._world.model.geom(f"paint{i}").rgba[:3] for i in range(2))
        color = COLOR_NAMES[variation]
        np.testing.assert_allclose(target, PALETTE[color], atol=1e-6)
        assert min(np.abs(other - rgb).max() for rgb in PALETTE.values()) < 1e-6
        assert np.abs(target - other).max() > 0.1, "two holders of one colour"
        sentences = env._task.instructions(variation)
        assert env._instruction in sentences and len(set(sentences)) == 3
        for sentence in sentences:
            assert [word for word in re.findall(r"\w+", sentence) if word in PALETTE] == [color]
        named.add(color)
    assert named == set(PALETTE)
