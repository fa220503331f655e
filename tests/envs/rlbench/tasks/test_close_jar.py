"""When a jar counts as closed, and which one the sentence means."""

import re

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="needs MuJoCo: pip install -e '.[sim-mujoco]'")

from envs.rlbench.palette import COLOR_NAMES, PALETTE

pytestmark = pytest.mark.sim

SEATED = 0.1105  # m: the lid's origin over the jar's when it is on


def test_the_lid_must_be_over_the_mouth(scene, put):
    env = scene("close_jar")
    reach = 0.025 + 0.037  # sensor and lid
    for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        assert not put(env, "lid", "jar0", dx * (reach + 0.002), dy * (reach + 0.002), SEATED)
        assert put(env, "lid", "jar0", dx * (reach - 0.002), dy * (reach - 0.002), SEATED)
    # The sensor reaches from 0.101 to 0.121 m; the knob 10.5 mm above the lid's origin, the roof 4.5 mm below.
    low, high = 0.101 - 0.0105, 0.121 + 0.0045
    assert not put(env, "lid", "jar0", 0, 0, high + 0.002)
    assert put(env, "lid", "jar0", 0, 0, high - 0.002)
    assert put(env, "lid", "jar0", 0, 0, low + 0.002)
    assert not put(env, "lid", "jar0", 0, 0, low - 0.002)


def test_the_other_jar_and_the_table_do_not_count(scene, put):
    env = scene("close_jar")
    assert not put(env, "lid", "jar1", 0, 0, SEATED)
    assert not put(env, "lid", "jar0", 0.09, 0, 0.009)


def test_a_lid_that_is_held_does_not_count(scene, put):
    env = scene("close_jar")
    assert put(env, "lid", "jar0", 0, 0, SEATED)
    env._world.attach("lid")
    assert not env._check()
    env._world.release()
    assert env._check()


@pytest.mark.parametrize("jar", ["jar0", "jar1"])
def test_a_lid_let_go_over_a_jar_comes_to_rest_on_it(scene, put, jar):
    env = scene("close_jar")
    world = env._world
    put(env, "lid", jar, 0.001, -0.001, SEATED + 0.004)
    world.step(300)
    world.forward()
    lid = world.pose(jar).inverse() * world.pose("lid")
    assert np.abs(lid.position - (0, 0, SEATED)).max() < 0.003
    assert lid.rotation.apply([0, 0, 1])[2] > 0.9999
    assert np.abs(world.data.qvel[-6:]).max() < 0.02


def test_the_lid_lies_still_on_the_table_at_its_place(scene):
    for seed in range(1_000_000, 1_000_005):
        world = scene("close_jar", seed=seed)._world
        root = world.pose("root")
        np.testing.assert_allclose(world.pose("lid").position, root.at(0.043, 0.277, 0.0085), atol=5e-4)


def test_the_jars_stand_apart_within_their_boundary(scene):
    for seed in range(1_000_000, 1_000_010):
        world = scene("close_jar", seed=seed)._world
        root = world.pose("root")
        first, second = (root.inverse() * world.pose(f"jar{i}") for i in range(2))
        assert np.linalg.norm(first.position - second.position) >= 0.11 - 1e-9
        for jar in (first, second):
            assert (np.abs(jar.position[:2] - (0, -0.089)) < np.array([0.1665, 0.1865]) - 0.045).all()


def test_every_sentence_names_the_colour_of_the_jar(scene):
    named = set()
    for variation in range(20):
        env = scene("close_jar", variation)
        target, other = (env._world.model.geom(f"glaze{i}").rgba[:3] for i in range(2))
        color = COLOR_NAMES[variation]
        np.testing.assert_allclose(target, PALETTE[color], atol=1e-6)
        assert min(np.abs(other - rgb).max() for rgb in PALETTE.values()) < 1e-6
        assert np.abs(target - other).max() > 0.1, "two jars of one colour"
        sentences = env._task.instructions(variation)
        assert env._instruction in sentences and len(set(sentences)) == 3
        for sentence in sentences:
            assert [word for word in re.findall(r"\w+", sentence) if word in PALETTE] == [color]
        named.add(color)
    assert named == set(PALETTE)
