import subprocess
import sys
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from envs.suite import load_suite, suite_names
from policies.registry import make_policy


def make(task="reach", **arguments):
    return gymnasium.make(f"drifting_vla/mock-{task}-v0", **arguments)


@pytest.mark.parametrize("task", ["reach", "pick"])
def test_gymnasiums_own_checks_pass(task):
    env = make(task, render_mode="rgb_array")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice on the scale of spaces, not rules
        check_env(env.unwrapped)
    env.close()


def test_every_task_of_every_suite_is_registered():
    for name in suite_names():
        for task in load_suite(name).tasks:
            assert gymnasium.spec(f"drifting_vla/{name}-{task}-v0")


def test_importing_the_package_imports_no_simulator():
    code = "import sys, envs; print(*[name for name in ('mujoco', 'torch', 'envs.mock') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_a_policy_plays_in_a_gymnasium_loop():
    env = make("pick")
    policy = make_policy("expert")
    observation, info = env.reset(seed=7)
    assert info["episode"] == f"pick/v{info['variation']:03d}/s7"
    policy.attach(env.unwrapped.env)
    policy.reset(env.unwrapped.task_spec, seed=0)
    rewards, terminated = [], False
    while not terminated:
        observation, reward, terminated, truncated, info = env.step(policy.act(observation).actions[0])
        assert not truncated
        rewards.append(reward)
    assert info["success"] and rewards == [0.0] * (len(rewards) - 1) + [1.0]


def test_an_episode_is_cut_after_the_tasks_number_of_steps():
    env = make()
    env.reset(seed=0)
    ends = [env.step(env.unwrapped.env.hold_action())[2:4] for _ in range(10)]
    assert ends == [(False, False)] * 9 + [(False, True)]


def test_an_invalid_action_ends_the_episode():
    env = make()
    env.reset(seed=0)
    _, reward, terminated, truncated, info = env.step(np.full(128, np.nan, dtype=np.float32))
    assert (reward, terminated, truncated) == (0.0, True, False)
    assert info["failure"].startswith("invalid action")


def test_seeds_and_variations():
    env = make()
    one, _ = env.reset(seed=5, options={"variation": 1})
    other, info = env.reset(seed=5, options={"variation": 2})
    assert info["variation"] == 2 and one["instruction"] != other["instruction"]
    train = load_suite("mock").seeds["train"]
    for _ in range(20):  # without a seed: never one of the test seeds
        env.reset()
        assert train.start <= env.unwrapped.episode.seed < train.stop
