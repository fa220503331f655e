"""put_groceries_in_cupboard: what counts as put away, what is named, how the groceries stand."""

import io
from itertools import combinations

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("mujoco", reason="needs MuJoCo: pip install -e '.[sim-mujoco]'")

from envs.rlbench.groceries import GROCERIES, picture
from envs.rlbench.lab import TABLE_TOP, WORKSPACE_HIGH, WORKSPACE_LOW

pytestmark = pytest.mark.sim
TASK = "put_groceries_in_cupboard"
NAMES = [item.name for item in GROCERIES]
SOUP = NAMES.index("soup")
RADIUS, HEIGHT = 0.7 * 0.066 / 2, 0.7 * 0.101  # m, of the soup
FRONT, BACK, SIDE, SHELF, CEILING = 0.03, 0.208, 0.153, 0.245, 0.43  # m: bounds of the sensor in the root's frame
MIDDLE = (0.11, 0.0, 0.30)


@pytest.mark.parametrize("variation", range(len(NAMES)))
def test_only_the_grocery_that_the_sentences_name_counts(scene, put, variation):
    env = scene(TASK, variation)
    sentences = env._task.instructions(variation)
    assert env._instruction in sentences and len(set(sentences)) == 3
    for sentence in sentences:
        assert [known for known in NAMES if known in sentence] == [NAMES[variation]]
        assert "cupboard" in sentence
    assert not env._check()
    for k, item in enumerate(GROCERIES):
        pose = env._world.pose(item.body)
        assert put(env, item.body, "root", *MIDDLE) == (k == variation)
        env._world.place(item.body, pose)


def test_the_grocery_must_reach_into_the_compartment(scene, put):
    env = scene(TASK, SOUP)
    x, y, z = MIDDLE
    for miss in (-0.002, 0.002):
        inside = miss < 0
        assert put(env, "soup", "root", FRONT - RADIUS - miss, y, z) == inside
        assert put(env, "soup", "root", BACK + RADIUS + miss, y, z) == inside
        assert put(env, "soup", "root", x, SIDE + RADIUS + miss, z) == inside
        assert put(env, "soup", "root", x, -SIDE - RADIUS - miss, z) == inside
        assert put(env, "soup", "root", x, y, CEILING + miss) == inside
        assert put(env, "soup", "root", x, y, SHELF - HEIGHT - miss) == inside


@pytest.mark.parametrize("place", [(0.11, 0, 0.463), (0.11, 0, 0.005), (-0.05, 0, 0.0)])
def test_on_below_and_before_the_cupboard_do_not_count(scene, put, place):
    assert not put(scene(TASK, SOUP), "soup", "root", *place)


def test_a_held_grocery_does_not_count(scene, put):
    env = scene(TASK, SOUP)
    env._world.attach("soup")
    assert not put(env, "soup", "root", *MIDDLE)
    env._world.release()
    assert env._check()


def test_each_grocery_wears_its_own_package(make_env):
    model = make_env(TASK)._world.model
    for item in GROCERIES:
        body = model.body(item.body)
        materials = {
            model.mat(model.geom_matid[geom]).name
            for geom in range(body.geomadr[0], body.geomadr[0] + body.geomnum[0])
            if model.geom_matid[geom] >= 0
        }
        assert materials == {item.body}


def test_packages_differ_in_colour():
    for one, other in combinations(GROCERIES, 2):
        ground, band = (
            np.abs(np.subtract(a, b)).sum() for a, b in ((one.ground, other.ground), (one.band, other.band))
        )
        assert ground + band > 130, f"{one.name} looks like {other.name}"
        assert ground > 60, f"{one.name} looks like {other.name}"
    for item in GROCERIES:
        printed = set(map(tuple, np.array(Image.open(io.BytesIO(picture(item)))).reshape(-1, 3)))
        assert {item.ground, item.band} <= printed, "ground and band are on the package"
        assert any(np.abs(np.subtract(colour, item.ink)).max() < 30 for colour in printed), "nothing is written on it"


def test_groceries_stand_apart_upright_and_outside(scene):
    for seed in (1_000_000, 1_000_001, 1_000_002):
        env = scene(TASK, seed % 9, seed)
        world = env._world
        poses = [world.pose(item.body) for item in GROCERIES]
        for one, other in combinations(poses, 2):
            assert np.linalg.norm(one.position[:2] - other.position[:2]) > 0.099
        for item, pose in zip(GROCERIES, poses, strict=True):
            np.testing.assert_allclose(pose.position[2], TABLE_TOP, atol=1e-3)
            assert pose.rotation.apply([0, 0, 1])[2] > 0.999
            assert (pose.position[:2] > WORKSPACE_LOW).all() and (pose.position[:2] < WORKSPACE_HIGH).all()
            x, y, _ = world.pose("root").rotation.inv().apply(pose.position - world.pose("root").position)
            assert not (-0.02 < x < 0.24 and abs(y) < 0.185), f"{item.name} stands in the cupboard"


def test_the_expert_moves_no_other_grocery_and_leaves_its_own_inside(scene):
    env = scene(TASK, NAMES.index("tuna"), 1_000_003)
    world = env._world
    others = [item.body for item in GROCERIES if item.name != "tuna"]
    before = {body: world.pose(body).position for body in others}
    for _ in range(env.spec.max_steps):
        _, done, info = env.step(env.expert_action())
        if done:
            break
    assert info.success
    for body in others:
        np.testing.assert_allclose(world.pose(body).position, before[body], atol=2e-3)
    world.step(500)
    world.forward()
    x, y, z = world.pose("root").rotation.inv().apply(world.pose("tuna").position - world.pose("root").position)
    assert 0 < x < BACK and abs(y) < SIDE and SHELF - 0.01 < z < CEILING, "it stays on the shelf when let go"
