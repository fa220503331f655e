"""When a task counts as solved: the expert's way, and how near a miss may come without counting."""

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="needs MuJoCo: pip install -e '.[sim-mujoco]'")

from envs.suite import load_suite

pytestmark = pytest.mark.sim

TASKS = tuple(load_suite("rlbench18").tasks)
DRAWERS = ("bottom", "middle", "top")


@pytest.mark.parametrize("task", TASKS)
def test_the_expert_solves_the_task(rlbench, scene, task):
    for episode in rlbench.episodes(task, "validation", 2):
        env = scene(task, episode.variation, episode.seed)
        for _ in range(env.spec.max_steps):
            _, done, info = env.step(env.expert_action())
            if done:
                break
        assert info.success, f"{episode.id}: {info.failure}"


@pytest.mark.parametrize("variation", range(3))
def test_a_drawer_is_open_beyond_15_cm(scene, set_joint, variation):
    env = scene("open_drawer", variation)
    joint = f"drawer_{DRAWERS[variation]}"
    set_joint(env, joint, 0.14)
    assert not env._check()
    set_joint(env, joint, 0.16)
    assert env._check()
    set_joint(env, joint, 0.0)
    for other in set(DRAWERS) - {DRAWERS[variation]}:
        set_joint(env, f"drawer_{other}", 0.29)
    assert not env._check()


def press(env, set_joint, button, depth=0.002):
    """Presses a button and lets go; says whether the task was solved meanwhile."""
    set_joint(env, f"press{button}", depth)
    solved = env._check()
    set_joint(env, f"press{button}", 0.0)
    return solved


def test_a_button_counts_from_one_millimetre(scene, set_joint):
    env = scene("push_buttons", variation=0)
    assert not press(env, set_joint, 0, 0.0005)
    assert press(env, set_joint, 0, 0.002)


def test_only_the_named_button_counts(scene, set_joint):
    env = scene("push_buttons", variation=0)
    assert not press(env, set_joint, 1) and not press(env, set_joint, 2)


def test_buttons_count_in_order_and_stay_counted(scene, set_joint):
    env = scene("push_buttons", variation=2)
    assert [press(env, set_joint, button) for button in (0, 1, 2)] == [False, False, True]
    assert env._check(), "solved, though all buttons are up again"


def test_buttons_in_the_wrong_order_do_not_count(scene, set_joint):
    env = scene("push_buttons", variation=2)
    assert not any(press(env, set_joint, button) for button in (2, 1, 0))
    # The last press was the first in order; a wrong button in between changes nothing.
    assert [press(env, set_joint, button) for button in (2, 1, 0, 2)] == [False, False, False, True]


# Squares of 0.1 m in the root's frame; the block's edge is 0.056 m.
TARGETS = ((0.025, 0.150), (0.225, 0.075), (0.025, -0.300), (-0.219, -0.129))


@pytest.mark.parametrize("variation", range(4))
def test_the_block_must_touch_the_named_square(scene, put, variation):
    env = scene("slide_block_to_color_target", variation)
    x, y = TARGETS[variation]
    touch = 0.05 + 0.028
    for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        assert not put(env, "block", "root", x + dx * (touch + 0.002), y + dy * (touch + 0.002), 0.027)
        assert put(env, "block", "root", x + dx * (touch - 0.002), y + dy * (touch - 0.002), 0.027)
    for other in set(TARGETS) - {TARGETS[variation]}:
        assert not put(env, "block", "root", *other, 0.027)
    assert put(env, "block", "root", x, y, 0.027)


@pytest.mark.parametrize("variation, side, other", [(0, "left", "right"), (1, "right", "left")])
def test_a_tap_is_turned_beyond_a_quarter_either_way(scene, set_joint, variation, side, other):
    env = scene("turn_tap", variation)
    for sign in (-1, 1):
        set_joint(env, f"{other}_handle", sign * 2.0)
        set_joint(env, f"{side}_handle", sign * 1.5)
        assert not env._check()
        set_joint(env, f"{side}_handle", sign * 1.6)
        assert env._check()


def test_the_cube_must_reach_the_middle_of_the_goal(scene, put):
    env = scene("reach_and_drag")
    x, y = -0.137, -0.154
    touch = 0.05 + 0.04  # sensor and cube
    for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        assert not put(env, "cube", "root", x + dx * (touch + 0.002), y + dy * (touch + 0.002), 0.039)
        assert put(env, "cube", "root", x + dx * (touch - 0.002), y + dy * (touch - 0.002), 0.039)
    for height, counts in ((0.004, True), (0.006, False)):  # of the cube's lower face; the volume ends at 5 mm
        assert put(env, "cube", "root", x, y, 0.04 + height) == counts


def test_the_cube_on_another_square_does_not_count(scene, put):
    env = scene("reach_and_drag")
    for square in ((0.088, 0.121), (0.088, -0.379), (0.253, -0.153)):
        assert not put(env, "cube", "root", *square, 0.039)


def test_the_stick_on_the_goal_does_not_count(scene, put):
    env = scene("reach_and_drag")
    assert not put(env, "stick", "root", -0.137, -0.154, 0.1)
    np.testing.assert_allclose(env._world.data.geom("goal").xpos[:2], env._world.pose("stick").position[:2], atol=1e-6)


@pytest.mark.parametrize("variation", range(3))
def test_the_item_must_be_inside_the_named_drawer(scene, put, set_joint, variation):
    env = scene("put_item_in_drawer", variation)
    drawers = [f"drawer_{name}" for name in DRAWERS]
    for drawer in drawers:
        set_joint(env, drawer, 0.2)
    for k, drawer in enumerate(drawers):
        assert put(env, "item", drawer, 0, 0.08, -0.025) == (k == variation)
    assert not put(env, "item", "cabinet", 0, 0, 0.489), "the item lies on the chest"


# Lower and upper face of the volumes as measured in RLBench, m in the root's frame; the block is 0.04 m wide.
INSIDE = ((0.110, 0.185), (0.260, 0.335), (0.354, 0.429))


@pytest.mark.parametrize("variation", range(3))
def test_the_drawers_volumes_are_the_measured_ones(scene, put, set_joint, variation):
    env = scene("put_item_in_drawer", variation)
    opened = 0.2
    set_joint(env, f"drawer_{DRAWERS[variation]}", opened)
    (low, high), x, y = INSIDE[variation], 0.025, -0.152 + opened
    for inside, gap in ((True, 0.018), (False, 0.022)):
        assert put(env, "item", "root", x, y, high + gap) == inside
        assert put(env, "item", "root", x, y, low - gap) == inside
        for sign in (-1, 1):
            assert put(env, "item", "root", x, y + sign * (0.15 + gap), (low + high) / 2) == inside
            assert put(env, "item", "root", x + sign * (0.15 + gap), y, (low + high) / 2) == inside
