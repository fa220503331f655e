"""The virtual clock: exact ticks, what can be asked for, and what the robot does while a chunk is computed."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.clock import ticks_of
from envs.latency_sources import (
    FixedLatency,
    LatencySource,
    MeasuredLatency,
    TraceLatency,
    parse_latency,
)
from envs.mock import HOME, Reach, task_spec
from envs.play import play_episode
from envs.spec import Episode, InputError, StepInfo
from envs.suite import load_suite
from policies.base import ActionChunk, Policy, PolicyInfo, PolicySpec
from policies.registry import make_policy

EPISODE = Episode("mock_servo", "follow", 0, 2_000_000)


@pytest.mark.parametrize(
    ("seconds", "hz", "ticks"),
    [
        (0.0, 20, 0),
        (0.000001, 20, 1),
        (0.1, 20, 2),
        (0.1, 30, 3),  # 0.1 * 3 is more than 0.3 in floating point
        (0.07, 100, 7),  # so is 0.07 * 100 more than 7
        (0.05000049, 20, 1),  # half a microsecond is below the clock's resolution
        (0.050001, 20, 2),
        (0.03, 1 / 0.03, 1),  # a rate that floating point only approaches
        (0.033333, 30, 1),
        (0.033334, 30, 2),
        (1.001, 30000 / 1001, 30),  # 29.97 Hz
    ],
)
def test_ticks_are_the_next_whole_number(seconds, hz, ticks):
    assert ticks_of(seconds, hz) == ticks


@given(micros=st.integers(0, 10**8), hz=st.integers(1, 1000))
def test_ticks_cover_the_time_and_not_one_more(micros, hz):
    ticks = ticks_of(micros / 10**6, hz)
    assert Fraction(ticks - 1, hz) < Fraction(micros, 10**6) <= Fraction(ticks, hz)


class Numbered(Policy):
    """Chunks whose actions say where they are from: x counts calls, y actions of the chunk, in centimetres.

    They are so low that the gripper is still on its way when it is made to hold.
    """

    spec = PolicySpec(None, 6)
    info = PolicyInfo("numbered")

    def __init__(self, length=6, reuses_memory=False):
        self._memory = np.zeros((length, 128), dtype=np.float32)
        self._reuses = reuses_memory
        self.seen = []  # actions carried out before each call, from the proprioception's time

    def reset(self, task, seed):
        self._task, self._calls = task, 0

    def act(self, obs):
        self.seen.append(round((1.0 - float(obs["proprioception"][-1])) / 2 * (self._task.max_steps - 1)))
        chunk = self._memory if self._reuses else self._memory.copy()
        for k in range(len(chunk)):
            native = np.array([0.2 + 0.01 * self._calls, 0.01 * k, 0.8, 0, 1, 0, 0, 1])
            chunk[k] = self._task.embodiment.encode(native)
        self._calls += 1
        return ActionChunk(chunk)


class Counted(LatencySource):
    """Call k takes `ticks[k]` ticks of 50 ms."""

    def __init__(self, *ticks):
        self.ticks = ticks

    def seconds(self, episode, call, measured_s):
        return self.ticks[call] / 20

    def facts(self, hardware):
        return {}


@pytest.fixture
def follow(mock_suite):
    servo = load_suite("mock_servo")
    return mock_suite(
        **{name: getattr(servo, name) for name in ("name", "adapter", "tasks")}, max_steps=12, cameras=("front",)
    ).make("follow")


def played(record):
    """Each action as (call, number in its chunk); "hold" for those of no chunk."""
    rows = [(round((a[0] - 0.2) * 100, 3), round(a[1] * 100, 3), a[2]) for a in record.actions]
    return [(int(x), int(y)) if z == 0.8 and x == int(x) and y == int(y) else "hold" for x, y, z in rows]


def test_the_old_chunks_rest_then_hold_then_the_new_chunk(follow):
    policy = Numbered()
    record = play_episode(follow, policy, EPISODE, 3, latency=Counted(1, 2, 5))
    first, second = [(0, k) for k in range(5)], [(1, k) for k in range(6)]
    # One tick of holding; three actions; two ticks of the rest; three actions; the rest, then the end.
    assert played(record) == ["hold", *first, *second]
    assert policy.seen == [0, 4, 9]  # the state that the delay began with
    assert record.delays_s == (0.05, 0.1, 0.25)
    assert (record.steps, record.failure) == (12, "out of steps")  # in the middle of the third call


def test_the_hold_action_is_taken_once_when_the_rest_is_used_up(follow, monkeypatch):
    taken = []
    plain = follow.hold_action
    monkeypatch.setattr(follow, "hold_action", lambda: taken.append(follow._position.copy()) or plain())
    record = play_episode(follow, Numbered(length=3), EPISODE, 2, latency=Counted(2, 4, 1, 0, 0))
    assert played(record)[:10] == ["hold", "hold", (0, 0), (0, 1), (0, 2), "hold", "hold", "hold", (1, 0), (1, 1)]
    assert len(taken) == 2 and np.array_equal(taken[0], HOME)
    held = record.actions[5:8]
    assert held[0] == held[1] == held[2] and held[0][:3] == tuple(np.round(taken[1], 6))
    assert played(record)[10:] == [(1, 2), (2, 0)]


def test_without_ticks_nothing_is_played_meanwhile(follow):
    none = play_episode(follow, Numbered(), EPISODE, 3)
    zero = play_episode(follow, Numbered(), EPISODE, 3, latency=Counted(0, 0, 0, 0))
    assert none.delays_s is None and zero.delays_s == (0, 0, 0, 0)
    assert zero.actions == none.actions and played(none)[:4] == [(0, 0), (0, 1), (0, 2), (1, 0)]


def test_a_policy_may_use_its_memory_again(follow):
    latency = Counted(0, 2, 2, 2, 2)
    records = [play_episode(follow, Numbered(reuses_memory=reuses), EPISODE, 3, latency=latency) for reuses in (0, 1)]
    assert records[0].actions == records[1].actions


def test_an_invalid_action_of_the_rest_counts_when_it_is_played(follow):
    class Ends(Numbered):
        def act(self, obs):
            chunk = super().act(obs)
            chunk.actions[4] = np.nan
            return chunk

    assert play_episode(follow, Ends(), EPISODE, 3, latency=Counted(0, 1, 1, 1)).failure == "out of steps"
    record = play_episode(follow, Ends(), EPISODE, 3, latency=Counted(0, 2))
    assert record.failure.startswith("invalid action") and record.steps == 4 and record.delays_s == (0, 0.1)


def test_a_success_meanwhile_ends_the_episode(follow):
    calls = []

    class Once(Numbered):
        """Its chunk stays at the dot, which is made to rest."""

        def attach(self, env):
            env._velocity = np.zeros(3)
            env.reset = None
            self._goal = env.expert_action()

        def act(self, obs):
            calls.append(obs)
            return ActionChunk(np.repeat(self._goal[None], 40, axis=0))

    object.__setattr__(follow.spec, "max_steps", 60)
    record = play_episode(follow, Once(), EPISODE, 5, latency=Counted(0, 40))
    assert record.outcome == "success" and len(calls) == 2 and 5 < record.steps < 45


def test_the_measured_time_is_used_and_kept(follow):
    class Slow(LatencySource):
        seen: tuple = ()

        def seconds(self, episode, call, measured_s):
            assert (episode, call) == (EPISODE.id, len(self.seen))
            self.seen += (measured_s,)
            return MeasuredLatency().seconds(episode, call, measured_s)

        def facts(self, hardware):
            return {}

    source = Slow()
    record = play_episode(follow, Numbered(), EPISODE, 3, latency=source)
    assert record.delays_s == tuple(round(seconds, 6) for seconds in source.seen)
    assert record.latency.cold_ms == pytest.approx(1000 * source.seen[0], abs=0.001)
    again = play_episode(follow, Numbered(), EPISODE, 3, latency=TraceLatency("r", {EPISODE.id: record.delays_s}))
    assert again.actions == record.actions and again.delays_s == record.delays_s


def test_a_trace_that_runs_out_is_refused(follow):
    trace = TraceLatency("short.jsonl", {EPISODE.id: (0.05, 0.05)})
    with pytest.raises(InputError, match=r"short\.jsonl is shorter than the run: .* 2 call.s. of follow/v000/s2000000"):
        play_episode(follow, Numbered(), EPISODE, 3, latency=trace)


class Sliding(Reach):
    """Under keyframe control, with a dot that slides away from the gripper's start while the robot waits."""

    waits: tuple = ()

    def wait(self, ticks):
        self.waits += (ticks,)
        self._objects[self._colour] = self._objects[self._colour] + np.array([0.001 * ticks, 0, 0])
        return super().wait(ticks)


@pytest.fixture
def sliding(mock_suite):
    suite = mock_suite()
    return Sliding(task_spec(suite, "reach", "mock"), {})


@pytest.mark.parametrize(("latency", "outcome"), [("500ms", "success"), ("700ms", "failure")])
def test_under_keyframe_control_the_robot_waits(sliding, latency, outcome):
    # The expert aims at where the dot was; it slides 1 mm a tick of 20 ms and may be missed by 3 cm.
    record = play_episode(
        sliding, make_policy("expert"), Episode("mock", "reach", 0, 1), 1, latency=parse_latency(latency)
    )
    assert record.outcome == outcome
    assert record.steps == len(record.delays_s) == len(sliding.waits)  # waiting uses up no step
    assert set(sliding.waits) == {25 if latency == "500ms" else 35}


def test_under_keyframe_control_nothing_of_the_old_chunk_is_played_meanwhile(mock_suite):
    env = mock_suite(max_steps=6).make("reach")
    policy = Numbered()
    record = play_episode(env, policy, Episode("mock", "reach", 0, 1), 3, latency=FixedLatency(1.0))
    assert played(record) == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)] and policy.seen == [0, 3]


def test_a_wait_may_succeed(mock_suite):
    class Comes(Reach):
        def wait(self, ticks):
            self._objects[self._colour] = self._position.copy()
            return super().wait(ticks)

    env = Comes(task_spec(mock_suite(), "reach", "mock"), {})
    record = play_episode(env, make_policy("zero"), Episode("mock", "reach", 0, 1), 1, latency=FixedLatency(0.1))
    assert (record.outcome, record.steps, record.actions) == ("success", 0, ())


def test_a_wait_that_fails_ends_the_episode(sliding, monkeypatch):
    monkeypatch.setattr(sliding, "wait", lambda ticks: (True, StepInfo(failure="the arm fell off")))
    record = play_episode(sliding, make_policy("zero"), Episode("mock", "reach", 0, 1), 1, latency=FixedLatency(0.1))
    assert (record.outcome, record.failure, record.steps) == ("failure", "the arm fell off", 0)


def test_an_adapter_in_which_time_cannot_pass_is_refused(sliding):
    sliding.wait_hz = None
    with pytest.raises(InputError, match=r"mock on mock is under keyframe control.*use --latency none"):
        play_episode(sliding, make_policy("zero"), Episode("mock", "reach", 0, 1), 1, latency=FixedLatency(0.1))
    assert play_episode(sliding, make_policy("zero"), Episode("mock", "reach", 0, 1), 1).steps == 10
