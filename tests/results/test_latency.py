import json
from dataclasses import replace

import numpy as np
import pytest

from results.latency import CallTimes, LatencyRecord, PolicyLatency, ratio, read_latency, write_latency
from results.latency_tables import latency_tables, ratio_table
from results.provenance import circumstances
from results.records import RecordError


def times(head, rest=1.0, calls=100, seed=0):
    noise = np.random.default_rng(seed).uniform(0.9, 1.1, calls)
    ms = [{"backbone": rest / 1000, "head": h / 1000, "call": (h + rest) / 1000} for h in (head * noise).tolist()]
    return CallTimes.of_calls({"backbone": 1.0, "head": 2.0, "call": 3.0}, ms)


def record(**changes):
    policies = (
        PolicyLatency("drifting", times(10.0), "drifting", "one pass", 1, 2, 8_000_000, 7_000_000, "random"),
        PolicyLatency("flow", times(100.0, seed=1), "flow", "Euler-10", 10, 2, 8_100_000, 7_100_000, "random"),
        PolicyLatency("zero", CallTimes.of_calls({"call": 0.1}, [{"call": 0.001}] * 100)),
    )
    fields = {
        "command": "python -m envs.latency --policies drifting flow zero",
        "config": {"policies": ["drifting", "flow", "zero"]},
        "conditions": {"dtype": "float32", "threads": 1, "load_before": [0.5, 0.25, 1.0]},
        "backbone": "in every call",
        "policies": policies,
        "peak_memory_mb": {"host": 100.0},
    }
    return LatencyRecord(**circumstances("cpu") | fields | changes)


def test_a_record_is_read_as_it_was_written(tmp_path):
    apart = record(backbone="apart", backbone_times=times(1.0), complete=False)
    for number, made in enumerate((record(), apart)):
        path = tmp_path / "deep" / f"{number}.json"
        write_latency(path, made)
        assert read_latency(path) == made and [p.name for p in path.parent.iterdir()].count(path.name) == 1
    assert not list(tmp_path.rglob("*.partial"))
    text = path.read_text()
    assert len(text) < 20_000 and max(map(len, text.splitlines())) > 500  # an array of times is one line
    shown = json.loads(text)["policies"][0]["percentiles_ms"]["head"]
    assert shown == apart.policies[0].times.percentiles("head")


def test_what_is_no_record_is_refused(tmp_path):
    path = tmp_path / "a.json"
    write_latency(path, record())
    good = json.loads(path.read_text())
    without = {name: value for name, value in good.items() if name != "hardware"}
    for bad in ("{", "[]", json.dumps(good | {"schema": 2}), json.dumps(good | {"kind": "run"}), json.dumps(without)):
        path.write_text(bad)
        with pytest.raises(RecordError, match=r"a\.json.*envs\.latency"):
            read_latency(path)
    with pytest.raises(RecordError):
        read_latency(tmp_path / "missing.json")


def test_the_ratio_is_that_of_the_medians():
    value, low, high = ratio(times(100.0, seed=1), times(10.0))
    assert value == pytest.approx(10, rel=0.03) and low < value < high
    assert (high - low) / value < 0.1
    assert ratio(times(10.0), times(10.0)) == (1.0, 1.0, 1.0)
    assert ratio(times(10.0), CallTimes.of_calls({"call": 1.0}, [{"call": 1.0}])) is None


def test_the_interval_covers_the_ratio_of_equals():
    """A policy against itself, 40 times: the 95 % interval holds 1 nearly always."""
    found = [ratio(times(10.0, seed=2 * k), times(10.0, seed=2 * k + 1)) for k in range(40)]
    assert sum(low <= 1 <= high for _, low, high in found) >= 34


def test_a_slow_spell_that_meets_both_does_not_move_the_ratio():
    spell = np.ones(200)
    spell[50:150] = 7.0

    def measured(head, seed):
        noise = np.random.default_rng(seed).uniform(0.95, 1.05, 200)
        return CallTimes.of_calls({"head": 1.0}, [{"head": head * s * n} for s, n in zip(spell, noise, strict=True)])

    value, low, high = ratio(measured(3.0, 0), measured(1.0, 1))
    assert 2.7 < value < 3.3 and low < 3 < high


def test_spans_that_some_call_lacks_are_left_out():
    made = CallTimes.of_calls({"head": 1.0, "call": 1.0}, [{"head": 0.1, "call": 0.2}, {"call": 0.4}])
    assert made.warm_ms == {"call": (200.0, 400.0)} and made.calls == 2


def test_a_table_shows_the_run_in_its_order():
    text = latency_tables([record()])
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert [row.split(" | ")[0].strip("| ") for row in rows[2:]] == ["drifting", "flow", "zero"]
    drifting, flow, zero = rows[2:]
    assert "| one pass | random | 1 | 7.0 M | 3000 |" in drifting
    value, low, high = ratio(*(record().policies[k].times for k in (1, 0)))
    assert f"| {value:.3g} [{low:.3g}, {high:.3g}] |" in flow and "| 1 |" in drifting
    assert "| 1.00 | 1.00 | 1.00 |" in zero and zero.count("–") >= 7
    assert "with backbone" not in text and "interrupted" not in text


def test_machines_and_runs_are_never_in_one_table():
    gpu = {"cpu": "Epyc", "cores": 8, "device": "NVIDIA H200"}
    one, two = record(created="2026-01-01"), record(created="2026-01-02", conditions={"dtype": "bfloat16"})
    text = latency_tables([two, record(hardware=gpu), one])
    assert text.count("\n| :--") == 3 and text.count("### ") == 2
    heads = [line for line in text.splitlines() if line.startswith("### ")]
    assert any("NVIDIA H200 (Epyc, 8 cores)" in head for head in heads)
    assert text.index("2026-01-01") < text.index("2026-01-02")


def test_ratios_of_several_runs_stand_side_by_side():
    one = record()
    first, flow, zero = one.policies
    slower = replace(flow, times=times(200.0, seed=2))
    lines = ratio_table([one, replace(one, policies=(first, slower, zero))]).splitlines()
    assert lines[0] == "| policy | run 1 | run 2 | largest / smallest |"
    name, *numbers = [cell.strip() for cell in lines[2].strip("|").split("|")]
    assert name == "flow" and list(map(float, numbers)) == pytest.approx([10, 20, 2], rel=0.05)
    assert lines[3] == "| zero | – | – | – |"
    with pytest.raises(ValueError, match="different policies"):
        ratio_table([one, replace(one, policies=one.policies[:1])])


def test_what_a_reader_must_know_is_said():
    backbone = CallTimes.of_calls({"backbone": 9.0, "call": 9.0}, [{"backbone": 2.0, "call": 2.0}] * 3)
    made = record(backbone="apart", backbone_times=backbone, complete=False)
    text = latency_tables([replace(made, policies=made.policies[:1])])
    assert "with backbone" in text and "timed apart in 3 call(s): p50 2000" in text and "interrupted" in text
    p50 = made.policies[0].times.percentiles("call")["p50"]
    assert f"| {2000 + p50:.0f} |" in text
    assert "not run" in latency_tables([record(backbone="not run")])
