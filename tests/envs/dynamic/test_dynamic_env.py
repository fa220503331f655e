"""What the environment promises to the runner, and how the arm moves."""

import dataclasses
import pkgutil
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

pytest.importorskip("mujoco", reason="needs MuJoCo: pip install -e '.[sim-mujoco]'")

from envs.conformance import check_environment
from envs.dynamic import tasks
from envs.dynamic.servo import TARGET_HIGH, TIP_SPEED
from envs.spec import Episode, InputError
from envs.suite import load_suite
from model.actions import GRIPPER, POSITION, QUATERNION

pytestmark = pytest.mark.sim

TASKS = tuple(load_suite("dynamic").tasks)


def state(env):
    data = env.world.data
    return np.concatenate([data.qpos, data.qvel, data.mocap_pos.ravel(), env.world.model.geom_rgba.ravel()])


def play(env, episode, ticks=12):
    """The state after some of the expert's actions."""
    env.reset(episode)
    for _ in range(ticks):
        env.step(env.expert_action())
    return state(env)


def test_the_suite_has_every_task_that_is_written(dynamic):
    assert {module.name for module in pkgutil.iter_modules(tasks.__path__)} == set(dynamic.tasks)
    assert all(dynamic.spec(task).variations == count for task, count in dynamic.tasks.items())


def test_evaluation_sets_are_frozen(dynamic):
    for block in ("validation", "test"):
        for task in TASKS:
            written = [Episode("dynamic", task, *pair) for pair in dynamic.frozen_episodes[block][task]]
            assert len(written) == 25 == dynamic.episodes_per_task
            assert dynamic.episodes(task, block, 25) == written
            assert {episode.variation for episode in written} == {0, 1, 2, 3}


@pytest.mark.parametrize("task", TASKS)
def test_the_environment_conforms(dynamic, task):
    check_environment(lambda: dynamic.make(task), dynamic.episodes(task, "train", 2))


def test_gymnasiums_own_checks_pass():
    env = gymnasium.make("drifting_vla/dynamic-target_follow-v0", render_mode="rgb_array")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice on the scale of spaces, not rules
        check_env(env.unwrapped)
    env.close()


@pytest.mark.parametrize("task", TASKS)
def test_an_episode_is_the_same_whatever_was_played_before(dynamic, make_dynamic, task):
    env = make_dynamic(task)
    env.observing = False
    episodes = dynamic.episodes(task, "train", 3)
    forwards = [play(env, episode) for episode in episodes]
    backwards = [play(env, episode) for episode in episodes[::-1]][::-1]
    assert all(np.array_equal(one, other) for one, other in zip(forwards, backwards, strict=True))
    assert not np.array_equal(forwards[0], forwards[1])
    fresh = dynamic.make(task)
    fresh.observing = False
    assert np.array_equal(play(fresh, episodes[1]), forwards[1])
    fresh.close()


@pytest.mark.parametrize("task", TASKS)
def test_holding_still_holds_the_arm_still_and_never_succeeds(blind, task):
    env = blind(task)
    start = env.world.tip.position
    for _ in range(env.spec.max_steps):
        _, done, info = env.step(env.hold_action())
        assert not info.success and info.failure is None
        assert np.linalg.norm(env.world.tip.position - start) < 2e-3
        if done:
            break


def test_the_tip_keeps_to_its_speed_and_to_its_box(blind):
    env = blind("target_follow")
    target = env.hold_action()
    target[POSITION] = (0.3, 0.9, 1.0)
    places = [env.world.tip.position]
    for _ in range(30):
        _, done, info = env.step(target)
        assert not done and info.failure is None
        places.append(env.world.tip.position)
    ways = np.linalg.norm(np.diff(places, axis=0), axis=1)
    assert 0.9 * TIP_SPEED / 20 < ways.max() < 1.15 * TIP_SPEED / 20
    np.testing.assert_allclose(places[-1], (0.3, TARGET_HIGH[1], 1.0), atol=5e-3)


def test_the_tip_follows_a_moving_target_closely(blind):
    env = blind("target_follow")
    action, start = env.hold_action(), env.world.tip.position
    for tick in range(1, 31):
        action[POSITION] = start + np.array([0.0, 0.01 * tick, 0.0])  # 0.2 m/s
        env.step(action)
        assert tick < 5 or np.linalg.norm(env.world.tip.position - action[POSITION]) < 4e-3


def test_an_invalid_action_is_a_failure(blind):
    for slot, value in ((POSITION, np.nan), (QUATERNION, 0.0), (GRIPPER, np.inf)):
        env = blind("conveyor_pick")
        action = env.hold_action()
        action[slot] = value
        _, done, info = env.step(action)
        assert done and info.failure and not info.success and not info.planner_failure


def test_proprioception_has_no_clock_and_says_what_it_says(make_dynamic):
    env = make_dynamic("conveyor_pick")
    observation = env.reset(Episode("dynamic", "conveyor_pick", 2, 5))
    facts = dict(zip(env.spec.proprioception, observation["proprioception"], strict=True))
    assert "time" not in facts and facts["gripper_open"] == 1.0
    np.testing.assert_allclose([facts[f"eef_{axis}"] for axis in "xyz"], env.world.tip.position, atol=1e-6)
    np.testing.assert_allclose([facts[f"joint_{i}"] for i in range(7)], env.world.arm, atol=1e-6)
    closed = env.hold_action()
    closed[GRIPPER] = 0.0
    for _ in range(5):
        last = env.step(closed).observation["proprioception"]
    after = dict(zip(env.spec.proprioception, last, strict=True))
    assert after["gripper_open"] == 0.0 and after["finger_left"] < 2e-3
    assert "blue" in observation["instruction"]


def test_pictures_for_people_show_the_carts_where_they_are(blind):
    env = blind("target_follow")
    before = env.picture("opposite", 64, 64).astype(int)
    assert np.array_equal(env.picture("opposite", 64, 64), before)
    env.task.drive(env.world, 0.5)
    env.world.forward()
    assert np.abs(env.picture("opposite", 64, 64) - before).max() > 50


def test_a_suite_without_cameras_plays_the_same_motion(dynamic, make_dynamic):
    episode = Episode("dynamic", "conveyor_pick", 1, 1_000_000)
    unseen = dataclasses.replace(dynamic, cameras=()).make("conveyor_pick")
    assert not unseen.reset(episode)["images"]
    seen = make_dynamic("conveyor_pick")
    state_then = play(seen, episode)
    assert np.array_equal(play(unseen, episode), state_then)
    unseen.close()
    seen.picturing = False  # nor does it matter whether anybody looks
    assert np.array_equal(play(seen, episode), state_then) and seen.step(seen.hold_action()).observation["images"] == {}
    seen.picturing = True


def test_wrong_requests_are_refused(dynamic, make_dynamic):
    for variation in (-1, 4):
        with pytest.raises(InputError, match=r"has variations 0\.\.3"):
            make_dynamic("ball_intercept").reset(Episode("dynamic", "ball_intercept", variation, 0))
    with pytest.raises(InputError, match="takes no option demos"):
        dynamic.make("ball_intercept", demos="x")
    with pytest.raises(InputError, match="'attach' or 'physical'"):
        dataclasses.replace(dynamic, options=dynamic.options | {"grasp": "magnet"}).make("ball_intercept")
    with pytest.raises(InputError, match="Did you mean 'wrist'"):
        dataclasses.replace(dynamic, cameras=("wirst",)).spec("ball_intercept")
    unplayed = dynamic.make("ball_intercept")
    with pytest.raises(RuntimeError, match="reset the environment"):
        unplayed.hold_action()
    unplayed.close()
