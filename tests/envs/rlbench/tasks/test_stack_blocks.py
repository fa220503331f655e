"""Stacking blocks: what counts, what the sentences name, and that stacks stand."""

import re

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="needs MuJoCo: pip install -e '.[sim-mujoco]'")

from envs.rlbench.palette import COLOR_NAMES, PALETTE

pytestmark = pytest.mark.sim

NUMBERS = ("two", "three", "four")
LEVELS = (0.075, 0.125, 0.175, 0.225)  # m, centres of stacked blocks over the root's frame
SIDES = ((1, 0), (-1, 0), (0, 1), (0, -1))


@pytest.mark.parametrize("variation", range(3))
def test_as_many_blocks_as_named_must_be_stacked(scene, put, variation):
    env = scene("stack_blocks", variation)
    solved = [put(env, f"target{3 - i}", "root", 0, 0, z) for i, z in enumerate(LEVELS)]
    assert solved == [i + 1 >= 2 + variation for i in range(4)]


def test_blocks_of_the_other_colour_do_not_count(scene, put):
    env = scene("stack_blocks", 0)
    assert not any(put(env, f"distractor{i}", "root", 0, 0, z) for i, z in enumerate(LEVELS))
    for i in range(2):
        put(env, f"distractor{i}", "root", 0.3, 0.1 * i, 0.024)
    assert not put(env, "target0", "root", 0, 0, LEVELS[0])
    assert put(env, "target1", "root", 0, 0, LEVELS[1])


def test_blocks_beside_or_above_the_column_do_not_count(scene, put):
    env = scene("stack_blocks", 0)
    put(env, "target0", "root", 0, 0, LEVELS[0])
    touch = 0.025 + 0.005  # block and sensor
    for dx, dy in SIDES:
        assert not put(env, "target1", "root", dx * (touch + 0.002), dy * (touch + 0.002), LEVELS[1])
        assert put(env, "target1", "root", dx * (touch - 0.002), dy * (touch - 0.002), LEVELS[1])
    assert not put(env, "target1", "root", 0, 0, 0.225 + 0.027)
    assert put(env, "target1", "root", 0, 0, 0.225 + 0.023)


def test_the_last_block_must_be_released(scene, put):
    env = scene("stack_blocks", 0)
    put(env, "target0", "root", 0, 0, LEVELS[0])
    assert put(env, "target1", "root", 0, 0, LEVELS[1])
    env._world.attach("target1")
    assert not env._check()
    env._world.release()
    assert env._check()


def test_sentences_name_the_colour_and_the_number(scene, painted):
    for variation in range(0, 60, 7):
        env = scene("stack_blocks", variation)
        colors = {painted(env, f"target{i}") for i in range(4)}
        others = {painted(env, f"distractor{i}") for i in range(4)}
        assert colors == {COLOR_NAMES[variation // 3]} and len(others) == 1 and colors != others
        assert env._instruction in env._task.instructions(variation)
    goals = set()
    for variation in range(60):
        offered = env._task.instructions(variation)
        named = {tuple(w for w in re.findall(r"\w+", sentence) if w in (*PALETTE, *NUMBERS)) for sentence in offered}
        assert len(set(offered)) == 3 and named == {(NUMBERS[variation % 3], COLOR_NAMES[variation // 3])}
        goals |= named
    assert len(goals) == 60


def test_blocks_keep_their_distances(scene):
    for seed in range(4):
        env = scene("stack_blocks", seed, seed)
        root = env._world.pose("root")
        points = np.array([(root.inverse() * env._world.pose(name)).position for name in env._task.graspable])
        gaps = np.linalg.norm(points[:, None] - points[None], axis=-1) + np.eye(len(points))
        assert gaps.min() > 0.1 - 1e-3 and np.linalg.norm(points[:, :2], axis=1).min() > 0.12
        assert (np.abs(points[:, :2]) < (0.3 - 0.025, 0.405 - 0.025)).all()


def test_a_stack_of_four_stands_by_itself(scene):
    env = scene("stack_blocks", 2)
    actions = 0
    while not env.step(env.expert_action()).done:
        actions += 1
    assert actions < 25
    # Let go, and wait two seconds.
    env._world.command_fingers(0.04)
    env._world.step(1000)
    env._world.forward()
    assert env._check()
