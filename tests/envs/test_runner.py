from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from envs.play import play_episode
from envs.runner import Evaluation, EvaluationPlan, check_same_run
from envs.spec import InputError
from envs.suite import load_suite
from envs.worker import WorkerPlan
from policies.base import ActionChunk, Policy, PolicyInfo, PolicySpec
from policies.registry import make_policy
from policies.zero import ZeroPolicy
from results.records import read_run, without_times


class Silent:
    """A reporter that keeps what it is told."""

    def __init__(self):
        self.header, self.done, self.records = None, None, []

    def start(self, header, done):
        self.header, self.done = header, done

    def episode(self, record):
        self.records.append(record)


class Raising(ZeroPolicy):
    """Found by the workers as `module:Class`. Cannot be built."""

    def __init__(self):
        raise InputError("no weights: download them.")


class Defective(ZeroPolicy):
    def __init__(self):
        raise KeyError("a bug")


def plan(suite, out: Path, count=2, policy="random", **changes):
    episodes = tuple(episode for task in suite.tasks for episode in suite.episodes(task, count=count))
    worker = WorkerPlan(suite, "mock", policy)
    return replace(EvaluationPlan(worker, episodes, "test", out), **changes)


def run(plan, reporter=None):
    return Evaluation(plan).run(reporter or Silent())


def results(record):
    return [without_times(episode) for episode in record.episodes]


def test_the_number_of_workers_changes_no_result(tmp_path, mock_suite):
    suite = mock_suite()
    one = run(plan(suite, tmp_path / "one.jsonl", count=4))
    two = run(plan(suite, tmp_path / "two.jsonl", count=4, workers=2))
    alone = [
        play_episode(suite.make(episode.task), make_policy("random"), episode, 1)
        for episode in plan(suite, tmp_path, count=4).episodes
    ]
    assert results(one) == results(two) == [without_times(record) for record in alone]
    assert len(one.episodes) == 8 and not one.missing
    assert one.header.protocol_hash == two.header.protocol_hash


def test_passing_faults_are_retried_and_leave_no_mark(tmp_path, mock_suite):
    ids = [episode.id for episode in load_suite("mock").episodes("reach", count=4)]
    faults = {"crash": [ids[0]], "hang": [ids[1]], "broken": [ids[2]], "once": str(tmp_path)}
    suite = mock_suite(options={"faults": faults}, episode_timeout_s=0.5, tasks={"reach": 3})
    record = run(plan(suite, tmp_path / "a.jsonl", count=4, policy="expert"))
    assert [episode.outcome for episode in record.episodes] == ["success"] * 4
    assert [episode.attempts for episode in record.episodes] == [2, 2, 2, 1]


def test_lasting_faults_are_errors_and_the_run_goes_on(tmp_path, mock_suite):
    ids = [episode.id for episode in load_suite("mock").episodes("reach", count=4)]
    faults = {"crash": [ids[0]], "hang": [ids[1]], "broken": [ids[2]]}
    suite = mock_suite(options={"faults": faults}, episode_timeout_s=0.5, tasks={"reach": 3})
    record = run(plan(suite, tmp_path / "a.jsonl", count=4, policy="expert", workers=2))
    assert [episode.outcome for episode in record.episodes] == ["error"] * 3 + ["success"]
    assert [episode.attempts for episode in record.episodes] == [2, 2, 2, 1]
    messages = [episode.error for episode in record.episodes]
    assert "the worker died (exit code 23)" in messages[0]
    assert "no result within 0.5 s" in messages[1]
    assert "SimulatorError" in messages[2]
    # Errors are outcomes: resuming plays nothing again.
    again = Silent()
    run(plan(suite, tmp_path / "a.jsonl", count=4, policy="expert", resume=True), again)
    assert again.records == [] and len(again.done) == 4


class Unfit(ZeroPolicy):
    spec = PolicySpec(None, 1, cameras=("wrist",))


@pytest.mark.parametrize(
    ("policy", "error", "message"),
    [
        ("Raising", InputError, "no weights"),
        ("Unfit", InputError, "needs camera\\(s\\) wrist"),
        ("Defective", RuntimeError, "KeyError: 'a bug'"),
    ],
)
def test_a_run_that_cannot_start_writes_nothing(tmp_path, mock_suite, policy, error, message):
    with pytest.raises(error, match=message):
        run(plan(mock_suite(), tmp_path / "runs" / "a.jsonl", policy=f"{__name__}:{policy}"))
    assert list(tmp_path.iterdir()) == []


class Fickle(Policy):
    """Invalid actions in one episode, an exception in another."""

    spec = PolicySpec(None, 1)
    info = PolicyInfo("fickle")

    def reset(self, task, seed):
        self.zero = make_policy("zero")
        self.zero.reset(task, seed)

    def act(self, obs):
        if "green" in obs["instruction"]:
            return ActionChunk(np.full((1, 128), np.nan, dtype=np.float32))
        raise OSError("the weights are gone")


def test_what_a_policy_does_wrong_is_its_own_result(tmp_path, mock_suite):
    record = run(plan(mock_suite(tasks={"reach": 3}), tmp_path / "a.jsonl", count=3, policy=f"{__name__}:Fickle"))
    green, _, red = record.episodes
    assert green.outcome == "failure" and "NaN" in green.failure
    assert red.outcome == "error" and "OSError in the policy: the weights are gone (test_runner.py:" in red.error
    assert red.attempts == 1


def test_stopping_finishes_what_is_under_way_and_resuming_the_rest(tmp_path, mock_suite):
    suite = mock_suite()
    whole = plan(suite, tmp_path / "a.jsonl", count=3)
    evaluation = Evaluation(whole)

    class StopsAfterTwo(Silent):
        def episode(self, record):
            super().episode(record)
            if len(self.records) == 2:
                evaluation.stop()

    part = evaluation.run(StopsAfterTwo())
    assert 2 <= len(part.episodes) < 6 and part.missing
    reporter = Silent()
    full = run(replace(whole, resume=True), reporter)
    assert len(reporter.done) == len(part.episodes) and not full.missing
    assert len(reporter.records) == 6 - len(reporter.done)
    assert len(full.resumed) == 1
    fresh = run(replace(whole, out=tmp_path / "b.jsonl"))
    assert results(full) == results(fresh)
    for changes, message in [
        ({"worker": replace(whole.worker, policy="zero")}, "policy name: there random, now zero"),
        ({"worker": replace(whole.worker, suite=mock_suite(max_steps=3))}, "protocol: there \\w{12}, now \\w{12}"),
    ]:
        before = whole.out.read_bytes()
        with pytest.raises(InputError, match=message):
            run(replace(whole, resume=True, **changes))
        assert whole.out.read_bytes() == before


def test_only_the_same_run_is_resumed(tmp_path, mock_suite):
    run(plan(mock_suite(tasks={"reach": 3}), tmp_path / "a.jsonl", policy="zero"))
    earlier = read_run(tmp_path / "a.jsonl")
    header = earlier.header
    check_same_run(earlier, replace(header, created="later", config={"workers": 9}))
    timed = {"policy": "mine:A", "latency": "timing:times.json#flow"}
    earlier = replace(earlier, header=replace(header, config=timed))
    check_same_run(earlier, replace(header, config=timed | {"latency": "timing:elsewhere/times.json#flow"}))
    for changes, message in [
        ({"protocol_hash": "0" * 12}, f"{header.protocol_hash}, now {'0' * 12}"),
        ({"policy": replace(header.policy, checkpoint_sha256="ab")}, "checkpoint_sha256: there None, now ab"),
        ({"policy_seed": 4}, "policy seed: there 0, now 4"),
        ({"config": timed | {"policy": "mine:B"}}, "policy: there mine:A, now mine:B"),
        ({"config": timed | {"latency": "timing:times.json"}}, "times of: there flow, now None"),
        ({"planned": header.planned[:1]}, "episodes: there 2, now another set of 1"),
        ({"hardware": header.hardware | {"device": "cuda"}}, "device: there cpu, now cuda"),
    ]:
        with pytest.raises(InputError, match=message):
            check_same_run(earlier, replace(header, **changes))


def test_records_in_the_way_are_refused_at_once(tmp_path, mock_suite):
    path = tmp_path / "a.jsonl"
    path.write_text("something")
    with pytest.raises(InputError, match="--resume"):
        Evaluation(plan(mock_suite(), path))
    with pytest.raises(InputError, match="--workers"):
        Evaluation(plan(mock_suite(), tmp_path / "b.jsonl", workers=0))
    with pytest.raises(InputError, match=r"because of .*a\.jsonl: choose another --out"):
        Evaluation(plan(mock_suite(), path / "c.jsonl"))
    assert path.read_text() == "something"
