import io
from pathlib import Path

import pytest
from rich.console import Console

import envs.progress
from envs.progress import ConsoleReporter, duration_text, print_summary, rate_text
from results.provenance import circumstances
from results.records import EpisodeRecord, Header, Latency, PolicyFacts, Run

PLANNED = tuple(f"{task}/v000/s{seed}" for task in ("reach", "pick") for seed in range(2))
HEADER = Header(
    run="a",
    suite="mock",
    sim="mock",
    policy=PolicyFacts("zero"),
    config={},
    protocol={},
    protocol_hash="0123456789ab",
    full_task_count=2,
    seed_block={"name": "test", "start": 0, "count": 10},
    policy_seed=0,
    planned=PLANNED,
    **circumstances("cpu"),
)


def record(index, outcome, **changes):
    task, _, seed = PLANNED[index].split("/")
    return EpisodeRecord(PLANNED[index], task, 0, int(seed[1:]), 0, outcome, **changes)


RECORDS = (
    record(0, "success", latency=Latency.of_calls([0.9, 0.004], [{}, {}])),
    record(1, "failure", planner_failures=1),
    record(2, "error", error="the worker died [exit code 1]"),
    record(3, "success"),
)


def report(terminal):
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=100, highlight=False)
    reporter = ConsoleReporter("Mock", workers=2, console=console)
    reporter.start(HEADER, RECORDS[:1])
    for episode in RECORDS[1:]:
        reporter.episode(episode)
    reporter.close()
    return text.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_shows_counts_rate_and_interval(monkeypatch, terminal):
    monkeypatch.setattr(envs.progress, "_LINE_EVERY_S", -1.0)
    shown = report(terminal)
    assert "protocol 0123456789ab" in shown and "2 workers" in shown and "1 of 4 episodes are done" in shown
    assert "4/4" in shown and "50.0 % [15.0, 85.0] · errors 1 · 0:00:00 left" in shown


def test_lines_are_rare_where_nobody_looks():
    assert "4/4" not in report(terminal=False)


def test_the_summary_counts_errors_as_failures_and_lists_them():
    text = io.StringIO()
    print_summary(Run(Path("a.jsonl"), HEADER, RECORDS), Console(file=text, width=100))
    lines = text.getvalue().splitlines()
    row = {line.split()[0]: line.split() for line in lines if line}
    assert row["reach"][1:4] == ["2", "50.0", "%"] and row["reach"][-2:] == ["4.0", "ms"]
    assert row["pick"][-4:] == ["0", "0", "1", "-"]
    assert any(line.startswith("all 2 tasks  4") for line in lines)
    assert "error in pick/v000/s0 (counted as a failure): the worker died [exit code 1]" in text.getvalue()
    assert lines[-1] == "record: a.jsonl"


def test_numbers_in_words():
    assert rate_text([]) == "-"
    assert duration_text(3725.4) == "1:02:05"
