import json

import pytest

from envs.latency_sources import (
    FixedLatency,
    MeasuredLatency,
    TraceLatency,
    check_covers,
    parse_latency,
    read_timing,
    read_trace,
)
from envs.spec import InputError
from results.latency import CallTimes, LatencyRecord, PolicyLatency, write_latency


def test_what_can_be_asked_for(tmp_path):
    trace = tmp_path / "t.jsonl"
    trace.write_text('{"episode": "follow/v000/s1", "seconds": [0.1, 0.0200004]}\n')
    assert parse_latency("none") is None and parse_latency("0ms") is None
    assert parse_latency("120ms") == parse_latency("0.12s") == parse_latency("120000us") == FixedLatency(0.12)
    assert parse_latency("measured") == MeasuredLatency()
    assert parse_latency(f"trace:{trace}") == TraceLatency(trace, {"follow/v000/s1": (0.1, 0.02)})


@pytest.mark.parametrize("text", ["H200", "120", "-5ms", "1e3ms", "120 ms", "nanms", "", "None", "trace"])
def test_anything_else_is_refused(text):
    with pytest.raises(InputError, match="give none, measured, a time such as 120ms"):
        parse_latency(text)


def test_times_beyond_reason_are_refused():
    with pytest.raises(InputError, match="check the unit"):
        parse_latency("120s")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no times"),
        ("0.1\n0.2\n", "line 1, is no entry"),
        ('{"episode": "a", "seconds": [0.1]}\n{"episode": "b"}\n', "line 2, is no entry"),
        ('{"episode": "a", "seconds": [-0.1]}\n', "line 1, is no entry"),
        ('{"episode": "a", "seconds": [NaN]}\n', "line 1, is no entry"),
        ('{"episode": "a", "seconds": ["0.1"]}\n', "line 1, is no entry"),
        ('{"episode": "a", "seconds": [true]}\n', "line 1, is no entry"),
        ('{"episode": 3, "seconds": [0.1]}\n', "line 1, is no entry"),
        ('{"episode": "a", "seconds": [0.1]}\n\n{"episode": "a", "seconds": [0.1]}\n', "there already"),
        ('{"kind": "header", "schema": 99}\n', "schema 99"),
    ],
)
def test_files_that_are_no_trace_are_refused(tmp_path, content, message):
    path = tmp_path / "t.jsonl"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        read_trace(path)
    with pytest.raises(InputError, match="no such file"):
        read_trace(tmp_path / "elsewhere.jsonl")


def test_a_trace_must_have_every_episode():
    trace = TraceLatency("t.jsonl", {"a": (0.1,), "b": ()})
    check_covers(trace, ["a"])
    check_covers(FixedLatency(0.1), ["c"])
    with pytest.raises(InputError, match="no times of 2 of the 3 episodes, such as b"):
        check_covers(trace, ["a", "b", "c"])


def test_the_protocol_names_what_the_times_are():
    one = TraceLatency("a.jsonl", {"a": (0.1,), "b": (0.2,)})
    assert one.facts({}) == TraceLatency("b.jsonl", {"b": (0.2,), "a": (0.1,)}).facts({})
    assert one.facts({}) != TraceLatency("a.jsonl", {"a": (0.1,), "b": (0.3,)}).facts({})
    assert FixedLatency(0.1).facts({}) != FixedLatency(0.2).facts({})
    assert MeasuredLatency().facts({"cpu": "one"}) != MeasuredLatency().facts({"cpu": "another"})
    json.dumps([one.facts({}), FixedLatency(0.1).facts({}), MeasuredLatency().facts({"cpu": "one"})])


def latency_run(path, **ms):
    """A record in which each policy took these times, milliseconds."""
    times = {name: CallTimes({"call": 99.0}, {"call": calls} if calls else {}) for name, calls in ms.items()}
    policies = [PolicyLatency(name, calls) for name, calls in times.items()]
    facts = {"created": "2026-01-01T00:00:00+00:00", "command": "python -m envs.latency", "git_sha": None}
    facts |= {"packages": {}, "python": "3.11", "hardware": {"cpu": "one", "cores": 2, "device": "cpu"}, "config": {}}
    write_latency(path, LatencyRecord(**facts, conditions={}, backbone="not run", policies=tuple(policies)))
    return path


def test_times_of_a_latency_run_are_played_in_their_order(tmp_path):
    path = latency_run(tmp_path / "t.json", drifting=(10.0, 11.0, 12.0), flow=(100.0,))
    source = parse_latency(f"timing:{path}", "drifting")
    played = [source.seconds("a/v000/s1", call, 5.0) for call in range(6)]
    assert played[:3] == played[3:] and sorted(played[:3]) == [0.010, 0.011, 0.012]
    assert played[1] == played[0] + 0.001 or played[1] == 0.010
    starts = {source.seconds(f"a/v000/s{seed}", 0, 5.0) for seed in range(30)}
    assert starts == {0.010, 0.011, 0.012}, "an episode begins anywhere"
    assert parse_latency(f"timing:{path}#flow", "drifting").seconds("a", 3, 5.0) == 0.1


def test_all_policies_of_a_latency_run_share_a_protocol(tmp_path):
    path = latency_run(tmp_path / "t.json", drifting=(10.0, 11.0), flow=(100.0,))
    one, other = (read_timing(path, name).facts({"cpu": "here"}) for name in ("drifting", "flow"))
    assert one == other and one["hardware"]["cpu"] == "one"
    slower = latency_run(tmp_path / "s.json", drifting=(10.0, 11.0), flow=(101.0,))
    assert read_timing(slower, "drifting").facts({}) != one


def test_latency_runs_without_the_policy_are_refused(tmp_path):
    path = latency_run(tmp_path / "t.json", drifting=(10.0,), flow=())
    for name in ("diffusion", "flow"):
        with pytest.raises(InputError, match=f"no times of '{name}', but of drifting. Name one of them, as in"):
            parse_latency(f"timing:{path}", name)
    with pytest.raises(InputError, match="no record of latency"):
        parse_latency(f"timing:{tmp_path / 'none.json'}", "drifting")
