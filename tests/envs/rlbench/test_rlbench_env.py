"""What the back end promises to the runner: reproducible resets, actions, failures, ends of episodes."""

import dataclasses
import pkgutil
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

pytest.importorskip("mujoco", reason="needs MuJoCo: pip install -e '.[sim-mujoco]'")

from envs.conformance import check_environment
from envs.rlbench import tasks
from envs.spec import Episode, InputError
from envs.suite import load_suite
from model.actions import GRIPPER, POSITION, QUATERNION

pytestmark = pytest.mark.sim

TASKS = tuple(load_suite("rlbench18").tasks)


def episode(task, variation=0, seed=1_000_000):
    return Episode("rlbench18", task, variation, seed)


def play_expert(env):
    """Plays the expert from the state after reset; returns the results of its steps."""
    results = []
    while not results or not (results[-1].done or len(results) == env.spec.max_steps):
        results.append(env.step(env.expert_action()))
    return results


def state(env, observation):
    """All that an episode starts from."""
    model = env._world.model
    return [
        *observation["images"].values(),
        observation["proprioception"],
        env._world.data.qpos.copy(),
        model.body_pos.copy(),
        model.geom_rgba.copy(),
        np.array(observation["instruction"]),
    ]


def equal(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_the_suite_has_every_task_that_is_written(rlbench):
    assert {module.name for module in pkgutil.iter_modules(tasks.__path__)} == set(rlbench.tasks)


@pytest.mark.parametrize("task", ["put_item_in_drawer", "reach_and_drag", "push_buttons"])
def test_the_start_depends_on_the_episode_alone(rlbench, make_env, task):
    env = make_env(task)
    first = state(env, env.reset(episode(task, 1, 7)))
    other = state(env, env.reset(episode(task, 2, 8)))
    play_expert(env)
    assert not equal(first, other)
    assert equal(state(env, env.reset(episode(task, 1, 7))), first)
    fresh = rlbench.make(task)
    assert equal(state(fresh, fresh.reset(episode(task, 1, 7))), first)
    fresh.close()


@pytest.mark.parametrize("task", TASKS)
def test_seeds_move_the_scene(scene, task):
    roots = np.array([scene(task, seed=seed)._world.pose("root").position[:2] for seed in range(4)])
    gaps = np.linalg.norm(roots[:, None] - roots[None], axis=-1) + np.eye(4)
    assert gaps.min() > 1e-3


@pytest.mark.parametrize("task", TASKS)
def test_every_variation_can_be_reset_and_is_not_solved_at_the_start(rlbench, scene, task):
    for variation in range(rlbench.tasks[task]):
        env = scene(task, variation, seed=3)
        assert not env._check(), variation
        assert env._keyframes
    assert env.spec.variations == rlbench.tasks[task]


@pytest.mark.parametrize("task", TASKS)
def test_a_variation_that_does_not_exist_is_refused(rlbench, make_env, task):
    for variation in (-1, rlbench.tasks[task]):
        with pytest.raises(InputError, match="has variations 0"):
            make_env(task).reset(episode(task, variation))


def test_the_same_actions_give_the_same_observations(make_env):
    env = make_env("slide_block_to_color_target")
    ends = []
    for _ in range(2):
        env.reset(episode("slide_block_to_color_target", 1))
        ends.append(state(env, play_expert(env)[-1].observation))
    assert equal(*ends)


def test_without_pictures_the_motion_is_the_same(make_env):
    env, episode = make_env("push_buttons"), Episode("rlbench18", "push_buttons", 0, 1_000_000)
    ends = []
    for picturing in (True, False):
        env.picturing = picturing
        env.reset(episode)
        observation = env.step(env.expert_action()).observation
        assert bool(observation["images"]) == picturing
        ends.append(observation["proprioception"])
    env.picturing = True
    assert np.array_equal(*ends)


@pytest.mark.parametrize("task", TASKS)
def test_holding_still_moves_nothing_and_never_succeeds(make_env, task):
    env = make_env(task)
    env.reset(episode(task))
    start = env._world.tip.position
    for _ in range(3):
        observation, done, info = env.step(env.hold_action())
        assert not done and not info.success and info.failure is None
        assert np.linalg.norm(env._world.tip.position - start) < 1e-3
    assert observation["proprioception"][-1] < 1.0


@pytest.mark.parametrize("point", [(0.3, 0.0, 0.70), (1.2, 0.0, 1.0), (0.77, -0.65, 1.74)])
def test_an_unreachable_pose_ends_the_episode_as_the_planners_failure(make_env, point):
    env = make_env("turn_tap")
    env.reset(episode("turn_tap"))
    action = env.hold_action()
    action[POSITION] = point
    _, done, info = env.step(action)
    assert done and not info.success and info.planner_failure
    assert info.failure.startswith("the pos")


@pytest.mark.parametrize("slot, value", [(POSITION, np.nan), (QUATERNION, 0.0), (GRIPPER, np.inf)])
def test_an_invalid_action_is_a_failure_but_not_the_planners(make_env, slot, value):
    env = make_env("turn_tap")
    env.reset(episode("turn_tap"))
    action = env.hold_action()
    action[slot] = value
    _, done, info = env.step(action)
    assert done and not info.success and not info.planner_failure
    assert info.failure


def test_a_step_before_the_first_reset_is_refused(rlbench):
    env = rlbench.make("turn_tap")
    with pytest.raises(RuntimeError, match="reset the environment"):
        env.step(np.zeros(128, dtype=np.float32))
    env.close()


def test_the_episode_ends_at_the_first_moment_of_success(make_env):
    env = make_env("open_drawer")
    env.reset(episode("open_drawer", 2))
    results = play_expert(env)
    assert [result.done for result in results] == [False, False, True]
    assert [result.info.success for result in results] == [False, False, True]
    # The expert would pull by 0.235 m; success is at 0.15 m.
    assert 0.15 < env._world.joint("drawer_top") < 0.19


def test_a_motion_offers_frames_and_observations_on_the_way(make_env, monkeypatch):
    env = make_env("turn_tap")
    monkeypatch.setattr(env, "render", lambda: env.picture("studio", 48, 64))
    env.reset(episode("turn_tap"))
    env.record_frames, env.intermediate_observations = True, 2
    try:
        last = env.step(env.expert_action()).observation
        frames, between = env.take_frames(), env.take_intermediate()
    finally:
        env.record_frames, env.intermediate_observations = False, 0
    assert len(frames) > 3 and frames[0].shape == (48, 64, 3) and frames[0].std() > 10
    heights = [seen["proprioception"][env.spec.proprioception.index("eef_z")] for seen in (*between, last)]
    assert len(heights) == 3 and heights == sorted(heights, reverse=True)


def test_the_proprioception_is_what_it_says(make_env):
    env = make_env("reach_and_drag")
    observation = env.reset(episode("reach_and_drag"))
    facts = dict(zip(env.spec.proprioception, observation["proprioception"], strict=True))
    tip = env._world.tip
    np.testing.assert_allclose([facts[f"eef_{axis}"] for axis in "xyz"], tip.position, atol=1e-6)
    quaternion = np.array([facts[f"eef_q{axis}"] for axis in "xyzw"])
    assert abs(quaternion @ tip.rotation.as_quat()) == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_allclose([facts[f"joint_{i}"] for i in range(7)], env._world.arm, atol=1e-6)
    assert facts["gripper_open"] == 1.0 and facts["time"] == 1.0
    closed = env.hold_action()
    closed[GRIPPER] = 0.0
    after = dict(zip(env.spec.proprioception, env.step(closed).observation["proprioception"], strict=True))
    assert after["gripper_open"] == 0.0 and after["finger_left"] < 0.002 and after["time"] < 1.0


def test_pictures_for_people_leave_the_observation_alone(make_env):
    env = make_env("open_drawer")
    first = state(env, env.reset(episode("open_drawer")))
    picture = env.picture("front", 96, 128)
    assert picture.shape == (96, 128, 3) and picture.std() > 10
    assert equal(state(env, env.reset(episode("open_drawer"))), first)


@pytest.mark.parametrize("task", ["push_buttons", "put_item_in_drawer"])
def test_the_environment_conforms(rlbench, task):
    check_environment(lambda: rlbench.make(task), rlbench.episodes(task, "train", 2))


def test_gymnasiums_own_checks_pass():
    env = gymnasium.make("drifting_vla/rlbench18-open_drawer-v0", render_mode="rgb_array")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice on the scale of spaces, not rules
        check_env(env.unwrapped)
    env.close()


def test_an_unknown_grasp_option_is_refused(rlbench):
    suite = dataclasses.replace(rlbench, options=rlbench.options | {"grasp": "magnet"})
    with pytest.raises(InputError, match="'attach' or 'physical'"):
        suite.make("turn_tap")
