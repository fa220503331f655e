from dataclasses import replace

import numpy as np
import pytest

from envs.conformance import check_environment, check_policy
from envs.suite import load_suite
from policies.base import ActionChunk, Policy, PolicyInfo, PolicySpec
from policies.registry import make_policy

SUITE = load_suite("mock")
EPISODES = SUITE.episodes("reach", "train", 3)


def make_env(change=None):
    def make():
        env = SUITE.make("reach")
        if change is not None:
            change(env)
        return env

    return make


@pytest.mark.parametrize("task", list(SUITE.tasks))
def test_the_mock_tasks_conform(task):
    check_environment(lambda: SUITE.make(task), SUITE.episodes(task, "train", 3))


def wrap_observation(env, change):
    plain = env._observe
    env._observe = lambda: change(plain())


def ignores_seed(env):
    plain = env.reset
    env.reset = lambda episode: plain(EPISODES[0])


def leaks(env):
    env.played = 0
    plain = env.reset

    def reset(episode):
        env.played += 1
        observation = plain(episode)
        observation["proprioception"] = observation["proprioception"] + env.played
        return observation

    env.reset = reset


def invalid_hold(env):
    env.hold_action = lambda: np.zeros(128, dtype=np.float32)


def unreachable_hold(env):
    plain = env.hold_action

    def hold():
        action = plain()
        action[0] = 9
        return action

    env.hold_action = hold


def fewer_bounds(env):
    env.spec = replace(env.spec, action_low=env.spec.action_low[:3])


def missing_camera(env):
    wrap_observation(env, lambda obs: obs | {"images": {"front": obs["images"]["front"]}})


def float_images(env):
    wrap_observation(env, lambda obs: obs | {"images": {name: image / 255 for name, image in obs["images"].items()}})


def long_proprioception(env):
    wrap_observation(env, lambda obs: obs | {"proprioception": np.zeros(99, dtype=np.float32)})


def nan_proprioception(env):
    wrap_observation(env, lambda obs: obs | {"proprioception": obs["proprioception"] * np.float32(np.nan)})


def grey_render(env):
    env.render = lambda: np.zeros((8, 8), dtype=np.uint8)


def noisy_step(env):
    plain = env.step
    rng = np.random.default_rng()

    def step(action):
        result = plain(action)
        result.observation["proprioception"][-1] = rng.random()
        return result

    env.step = step


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (ignores_seed, "ignores the seed"),
        (leaks, "state leaks"),
        (invalid_hold, "hold action cannot be executed"),
        (unreachable_hold, "must be executable"),
        (fewer_bounds, "action_low has 3 entries"),
        (missing_camera, "images are"),
        (float_images, "is float64"),
        (long_proprioception, "proprioception is not in"),
        (nan_proprioception, "NaN"),
        (grey_render, "render gives"),
        (noisy_step, "the same action from the same state"),
    ],
)
def test_broken_environments_are_caught(change, message):
    with pytest.raises(AssertionError, match=message):
        check_environment(make_env(change), EPISODES)


def test_one_seed_is_not_enough():
    with pytest.raises(AssertionError, match="at least two"):
        check_environment(make_env(), EPISODES[:1])


class Broken(Policy):
    spec = PolicySpec(None, 1)
    info = PolicyInfo("broken")

    def __init__(self, change):
        self.change = change
        self.inner = make_policy("random")
        self.calls = 0

    def reset(self, task, seed):
        self.inner.reset(task, seed)

    def act(self, obs):
        self.calls += 1
        return self.change(self, obs, self.inner.act(obs).actions)


def double(policy, obs, actions):
    return ActionChunk(actions.astype(np.float64))


def long_chunk(policy, obs, actions):
    return ActionChunk(np.repeat(actions, 2, axis=0))


def restless(policy, obs, actions):
    actions[0, 0] += policy.calls
    return ActionChunk(actions)


def stray(policy, obs, actions):
    actions[0, 90] = 1
    return ActionChunk(actions)


def skewed(policy, obs, actions):
    return ActionChunk(actions * 3)


def meddling(policy, obs, actions):
    obs["proprioception"][0] = 9
    return ActionChunk(actions)


def negative_span(policy, obs, actions):
    return ActionChunk(actions, {"head": -1.0})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda policy, obs, actions: actions, "not ActionChunk"),
        (double, "float64"),
        (long_chunk, "horizon of 1"),
        (restless, "the same seed"),
        (stray, "must be zero"),
        (skewed, "cannot be executed"),
        (meddling, "in place"),
        (negative_span, "spans"),
    ],
)
def test_broken_policies_are_caught(change, message):
    env = SUITE.make("reach")
    observation = env.reset(EPISODES[0])
    with pytest.raises(AssertionError, match=message):
        check_policy(Broken(change), env.spec, [observation])
