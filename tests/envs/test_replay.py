"""Replaying a record: the same outcomes on the same protocol, and a clear word where it departs."""

import json

import pytest

from envs import replay, run
from policies.zero import ZeroPolicy
from results.records import read_run, without_times


class TurnsInvalid(ZeroPolicy):
    """Holds still once, then gives a quaternion that is none."""

    def reset(self, task, seed):
        super().reset(task, seed)
        self._calls = 0

    def act(self, obs):
        chunk = super().act(obs)
        self._calls += 1
        if self._calls > 1:
            chunk.actions[:, 3:7] = 0
        return chunk


@pytest.fixture
def played(tmp_path):
    """Path of a record of a policy on the mock suite."""

    def play(policy, *extra):
        path = tmp_path / policy / "test.jsonl"
        arguments = ["--suite", "mock", "--policy", policy, "--episodes", "4", "--out", str(path), *extra]
        assert run.main(arguments) == 0
        return path

    return play


def rewrite(path, change):
    """Changes a record line by line: `change(data)` edits each line's data in place."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for data in lines:
        change(data)
    path.write_text("".join(json.dumps(data) + "\n" for data in lines))


@pytest.mark.parametrize("policy", ["random", "expert", "zero"])
def test_every_episode_ends_as_recorded(played, tmp_path, capsys, policy):
    record, again = played(policy), tmp_path / "again.jsonl"
    capsys.readouterr()
    assert replay.main([str(record), "--out", str(again), "--workers", "2"]) == 0
    assert "8 of 8 episodes ended as recorded" in capsys.readouterr().out
    assert [without_times(e) for e in read_run(again).episodes] == [without_times(e) for e in read_run(record).episodes]


def test_a_part_of_a_record(played, tmp_path, capsys):
    record = played("expert", "--policy-seed", "7")
    assert replay.main([str(record), "--tasks", "pick", "--out", str(tmp_path / "a.jsonl")]) == 0
    assert "4 of 4 episodes" in capsys.readouterr().out
    chosen = read_run(record).episodes[2].id
    assert replay.main([str(record), "--episodes", chosen, "--out", str(tmp_path / "b.jsonl")]) == 0
    assert [episode.id for episode in read_run(tmp_path / "b.jsonl").episodes] == [chosen]


def test_what_differs_is_named(played, tmp_path, capsys):
    def change(data):
        if data.get("id") == "reach/v001/s2000001":
            data["outcome"], data["failure"], data["success_once"] = "failure", "out of steps", False

    record = played("expert")
    rewrite(record, change)
    assert replay.main([str(record), "--out", str(tmp_path / "again.jsonl")]) == 1
    printed = capsys.readouterr().out
    assert "reach/v001/s2000001 differs: outcome: recorded 'failure', replayed 'success'" in printed
    assert "7 of 8 episodes ended as recorded" in printed


def test_a_record_that_ends_too_early_departs(played, tmp_path, capsys):
    def change(data):
        if data.get("task") == "pick":
            data["actions"] = data["actions"][:1]

    record = played("expert")
    rewrite(record, change)
    assert replay.main([str(record), "--out", str(tmp_path / "again.jsonl")]) == 1
    assert "the record ends after 1 actions" in capsys.readouterr().out


def test_a_record_with_a_latency_is_not_replayed_but_played_again(played, tmp_path, capsys):
    record, again = played("expert", "--latency", "100ms"), tmp_path / "again.jsonl"
    assert replay.main([str(record), "--out", str(again)]) == 2
    assert (
        f"{record} was played with a latency: play it again with its policy and "
        f"python -m envs.run --latency trace:{record}." in capsys.readouterr().err
    )
    assert not again.exists()
    # Which can be done.
    words = ["--suite", "mock", "--policy", "expert", "--episodes", "4", "--latency", f"trace:{record}"]
    assert run.main([*words, "--out", str(again)]) == 0
    assert [without_times(e) for e in read_run(again).episodes] == [without_times(e) for e in read_run(record).episodes]


def test_errors_are_left_out_and_counted(played, tmp_path, capsys):
    def change(data):
        if data.get("task") == "reach":
            data["outcome"], data["error"] = "error", "the simulator broke"

    record = played("expert")
    rewrite(record, change)
    assert replay.main([str(record), "--out", str(tmp_path / "again.jsonl")]) == 0
    assert "4 of 4 episodes ended as recorded, 4 recorded errors left out" in capsys.readouterr().out


def test_invalid_actions_fail_again(tmp_path, capsys):
    record = tmp_path / "invalid.jsonl"
    policy = "tests.envs.test_replay:TurnsInvalid"
    assert run.main(["--suite", "mock", "--policy", policy, "--episodes", "2", "--out", str(record)]) == 0
    first = read_run(record).episodes[0]
    assert first.outcome == "failure" and first.failure.startswith("invalid action: ") and first.steps == 1
    assert replay.main([str(record), "--out", str(tmp_path / "again.jsonl")]) == 0


def test_bad_input(played, tmp_path, capsys):
    def old(data):
        if data["kind"] == "header":
            data["protocol"]["task_facts"]["max_steps"], data["protocol_hash"] = 5, "000000000000"

    record = played("zero")
    cases = [
        ([str(tmp_path / "none.jsonl")], "there is no record"),
        ([str(record), "--tasks", "reech"], "Did you mean 'reach'"),
        ([str(record), "--episodes", "reach/v9/s1"], "has no 'reach/v9/s1'"),
        ([str(record), "--out", str(tmp_path / "x.txt")], "must end in .jsonl"),
    ]
    for arguments, message in cases:
        assert replay.main(arguments) == 2
        assert message in capsys.readouterr().err
    rewrite(record, old)
    assert replay.main([str(record)]) == 2
    error = capsys.readouterr().err
    assert "under protocol 000000000000" in error and "task_facts.max_steps: there 5, here 10" in error
    assert run.main(["--suite", "mock", "--policy", "replay"]) == 2
    assert "needs the path of a record" in capsys.readouterr().err
