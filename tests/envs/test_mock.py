import numpy as np
import pytest

from envs.play import episode_policy_seed, play_episode
from envs.spec import Episode, InputError, SimulatorError
from envs.suite import load_suite
from policies.base import ActionChunk, Policy, PolicyInfo, PolicySpec
from policies.registry import make_policy


class Scripted(Policy):
    """Plays what a function of the observation returns."""

    spec = PolicySpec(None, 1)
    info = PolicyInfo("scripted")

    def __init__(self, script):
        self.script = script
        self.calls = 0

    def reset(self, task, seed):
        self.seed = seed

    def act(self, obs):
        self.calls += 1
        return self.script(obs)


def hold_chunk(env, length=1):
    return ActionChunk(np.repeat(env.hold_action()[None], length, axis=0))


def play(env, policy, seed=2_000_000, variation=0, horizon=1, **arguments):
    return play_episode(env, policy, Episode("mock", env.spec.task, variation, seed), horizon, **arguments)


@pytest.fixture
def reach(mock_suite):
    return mock_suite().make("reach")


@pytest.mark.parametrize("task", ["reach", "pick"])
def test_the_expert_succeeds_and_zero_does_not(task):
    suite = load_suite("mock")
    env = suite.make(task)
    episodes = suite.episodes(task)
    expert = [play_episode(env, make_policy("expert"), episode, 1) for episode in episodes]
    assert all(record.outcome == "success" for record in expert)
    assert {record.variation for record in expert} == set(range(suite.tasks[task]))
    zero = [play_episode(env, make_policy("zero"), episode, 1) for episode in episodes]
    assert all((record.outcome, record.failure) == ("failure", "out of steps") for record in zero)
    assert all(record.steps == suite.max_steps for record in zero)


def test_a_record_replays_exactly(reach):
    record = play(reach, make_policy("random"))
    actions = iter(record.actions)
    again = play(reach, Scripted(lambda obs: ActionChunk(reach.spec.embodiment.encode(np.array([next(actions)])))))
    assert (again.outcome, again.steps, again.actions) == (record.outcome, record.steps, record.actions)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (lambda action: np.where(np.arange(128) == 1, np.nan, action), "NaN"),
        (lambda action: action * 2, "quaternion"),
        (lambda action: action[:8], "shape"),
    ],
)
def test_an_invalid_action_is_the_episodes_failure(reach, bad, reason):
    def script(obs):
        return ActionChunk(bad(reach.hold_action())[None].astype(np.float32))

    record = play(reach, Scripted(script))
    assert record.outcome == "failure" and record.failure.startswith("invalid action") and reason in record.failure
    assert record.steps == 0 and record.error is None


def test_an_invalid_action_later_in_a_chunk_counts_when_it_is_played(reach):
    def script(obs):
        actions = np.repeat(reach.hold_action()[None], 3, axis=0)
        actions[2] = np.nan
        return ActionChunk(actions)

    assert play(reach, Scripted(script), horizon=2).failure == "out of steps"
    record = play(reach, Scripted(script), horizon=3)
    assert record.steps == 2 and "NaN" in record.failure


@pytest.mark.parametrize("script", [lambda obs: 1 / 0, lambda obs: np.zeros((1, 128))])
def test_a_policy_that_raises_is_an_error(reach, script):
    record = play(reach, Scripted(script))
    assert record.outcome == "error" and record.failure is None
    assert "ZeroDivisionError" in record.error or "ndarray" in record.error


def test_a_pose_out_of_reach_is_a_planner_failure(reach):
    def script(obs):
        action = reach.hold_action()
        action[0] = 5.0
        return ActionChunk(action[None])

    record = play(reach, Scripted(script))
    assert (record.outcome, record.planner_failures, record.steps) == ("failure", 1, 1)
    assert record.failure == "pose out of reach"


def test_the_execution_horizon_sets_the_number_of_calls(reach):
    policy = Scripted(lambda obs: hold_chunk(reach, 5))
    record = play(reach, policy, horizon=4)
    assert record.steps == 10 and policy.calls == 3
    assert record.latency.calls == 2 and record.latency.cold_ms is not None
    short = Scripted(lambda obs: hold_chunk(reach, 2))
    assert play(reach, short, horizon=4).steps == 10 and short.calls == 5


def test_success_once_and_at_end_are_told_apart(mock_suite):
    def visit(env):
        """To the dot, then away."""
        path = iter([env.expert_action(), *[env.hold_action()] * 9])
        return Scripted(lambda obs: ActionChunk(next(path)[None]))

    records = {}
    for rule in ("success_once", "success_at_end"):
        env = mock_suite(success_rule=rule, max_steps=2).make("reach")
        env.reset(Episode("mock", "reach", 0, 2_000_000))
        records[rule] = play(env, visit(env))
    assert (records["success_once"].outcome, records["success_once"].steps) == ("success", 1)
    at_end = records["success_at_end"]
    assert (at_end.outcome, at_end.success_once, at_end.success_at_end, at_end.steps) == ("failure", True, False, 2)


def test_a_broken_simulator_is_no_result(mock_suite):
    episode = Episode("mock", "reach", 0, 1)
    env = mock_suite(options={"faults": {"broken": [episode.id]}}).make("reach")
    with pytest.raises(SimulatorError):
        play_episode(env, make_policy("zero"), episode, 1)


def test_the_policys_seed_depends_on_episode_and_base_alone(reach):
    one, other = Episode("mock", "reach", 0, 1), Episode("mock", "reach", 0, 2)
    seeds = {episode_policy_seed(episode, base) for episode in (one, other) for base in (0, 1)}
    assert len(seeds) == 4
    policy = Scripted(lambda obs: hold_chunk(reach))
    record = play_episode(reach, policy, one, 1, policy_seed=1)
    assert policy.seed == record.policy_seed == episode_policy_seed(one, 1)


def test_frames_are_filmed_after_the_reset_and_each_step(reach):
    frames = []
    record = play(reach, make_policy("zero"), frame_sink=frames.append)
    assert len(frames) == record.steps + 1 and frames[0].shape == (480, 640, 3)


def test_recorded_motion_is_filmed_where_there_is_any(reach):
    frame = np.zeros((4, 4, 3), dtype=np.uint8)
    reach.record_frames = False
    reach.take_frames = lambda: [frame, frame] if reach.record_frames else []
    frames = []
    record = play(reach, make_policy("zero"), frame_sink=frames.append)
    assert len(frames) == 2 * (record.steps + 1)
    play(reach, make_policy("zero"))
    assert reach.record_frames is False


def test_wrong_use_is_refused(reach, mock_suite):
    with pytest.raises(InputError, match=r"variations 0 \.\. 2"):
        reach.reset(Episode("mock", "reach", 3, 0))
    with pytest.raises(InputError, match="step_s"):
        mock_suite(options={"step": 1}).make("reach")
    with pytest.raises(InputError, match="overhead"):
        mock_suite(cameras=("overhed",)).make("reach")
