"""Sweeping: what counts, what the sentences name, and where things stand."""

import re

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="needs MuJoCo: pip install -e '.[sim-mujoco]'")

pytestmark = pytest.mark.sim

SIZES = ("tall", "short")
# The sensors in the root's frame, m: x, y, z, low and high.
BOUNDS = {
    "tall": np.array([(-0.125, 0.125), (-0.350, -0.200), (-0.002, 0.048)]),
    "short": np.array([(-0.034, 0.116), (0.143, 0.233), (-0.001, 0.029)]),
}
HALF = 0.005  # m, of a piece of dirt


def fill(env, put, size, count=5):
    """Puts dirt into a dustpan; says whether the task is solved then."""
    x, y = BOUNDS[size][:2].mean(axis=1)
    return [put(env, f"dirt{i}", "root", x + 0.015 * (i - 2), y, 0.003) for i in range(count)][-1]


@pytest.mark.parametrize("variation", range(2))
def test_all_the_dirt_must_be_in_the_named_dustpan(scene, put, variation):
    env = scene("sweep_to_dustpan_of_size", variation)
    named, other = SIZES[variation], SIZES[1 - variation]
    assert not fill(env, put, other)
    assert not fill(env, put, named, 4), "the fifth piece is in the other dustpan"
    assert fill(env, put, named)


@pytest.mark.parametrize("variation", range(2))
def test_a_piece_at_the_edge_counts_from_its_first_touch(scene, put, variation):
    env = scene("sweep_to_dustpan_of_size", variation)
    bounds = BOUNDS[SIZES[variation]]
    fill(env, put, SIZES[variation])
    for axis in range(3):
        for side, sign in ((0, -1), (1, 1)):
            point = bounds.mean(axis=1)
            point[axis] = bounds[axis, side] + sign * (HALF + 0.002)
            assert not put(env, "dirt3", "root", *point)
            point[axis] = bounds[axis, side] + sign * (HALF - 0.002)
            assert put(env, "dirt3", "root", *point)


def test_the_broom_in_the_dustpan_does_not_count(scene, put):
    env = scene("sweep_to_dustpan_of_size", 0)
    assert not put(env, "broom", "root", 0.0, -0.275, 0.0)


def test_sentences_name_the_size(scene):
    for variation, size in enumerate(SIZES):
        env = scene("sweep_to_dustpan_of_size", variation)
        offered = env._task.instructions(variation)
        assert env._instruction in offered and len(set(offered)) == 3
        for sentence in offered:
            assert [word for word in re.findall(r"\w+", sentence) if word in SIZES] == [size]


def test_the_tall_dustpan_is_the_larger_one_with_the_longer_handle(scene):
    env = scene("sweep_to_dustpan_of_size", 0)
    model, data = env._world.model, env._world.data
    lengths = {}
    for size in SIZES:
        sensor = data.geom(f"in_{size}").xpos
        bodies = [b for b in range(model.nbody) if model.body(b).parentid[0] == model.body("root").id]
        pan = min(bodies, key=lambda b: np.linalg.norm(data.xpos[b] - sensor))
        geoms = [g for g in range(model.ngeom) if model.geom_bodyid[g] == pan]
        lengths[size] = max(data.geom_xpos[g][2] for g in geoms) - 0.75, max(model.geom_size[g][0] for g in geoms)
    assert lengths["tall"][0] > 1.5 * lengths["short"][0] and lengths["tall"][1] > 1.5 * lengths["short"][1]


@pytest.mark.parametrize("seed", range(4))
def test_the_broom_stands_in_its_holder_and_the_dirt_lies_between_the_dustpans(scene, seed):
    world = scene("sweep_to_dustpan_of_size", seed % 2, seed)._world
    root = world.pose("root")
    broom = root.inverse() * world.pose("broom")
    np.testing.assert_allclose(broom.position, (-0.171, 0.235, -0.002), atol=1e-3)
    assert broom.rotation.magnitude() < 0.01
    for i in range(5):
        x, y, z = (root.inverse() * world.pose(f"dirt{i}")).position
        assert -0.01 < x < 0.06 and -0.09 < y < 0.01 and abs(z - 0.003) < 1e-3


@pytest.mark.parametrize("variation", range(2))
def test_the_dirt_lies_in_the_dustpan_after_the_sweep(scene, variation):
    env = scene("sweep_to_dustpan_of_size", variation)
    for _ in range(env.spec.max_steps):
        if env.step(env.expert_action()).done:
            break
    assert env._world.held == "broom"
    env._world.step(500)
    env._world.forward()
    assert env._check(), "the dirt did not stay"
