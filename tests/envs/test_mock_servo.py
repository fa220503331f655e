from itertools import pairwise

import pytest

from envs.conformance import check_environment
from envs.latency_sources import FixedLatency
from envs.play import play_episode
from envs.spec import InputError
from envs.suite import load_suite
from policies.registry import make_policy

SUITE = load_suite("mock_servo")


def solved(policy, latency=None, count=10):
    env = SUITE.make("follow")
    episodes = SUITE.episodes("follow", "validation", count)
    records = [play_episode(env, make_policy(policy), e, SUITE.execution_horizon, latency=latency) for e in episodes]
    return sum(record.outcome == "success" for record in records)


def test_the_task_conforms():
    check_environment(lambda: SUITE.make("follow"), SUITE.episodes("follow", "train", 3))


def test_the_expert_succeeds_and_zero_does_not():
    assert solved("expert") == 10 and solved("zero", count=3) == 0


def test_the_later_the_worse():
    counts = [solved("expert", FixedLatency(ticks / 20)) for ticks in (1, 8)]
    assert 10 > counts[0] > counts[1] == 0


def test_the_dot_keeps_moving_over_the_table():
    env = SUITE.make("follow")
    env.reset(SUITE.episodes("follow", "train", 1)[0])
    places = []
    for _ in range(300):
        env.step(env.hold_action())
        places.append(env._objects[env._colour].copy())
    steps = [sum((b - a) ** 2) ** 0.5 for a, b in pairwise(places)]
    assert max(steps) <= 0.35 / 20 + 1e-9 and min(steps[:20]) > 0
    assert all(0.1 <= place[0] <= 0.6 and -0.4 <= place[1] <= 0.4 for place in places)


def test_unknown_tasks_and_options_are_refused(mock_suite):
    with pytest.raises(InputError, match="no task 'chase' at a control rate"):
        mock_suite(adapter="envs.mock_servo:make", tasks={"chase": 1}).make("chase")
    with pytest.raises(InputError, match="no option 'speed'"):
        mock_suite(adapter="envs.mock_servo:make", tasks={"follow": 1}, options={"speed": 1}).make("follow")
