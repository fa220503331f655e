"""The sweep: success against delay, as a table and a record."""

import pytest

from envs import delay
from envs.clock import ticks_of
from results.delay import DelayPoint, delay_table, read_sweep
from results.records import RecordError, read_run

BASE = ["--suite", "mock_servo", "--policies", "expert", "--episodes", "3"]


@pytest.fixture
def out(tmp_path):
    return tmp_path / "sweep.json"


def test_a_sweep_shows_what_delay_costs(out, capsys):
    assert delay.main([*BASE, "--latencies", "none", "50ms", "400ms", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    swept = read_sweep(out)
    assert [point.latency for point in swept.points] == ["none", "50ms", "400ms"]
    assert delay_table(swept.points) in printed and str(out) in printed and "Keyframe" not in printed
    assert swept.complete and swept.tick_hz == swept.control_hz == 20
    none, short, long = swept.points
    assert none.successes == none.n == 3 and long.successes == 0 < long.n == 3 and none.steps < long.steps == 100
    assert (none.delay_ms, none.ticks, none.waited_s) == ({}, {}, 0)
    assert short.delay_ms["p50"] == 50 and short.ticks["p99"] == 1 and long.ticks["p50"] == 8
    assert len({point.protocol_hash for point in swept.points}) == 3
    for point in swept.points:
        run = read_run(out.parent / point.record)
        assert run.header.protocol_hash == point.protocol_hash and run.header.config["latency"] == point.latency
        assert point.successes == sum(episode.outcome == "success" for episode in run.episodes)
        ticks = [ticks_of(seconds, 20) for episode in run.episodes for seconds in episode.delays_s or ()]
        assert point.waited_s == pytest.approx(sum(ticks) / 20 / 3, abs=0.001)


def test_a_sweep_goes_on_where_it_was(out, capsys):
    first = [*BASE, "--latencies", "50ms", "--out", str(out)]
    assert delay.main(first) == 0
    record = out.with_suffix("") / "expert" / "50ms.jsonl"
    before = record.read_bytes()
    assert delay.main(first) == 2  # never overwritten
    assert "--resume" in capsys.readouterr().err
    assert delay.main([*BASE, "--latencies", "50ms", "100ms", "--out", str(out), "--resume"]) == 0
    assert record.read_bytes() == before
    assert [point.latency for point in read_sweep(out).points] == ["50ms", "100ms"]


def test_an_interrupted_sweep_keeps_what_is_complete(out, monkeypatch, capsys):
    played = []
    plain = delay.run_in_console

    def stops(plan):
        played.append(plan)
        return plain(plan) if len(played) == 1 else (None, True, None)

    monkeypatch.setattr(delay, "run_in_console", stops)
    assert delay.main([*BASE, "--latencies", "none", "50ms", "--out", str(out)]) == 130
    assert f"--resume --out {out}" in capsys.readouterr().err
    swept = read_sweep(out)
    assert not swept.complete and [point.latency for point in swept.points] == ["50ms"]  # those with one come first


def test_under_keyframe_control_the_table_says_what_a_delay_is(out, capsys):
    arguments = ["--suite", "mock", "--policies", "expert", "--tasks", "reach", "--episodes", "1", "--latencies", "1s"]
    assert delay.main([*arguments, "--out", str(out)]) == 0
    assert "Keyframe control: the robot stands still" in capsys.readouterr().out
    swept = read_sweep(out)
    assert swept.control_hz is None and swept.tick_hz == 50 and swept.points[0].ticks["p50"] == 50


def test_policies_have_weights_and_passes_of_their_own(out):
    words = ("zero", "flow:1=flow.safetensors", "flow=flow.safetensors")
    cells = delay.make_cells(delay.Config("mock_servo", words, ("none", "50ms")), out)
    assert [cell.policy for cell in cells] == ["zero", "zero", "flow-1", "flow-1", "flow", "flow"]
    last = cells[3].plan
    assert (last.worker.policy, last.worker.nfe, last.worker.checkpoint) == ("flow", 1, "flow.safetensors")
    assert last.config["policy"] == "flow" and last.out.parent.name == "flow-1"


BAD = {
    "--latencies none H200": "unknown --latency 'H200'",
    "--latencies 50ms 50ms": "--latencies names one twice",
    "--policies expert expert": "--policies names one twice",
    "--policies exprt": "Did you mean 'expert'",
    "--policies flow=a.safetensors flow=b.safetensors": "have one name",
    "--policies drifting=a.safetensors": "there is no checkpoint a.safetensors",
    "--policies zero=a.safetensors": "takes no checkpoint",
    "--tasks folow": "Did you mean 'follow'",
    "--episodes 0": "--episodes must lie between",
    "--latencies measured --workers 2": "--latency measured needs --workers 1",
    "--out sweep.jsonl": "must end in .json,",
    "--resume --out None": "add --out",
}


@pytest.mark.parametrize("bad", list(BAD))
def test_bad_input_is_told_and_nothing_is_written(tmp_path, monkeypatch, capsys, bad):
    monkeypatch.chdir(tmp_path)
    assert delay.main([*BASE, *bad.split()]) == 2
    assert BAD[bad] in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"kind": "latency", "schema": 1}', '{"kind": "delay", "schema": 1}']
)
def test_files_that_are_no_sweep_are_refused(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(RecordError, match=r"envs\.delay"):
        read_sweep(path)
    with pytest.raises(RecordError, match="no record of delay"):
        read_sweep(tmp_path / "b.json")


def test_the_tables_row():
    point = DelayPoint(
        "p", "120ms", 3, 4, 1, {"p50": 120.0, "p95": 120.5}, {"p50": 3.0, "p95": 4.0}, 1.5, 20.25, "h", "r"
    )
    row = delay_table([point]).splitlines()[-1]
    assert row == "| p | 120ms | 120 / 120.5 | 3 / 4 | 75.0 [30.1, 95.4] | 4 | 1 | 1.50 | 20.2 |"
