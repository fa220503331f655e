"""The embedded back end on the virtual clock: time passes while the arm stands; the same times give the same run."""

import json

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="needs the extra sim-mujoco")

from envs.latency_sources import parse_latency
from envs.play import play_episode
from envs.run import main
from envs.suite import load_suite
from policies.base import ActionChunk, Policy, PolicyInfo, PolicySpec
from results.records import read_run, without_times

pytestmark = pytest.mark.sim
SUITE = load_suite("rlbench18")


def test_time_passes_and_the_arm_stands():
    env = SUITE.make("turn_tap")
    try:
        (episode,) = SUITE.episodes("turn_tap", count=1)
        env.reset(episode)
        env.step(env.expert_action())
        before, arm, hold = env.world.data.time, env.world.arm, env.hold_action()
        done, info = env.wait(25)
        assert env.wait_hz == 50 and env.world.data.time - before == pytest.approx(0.5)
        assert not done and not info.success and info.seconds["physics"] > 0
        assert np.abs(env.world.arm - arm).max() < 0.005 and np.abs(env.hold_action() - hold).max() < 0.005
    finally:
        env.close()


def test_what_falls_meanwhile_may_succeed():
    env = SUITE.make("turn_tap")

    class Looks(Policy):
        """Its call lasts until the tap, turned by a hand from outside, is open."""

        spec, info = PolicySpec(None, 1), PolicyInfo("looks")

        def attach(self, env):
            env.task.success = lambda world: world.data.time > start + 0.7

        def reset(self, task, seed):
            pass

        def act(self, obs):
            return ActionChunk(env.hold_action()[None])

    try:
        (episode,) = SUITE.episodes("turn_tap", count=1)
        env.reset(episode)
        start = env.world.data.time
        record = play_episode(env, Looks(), episode, 1, latency=parse_latency("1s"))
        assert (record.outcome, record.steps, record.delays_s) == ("success", 0, (1.0,))
    finally:
        env.close()


def test_the_same_times_give_the_same_results_with_one_worker_and_with_two(tmp_path):
    base = ["--suite", "rlbench18", "--policy", "expert", "--tasks", "turn_tap", "push_buttons", "--episodes", "1"]
    paths = [tmp_path / f"{k}.jsonl" for k in range(3)]
    assert main([*base, "--latency", "measured", "--out", str(paths[0])]) == 0
    # The expert takes microseconds; times that matter are written over its own.
    lines = [json.loads(line) for line in paths[0].read_text().splitlines()]
    trace = tmp_path / "trace.jsonl"
    times = {line["id"]: [0.1 + 0.07 * k for k in range(len(line["delays_s"]))] for line in lines[1:]}
    trace.write_text("".join(json.dumps({"episode": e, "seconds": t}) + "\n" for e, t in times.items()))
    for path, workers in zip(paths[1:], ("1", "2"), strict=True):
        assert main([*base, "--latency", f"trace:{trace}", "--workers", workers, "--out", str(path)]) == 0
    measured, one, two = [[without_times(episode) for episode in read_run(path).episodes] for path in paths]
    assert one == two and [episode["outcome"] for episode in one] == ["success", "success"]
    assert one[0]["delays_s"] != measured[0]["delays_s"]
    assert read_run(paths[1]).header.protocol["latency"]["tick_hz"] == 50
