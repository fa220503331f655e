"""put_money_in_safe: the bundle of notes, let go on the named shelf."""

import re

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="needs MuJoCo: pip install -e '.[sim-mujoco]'")

pytestmark = pytest.mark.sim

SHELVES = ("bottom", "middle", "top")
# Sensors in the safe's frame (y out of the opening): middle in y and range of z, m; 0.2 x 0.2 m wide.
SENSORS = ((0.009, 0.019, 0.029), (0.012, 0.164, 0.174), (0.012, 0.319, 0.329))
REST_Z = (0.035, 0.180, 0.335)
HALF = (0.0625, 0.027, 0.016)  # of the notes: long along x of their frame
TASK = "put_money_in_safe"


@pytest.mark.parametrize("variation", range(3))
def test_the_notes_must_lie_on_the_named_shelf(scene, put, variation):
    env = scene(TASK, variation)
    y, low, high = SENSORS[variation]
    z = REST_Z[variation]
    # `put` turns the notes like the safe: their length lies along its x.
    for shelf in range(3):
        assert put(env, "money", "safe", 0, SENSORS[shelf][0], REST_Z[shelf]) == (shelf == variation)
    for side in (-1, 1):
        assert put(env, "money", "safe", side * (0.1 + HALF[0] - 0.002), y, z)
        assert not put(env, "money", "safe", side * (0.1 + HALF[0] + 0.002), y, z)
        assert put(env, "money", "safe", 0, y + side * (0.1 + HALF[1] - 0.002), z)
        assert not put(env, "money", "safe", 0, y + side * (0.1 + HALF[1] + 0.002), z)
    assert put(env, "money", "safe", 0, y, high + HALF[2] - 0.002)
    assert not put(env, "money", "safe", 0, y, high + HALF[2] + 0.002)
    assert put(env, "money", "safe", 0, y, low - HALF[2] + 0.002)
    assert not put(env, "money", "safe", 0, y, low - HALF[2] - 0.002)


def test_the_notes_count_once_let_go(scene):
    env = scene(TASK, 2)
    while env._expert_steps < len(env._keyframes) - 1:
        _, done, _ = env.step(env.expert_action())
        assert not done
    assert env._world.held == "money"
    _, done, info = env.step(env.expert_action())
    assert done and info.success
    assert env._world.held is None and env._world.in_sensor("money", "shelf2")


def test_held_notes_on_the_shelf_do_not_count(scene, put):
    env = scene(TASK, 1)
    assert put(env, "money", "safe", 0, 0.012, REST_Z[1])
    env._world.attach("money")
    assert env._world.in_sensor("money", "shelf1") and not env._check()
    env._world.release()
    assert env._check()


def test_the_notes_lie_on_the_safe_turned_by_up_to_a_quarter(scene):
    turns = []
    for seed in range(12):
        env = scene(TASK, seed % 3, seed)
        money = env._world.pose("safe").inverse() * env._world.pose("money")
        assert money.position[2] == pytest.approx(0.4935 + HALF[2], abs=1e-3)
        corners = money.rotation.apply([(sx * HALF[0], sy * HALF[1], 0) for sx in (-1, 1) for sy in (-1, 1)])
        reach = np.abs(money.position[:2]) + np.abs(corners[:, :2]).max(axis=0)
        assert (reach <= (0.283 / 2 + 1e-3, 0.223 / 2 + 1e-3)).all()
        turns.append(np.rad2deg(money.yaw) + 90)
    assert min(turns) > -0.5 and max(turns) < 90.5 and np.ptp(turns) > 30


def test_the_door_stands_open(scene):
    world = scene(TASK)._world
    assert world.joint("safe_joint") == pytest.approx(0.0, abs=0.01)
    door = world.pose("safe").inverse() * world.pose("door")
    # Hinged beside the opening, the leaf points away from it.
    np.testing.assert_allclose(door.position, (0.144, 0.118, 0.2465), atol=1e-6)
    assert np.rad2deg(door.yaw) == pytest.approx(2.5, abs=0.6)


def test_every_sentence_names_the_shelf(scene):
    for variation, shelf in enumerate(SHELVES):
        env = scene(TASK, variation)
        sentences = env._task.instructions(variation)
        assert env._instruction in sentences and len(set(sentences)) == 3
        for sentence in sentences:
            assert [word for word in re.findall(r"\w+", sentence) if word in SHELVES] == [shelf]
