"""Whole runs on the virtual clock: the same results from the same times, and bit for bit what was without a clock."""

import hashlib
import json
import os
import time
from dataclasses import replace

import numpy as np
import pytest

from envs.latency_sources import parse_latency
from envs.run import main
from envs.runner import Evaluation, EvaluationPlan
from envs.spec import InputError
from envs.suite import load_suite
from envs.worker import WorkerPlan
from policies.base import ActionChunk, Policy, PolicyInfo, PolicySpec
from results.paired import PairingError, pair
from results.records import TIME_FIELDS, read_run, without_times


class Silent:
    def start(self, header, done):
        pass

    def episode(self, record):
        pass


class Wander(Policy):
    """Chunks of five poses on a lattice: no randomness, no rounding."""

    spec = PolicySpec(None, 5)
    info = PolicyInfo("wander")

    def reset(self, task, seed):
        self._embodiment, self._calls = task.embodiment, 0

    def act(self, obs):
        self._calls += 1
        rows = [[0.25 + 0.125 * (k % 3), 0.125 * (self._calls % 3) - 0.125, 1.0, 0, 1, 0, 0, k % 2] for k in range(5)]
        return ActionChunk(self._embodiment.encode(np.array(rows)))


class Erratic(Wander):
    """Stands for a busy machine: a call takes 0 to 40 ms, never the same twice."""

    def act(self, obs):
        time.sleep(0.04 * int.from_bytes(os.urandom(2), "little") / 65535)
        # What is played must hang on what is seen, or nothing would show a wrong observation.
        shift = 0.01 * float(obs["images"]["front"].mean()) % 0.1
        chunk = super().act(obs)
        chunk.actions[:, 0] += np.float32(shift)
        return chunk


def small(name):
    """A suite with little to draw."""
    return replace(load_suite(name), image_size=8, cameras=("front",), max_steps=40 if name == "mock_servo" else 10)


def plan(suite, out, policy="expert", latency="none", count=2, **changes):
    episodes = tuple(episode for task in suite.tasks for episode in suite.episodes(task, count=count))
    worker = WorkerPlan(suite, "mock", policy, latency=parse_latency(latency))
    return replace(EvaluationPlan(worker, episodes, "test", out), **changes)


def run(*arguments, **changes):
    return Evaluation(plan(*arguments, **changes)).run(Silent())


def results(record):
    return [without_times(episode) for episode in record.episodes]


# SHA-256 of the episodes' lines without measured times, as they were before there was a clock.
BEFORE = {
    ("expert", 1): "79195ca97f240c8e8172b553381c288db2409b960ceeea06142f97e868fd419f",
    ("random", 1): "02f51c93f5ca16957fa5d36ca9984cd3c5b966a0339297d7319425f219fc5898",
    ("zero", 1): "3a0a95b366913e637ae78878a27a08d2625b2faed4712facd666e2d15acbd5de",
    (f"{__name__}:Wander", 3): "1481ac1394079693b406716b9d5fcc5f232a57f48da7d675aa9cfadad427f8ed",
}


@pytest.mark.parametrize(("policy", "horizon"), list(BEFORE))
def test_without_a_latency_the_record_is_what_it_was(tmp_path, mock_suite, policy, horizon):
    out = tmp_path / "a.jsonl"
    run(mock_suite(execution_horizon=horizon), out, policy=policy, count=3)
    header, *episodes = [json.loads(line) for line in out.read_text().splitlines()]
    for line in episodes:
        line |= dict.fromkeys(TIME_FIELDS)
    text = "\n".join(json.dumps(line, separators=(",", ":")) for line in episodes)
    assert hashlib.sha256(text.encode()).hexdigest() == BEFORE[policy, horizon]
    assert header["protocol_hash"] == ("e02285281953" if horizon == 1 else "2560d90851c3")
    assert "latency" not in header["protocol"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mock", "mock_servo"])
def test_the_same_times_give_the_same_results_whatever_the_workers_and_the_load(tmp_path, name):
    suite, policy = small(name), f"{__name__}:Erratic"
    measured = run(suite, tmp_path / "measured.jsonl", policy, "measured")
    times = [seconds for episode in measured.episodes for seconds in episode.delays_s]
    assert len(set(times)) > len(times) / 2 and max(times) < 1
    trace = f"trace:{measured.path}"
    again = [run(suite, tmp_path / f"{n}.jsonl", policy, trace, workers=n) for n in (1, 2)]
    assert all(results(record) == results(measured) for record in again)
    assert len({record.header.protocol_hash for record in again}) == 1
    # And the times matter; under keyframe control, where nothing moves by itself, they only add up.
    none = run(suite, tmp_path / "none.jsonl", policy)
    same = [one.actions == other.actions for one, other in zip(none.episodes, measured.episodes, strict=True)]
    assert all(same) if name == "mock" else not any(same)


def test_the_first_call_is_not_a_cold_one(tmp_path):
    class_name = f"{__name__}:Cold"
    record = run(small("mock"), tmp_path / "a.jsonl", class_name, "measured")
    assert record.episodes[0].delays_s[0] < 0.25 and record.episodes[0].outcome == "failure"


class Cold(Wander):
    """Its first call takes long, as where something is compiled."""

    def __init__(self):
        self.warm = False

    def act(self, obs):
        time.sleep(0.0 if self.warm else 0.5)
        self.warm = True
        return super().act(obs)


def test_delayed_runs_are_never_compared_with_others(tmp_path):
    suite = small("mock_servo")
    records = [run(suite, tmp_path / f"{k}.jsonl", "zero", text, count=1) for k, text in enumerate(("none", "60ms"))]
    assert records[1].header.protocol["latency"] == {"source": "fixed", "seconds": 0.06, "tick_hz": 20.0}
    with pytest.raises(PairingError, match="different protocols"):
        pair(*records)


def test_only_the_same_latency_is_resumed(tmp_path):
    suite, out = small("mock_servo"), tmp_path / "a.jsonl"
    run(suite, out, "zero", "60ms", count=1)
    before = out.read_bytes()
    with pytest.raises(InputError, match=r"latency: there .*0\.06.*, now None"):
        run(suite, out, "zero", "none", count=1, resume=True)
    assert out.read_bytes() == before
    run(suite, out, "zero", "60ms", count=1, resume=True)
    assert len(read_run(out).episodes) == 1


def test_a_trace_that_runs_out_ends_the_run(tmp_path):
    suite = small("mock_servo")
    episodes = suite.episodes("follow", count=2)
    trace = tmp_path / "t.jsonl"
    trace.write_text("".join(json.dumps({"episode": e.id, "seconds": [0.05] * 3}) + "\n" for e in episodes))
    with pytest.raises(InputError, match=r"t\.jsonl is shorter than the run: it has the times of 3 call"):
        run(suite, tmp_path / "runs" / "a.jsonl", "zero", f"trace:{trace}")
    assert not (tmp_path / "runs").exists()


BAD = {
    "--latency H200": "The name of a machine is none",
    "--latency 120": "give none, measured, a time such as 120ms",
    "--latency 5m": "give none, measured",
    "--latency trace:gone.jsonl": "there is no such file",
    "--latency trace:none.jsonl": "was played without a latency",
    "--latency trace:short.jsonl": "no times of 24 of the 25 episodes, such as reach/v001/s2000001",
    "--latency measured --workers 2": "--latency measured needs --workers 1",
}


@pytest.mark.parametrize("bad", list(BAD))
def test_bad_input_is_told_and_nothing_is_written(tmp_path, monkeypatch, capsys, bad):
    monkeypatch.chdir(tmp_path)
    run(small("mock"), tmp_path / "none.jsonl", "zero", count=1)
    (tmp_path / "short.jsonl").write_text('{"episode": "reach/v001/s2000000", "seconds": [0.1]}\n')
    there = set(tmp_path.iterdir())
    assert main(["--suite", "mock", "--policy", "zero", "--tasks", "reach", *bad.split()]) == 2
    assert BAD[bad] in capsys.readouterr().err
    assert set(tmp_path.iterdir()) == there


def test_the_command_line(tmp_path):
    out = tmp_path / "a.jsonl"
    arguments = ["--suite", "mock_servo", "--policy", "expert", "--episodes", "1"]
    assert main([*arguments, "--latency", "100ms", "--out", str(out)]) == 0
    run = read_run(out)
    assert run.header.config["latency"] == "100ms" and set(run.episodes[0].delays_s) == {0.1}
    assert main([*arguments, "--out", str(tmp_path / "b.jsonl")]) == 0
    none = read_run(tmp_path / "b.jsonl")
    assert "latency" not in none.header.config and none.episodes[0].delays_s is None
    assert "delays_s" not in (tmp_path / "b.jsonl").read_text()
