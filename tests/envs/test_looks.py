"""Between two calls of the policy nobody looks, and the environment may save its pictures."""

from dataclasses import replace

import numpy as np
import pytest

from envs.latency_sources import parse_latency
from envs.play import play_episode
from envs.suite import load_suite
from policies.base import ActionChunk, Policy, PolicyInfo, PolicySpec


class Chunks(Policy):
    """Holds still, several actions at a time."""

    def __init__(self, horizon):
        self.spec, self.info = PolicySpec(None, horizon), PolicyInfo("chunks")

    def attach(self, env):
        self._env = env

    def reset(self, task, seed):
        self.looks = 0

    def act(self, obs):
        assert obs["images"] and len(obs["proprioception"])
        self.looks += 1
        return ActionChunk(np.repeat(self._env.hold_action()[None], self.spec.horizon, axis=0))


@pytest.fixture
def watched():
    suite = load_suite("mock_servo")
    env = suite.make(next(iter(suite.tasks)))
    asked, step = [], env.step

    def noted(action):
        asked.append(env.observing)
        result = step(action)
        return result if env.observing else result._replace(observation={})

    env.step = noted
    yield env, suite.episodes(env.spec.task, count=1)[0], asked
    env.close()


@pytest.mark.parametrize(("horizon", "execution"), [(1, 1), (4, 4), (4, 3), (2, 8)])
def test_only_the_last_played_action_of_a_chunk_is_looked_at(watched, horizon, execution):
    env, episode, asked = watched
    policy = Chunks(horizon)
    record = play_episode(env, policy, episode, execution)
    played = min(horizon, execution)
    assert record.error is None and record.steps == len(asked) > played
    assert asked == [(k + 1) % played == 0 for k in range(len(asked))]
    assert env.observing


def test_what_is_played_while_the_policy_computes_is_not_looked_at(watched):
    env, episode, asked = watched
    record = play_episode(env, Chunks(2), episode, 2, latency=parse_latency("100ms"))
    assert record.error is None and asked and not all(asked)
    assert env.observing


@pytest.mark.parametrize("blind", [True, False])
def test_for_who_looks_at_no_picture_none_is_taken(blind):
    suite = load_suite("mock_servo")
    env = suite.make(next(iter(suite.tasks)))
    policy, seen = Chunks(2), []
    policy.spec = replace(policy.spec, blind=blind)
    policy.act = lambda obs: seen.append(obs) or ActionChunk(env.hold_action()[None])
    (episode,) = suite.episodes(env.spec.task, count=1)
    record = play_episode(env, policy, episode, 2)
    assert record.error is None and len(seen) > 2
    assert all(bool(obs["images"]) != blind and len(obs["proprioception"]) for obs in seen)
    assert env.picturing and env.reset(episode)["images"]
