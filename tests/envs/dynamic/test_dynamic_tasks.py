"""The tasks: motion, experts, success conditions, and that reacting late costs success."""

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="needs MuJoCo: pip install -e '.[sim-mujoco]'")

from envs.dynamic.pick import pick
from envs.dynamic.task import COLORS
from envs.dynamic.tasks import ball_intercept, conveyor_pick, target_follow, turntable_pick
from envs.latency_sources import FixedLatency
from envs.play import play_episode
from envs.rlbench.palette import PALETTE
from envs.suite import load_suite
from policies.registry import make_policy

pytestmark = pytest.mark.sim

TASKS = tuple(load_suite("dynamic").tasks)
NAMED = {"conveyor_pick": "block0", "ball_intercept": "ball0", "target_follow": "cart0", "turntable_pick": "puck0"}


def speed_of(env, task):
    """How fast the named object moves while the arm holds still, m/s, over half a second."""
    places = []
    for _ in range(11):
        places.append(env.world.pose(NAMED[task]).position)
        env.step(env.hold_action())
    return np.linalg.norm(np.diff(places, axis=0), axis=1) * 20.0


@pytest.mark.parametrize("task", TASKS)
def test_objects_move_at_a_steady_speed_drawn_by_the_seed(blind, task):
    mean = []
    for seed in (1, 2, 3, 4):
        speeds = speed_of(blind(task, seed=seed), task)
        assert speeds.std() < 0.05 * speeds.mean()
        mean.append(speeds.mean())
    assert np.ptp(mean) > 0.01
    radius = (0.105, 0.14)
    bounds = {
        "conveyor_pick": conveyor_pick.SPEED,
        "ball_intercept": (ball_intercept.SPEED[0], np.hypot(ball_intercept.SPEED[1], ball_intercept.ACROSS[1])),
        "target_follow": target_follow.SPEED,
        "turntable_pick": (turntable_pick.SPEED[0] * radius[0], turntable_pick.SPEED[1] * radius[1]),
    }[task]
    assert 0.97 * bounds[0] < min(mean) and max(mean) < 1.03 * bounds[1]


@pytest.mark.parametrize("task", TASKS)
def test_a_variation_is_a_colour_and_the_sentence_names_it(make_dynamic, dynamic, task):
    env = make_dynamic(task)
    for episode in dynamic.episodes(task, "train", 4):
        sentence = env.reset(episode)["instruction"]
        color, other = (tuple(np.round(env.world.model.geom(f"paint{i}").rgba[:3], 6)) for i in range(2))
        assert color == PALETTE[COLORS[episode.variation]] and COLORS[episode.variation] in sentence
        assert other != color and other in PALETTE.values()


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("delay_s", [0.0, 0.3])
def test_acting_on_what_was_seen_works_at_once_and_not_later(blind, dynamic, task, delay_s):
    env = blind(task)
    latency = FixedLatency(delay_s) if delay_s else None
    episodes = dynamic.episodes(task, "validation", 4)
    for policy in ("expert", "chase"):
        records = [
            play_episode(env, make_policy(policy), e, dynamic.execution_horizon, latency=latency) for e in episodes
        ]
        solved = sum(record.outcome == "success" for record in records)
        assert solved == 4 if not delay_s else solved <= 1, policy


@pytest.mark.parametrize("task", TASKS)
def test_a_missed_object_ends_the_episode(blind, task):
    env = blind(task)
    results = []
    while len(results) < 400 and not (results and results[-1].done):
        results.append(env.step(env.hold_action()))
    assert results[-1].done == (task in ("conveyor_pick", "ball_intercept"))
    assert not any(result.info.success for result in results)


def test_the_other_block_does_not_count(blind):
    env = blind("conveyor_pick", seed=1_000_003)
    velocity = np.array([0.0, -env.task._speed, 0.0])
    surface = env.world.pose("block1").position[2]
    for _ in range(60):
        command = pick(env.world, "block1", velocity, surface)
        result = env.step(env._encode(command.pose, command.open))
        assert not result.info.success
        if result.done:
            break
    assert env.world.held == "block1" and env.world.pose("block1").position[2] > surface + 0.1


def test_a_block_must_be_held_for_a_while(blind):
    env = blind("conveyor_pick")
    ticks = 0
    for _ in range(60):
        _, done, info = env.step(env.expert_action())
        ticks = ticks + 1 if env.task.achieved(env.world) else 0
        assert info.success == done == (ticks >= 5)
        if done:
            break
    assert ticks == 5


def test_following_must_not_break_off(blind):
    env = blind("target_follow")
    achieved = []
    for tick in range(80):
        away = env.hold_action()
        away[2] += 0.2  # a jump up in the middle
        result = env.step(away if 25 <= tick < 30 else env.expert_action())
        achieved.append(env.task.achieved(env.world))
        if result.done:
            break
    assert any(achieved[:25]) and not achieved[28] and result.info.success and len(achieved) > 55
    assert all(achieved[-30:]) and not all(achieved[-31:])


def test_the_catcher_cannot_be_dropped_and_keeps_the_ball(blind):
    env = blind("ball_intercept")
    for _ in range(60):
        action = env.expert_action()
        action[7] = 1.0
        result = env.step(action)
        if result.done:
            break
    assert result.info.success and env.world.held == "catcher"
    for _ in range(20):
        env.step(env.hold_action())
        assert env.task.achieved(env.world)


def test_the_catcher_goes_as_far_as_it_may_and_the_expert_points_further(blind):
    env = blind("ball_intercept")
    far = env.expert_action()[0]
    assert far > env.task.farthest + 0.1  # at the ball, whose start is out of reach
    action = env.hold_action()
    action[0] = 0.6
    for _ in range(20):
        env.step(action)
    assert env.world.tip.position[0] == pytest.approx(env.task.farthest, abs=0.01)
