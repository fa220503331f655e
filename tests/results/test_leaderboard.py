import sys
from dataclasses import replace
from pathlib import Path

import pytest

from envs.spec import InputError
from envs.suite import SeedBlock, Suite
from results import entries, leaderboard
from results.record_writer import RecordWriter
from results.records import EpisodeRecord, Header, Latency, PolicyFacts, RecordError

SUITE = Suite(
    name="tiny",
    title="Tiny suite",
    adapter="nowhere:make",
    simulators=("fake",),
    tasks={"open_drawer": 2, "turn_tap": 1},
    full_task_count=18,
    episodes_per_task=5,
    quick_episodes_per_task=2,
    seeds={"train": SeedBlock(0, 100), "validation": SeedBlock(100, 100), "test": SeedBlock(200, 100)},
    frozen_episodes={},
    max_steps=25,
    success_rule="success_once",
    execution_horizon=1,
    cameras=("front",),
    image_size=8,
    episode_timeout_s=10.0,
    options={},
)
FACTS = {
    "simulator": "fakesim",
    "simulator_version": "3.2",
    "adapter_version": 1,
    "max_steps": 25,
    "success_rule": "success_once",
}
HEADER = Header(
    run="run",
    created="2026-01-01T00:00:00+00:00",
    suite="tiny",
    sim="fake",
    policy=PolicyFacts("drifting", "drifting", 1, 1234567, "c0ffee" + "0" * 58),
    config={},
    protocol={"suite": "tiny", "task_facts": FACTS},
    protocol_hash="0123456789ab",
    full_task_count=18,
    seed_block={"name": "test", "start": 200, "count": 100},
    policy_seed=0,
    planned=(),
    git_sha="abcdef0123456789-dirty",
    packages={},
    python="3.11.0",
    hardware={"cpu": "Some | CPU", "cores": 2, "device": "cpu"},
)


@pytest.fixture(autouse=True)
def tiny_suite(monkeypatch):
    monkeypatch.setattr(entries, "load_suite", lambda name: {"tiny": SUITE}[name])


def record(
    folder, name="drifting", successes=(4, 2), block="test", n=5, drop=0, facts=None, delays=None, errors=True, **header
):
    """Writes a run with so many successes on each task; the first failure of each task is an error, if any are."""
    episodes = []
    for task, wins in zip(SUITE.tasks, successes, strict=False):
        for k, episode in enumerate(SUITE.episodes(task, block, n)):
            outcome = "success" if k < wins else "error" if errors and k == wins else "failure"
            latency = Latency(cold_ms=900.0, ms=(10.0 + k, 20.0 + k))
            numbers = {"planner_failures": 2, "latency": latency, "success_once": outcome == "success"}
            numbers["delays_s"] = delays
            episodes.append(EpisodeRecord(episode.id, task, episode.variation, episode.seed, 1, outcome, **numbers))
    policy = replace(HEADER.policy, name=name, **(facts or {}))
    planned = tuple(episode.id for episode in episodes)
    full = replace(HEADER, policy=policy, planned=planned, seed_block=HEADER.seed_block | {"name": block}, **header)
    path = folder / full.suite / name / f"{header.get('run', 'run')}.jsonl"
    with RecordWriter(path, full) as writer:
        for episode in episodes[: len(episodes) - drop]:
            writer.append(episode)
    return path


def table_row(page, table, label):
    """Cells of a row, by the table's column titles; tables are counted from 0."""
    blocks, lines = [], page.splitlines()
    for before, line in zip(["", *lines], lines, strict=False):
        if line.startswith("|"):
            if not before.startswith("|"):
                blocks.append([])
            blocks[-1].append([cell.strip() for cell in line.replace("\\|", "¦").strip("|").split("|")])
    header, _, *rows = blocks[table]
    (cells,) = [row for row in rows if row[0] == label]
    return dict(zip(header, cells, strict=True))


def build(records: Path) -> str:
    """The page alone."""
    return leaderboard.build(records)[Path("leaderboard.md")]


def run_main(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["leaderboard", *map(str, arguments)])
    return leaderboard.main()


def test_rates_mean_and_intervals(tmp_path):
    record(tmp_path)
    page = build(tmp_path)
    row = table_row(page, 0, "drifting")
    assert row["open drawer"] == "80 (4/5)"
    assert row["turn tap"] == "40 (2/5)"
    assert row["n"] == "10"
    assert row["mean [95 %]"] == "**60.0 [31.3, 83.2]**"  # Wilson, 6 of 10
    assert table_row(page, 1, "open drawer")["drifting"] == "80 [38, 96]"  # Wilson, 4 of 5
    assert "2 of 18 tasks, 5 test episodes each (seeds 200 to 204)" in page
    assert "fakesim 3.2" in page


def test_facts_of_the_run(tmp_path):
    record(tmp_path, name="expert", facts={"privileged": True, "objective": None, "nfe": 0, "checkpoint_sha256": None})
    record(tmp_path)
    page = build(tmp_path)
    row = table_row(page, 2, "drifting")
    assert (row["n"], row["failures"], row["planner failures"], row["errors"]) == ("10", "2", "10", "2")
    assert (row["p50 ms"], row["p95 ms"]) == ("17.0", "24.0")  # pooled warm calls, twice 10..14 and 20..24
    assert (row["parameters"], row["NFE"]) == ("1,234,567", "1")
    assert (row["checkpoint"], row["commit"]) == ("`c0ffee000000`", "`abcdef0123-dirty`")
    assert row["hardware"] == "Some ¦ CPU, 2 cores"
    assert table_row(page, 2, "expert †")["checkpoint"] == "–"


def test_reference_policies_come_first_then_the_best(tmp_path):
    for name, wins in (("zeta", 4), ("beta", 1), ("expert", 5), ("zero", 0), ("random", 0)):
        record(tmp_path, name, (wins, wins))
    record(tmp_path, "partial", (5,))
    lines = build(tmp_path).splitlines()
    names = [line.split("|")[1].strip() for line in lines if line.startswith("|")][2:8]
    assert names == ["zero", "random", "expert", "zeta", "beta", "partial"]


def test_no_mean_without_all_tasks(tmp_path):
    record(tmp_path, "partial", (5,))
    page = build(tmp_path)
    row = table_row(page, 0, "partial")
    assert (row["mean [95 %]"], row["n"], row["turn tap"]) == ("–", "–", "–")
    assert row["open drawer"] == "100 (5/5)"
    assert "not run on all 2 tasks: partial (1)" in page


def test_protocols_are_never_mixed(tmp_path):
    record(tmp_path, protocol_hash="a" * 12)
    record(tmp_path, run="other", protocol_hash="b" * 12)
    page = build(tmp_path)
    assert page.count("\n## Tiny suite") == 2
    first, second = page.split("\n## Tiny suite")[1:]
    assert "aaaaaaaaaaaa" in first
    assert "bbbbbbbbbbbb" not in first
    assert "bbbbbbbbbbbb" in second


def test_runs_with_a_latency_have_a_table_of_their_own(tmp_path):
    timing = {"source": "timing", "hardware": {"cpu": "A CPU", "cores": 4, "device": "cpu"}, "tick_hz": 20.0}
    fixed = {"source": "fixed", "seconds": 0.12, "tick_hz": 20.0}
    played = {"protocol": HEADER.protocol | {"latency": timing}, "protocol_hash": "a" * 12, "run": "slow"}
    record(tmp_path, name="slow", delays=(0.5, 0.7, 0.6), **played)
    record(tmp_path, run="none", protocol_hash="c" * 12)
    for latency, protocol_hash in ((timing, "a" * 12), (fixed, "b" * 12)):
        record(
            tmp_path,
            run=protocol_hash,
            delays=(0.03, 0.02, 0.04),
            protocol=HEADER.protocol | {"latency": latency},
            protocol_hash=protocol_hash,
        )
    plain, own, same = build(tmp_path).split("\n## Tiny suite: fakesim 3.2")[1:]
    assert "cccccccccccc" in plain and "goes on" not in plain.split("|")[0]
    assert (
        own.startswith(", with the policies' own latencies (30 to 600 ms)\n")
        and "a latency run on A CPU, 4 cores" in own
    )
    assert "in ticks of 0.05 s." in own
    assert same.startswith(", 120 ms a call\n") and "bbbbbbbbbbbb" in same


def test_two_records_of_a_policy_are_refused_by_name(tmp_path):
    one, two = record(tmp_path, run="one"), record(tmp_path, run="two")
    with pytest.raises(InputError) as error:
        build(tmp_path)
    assert str(one) in str(error.value)
    assert str(two) in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"block": "validation"}, "played on validation seeds"),
        ({"n": 2, "successes": (1, 1)}, "2 of the 5 test episodes of open_drawer"),
        ({"n": 6}, "and 1 others"),
        ({"drop": 3}, "3 of 10 episodes are missing"),
        ({"protocol": HEADER.protocol | {"latency": {"source": "measured"}}}, "a latency of its own .measured., under"),
        ({"protocol": HEADER.protocol | {"latency": {"source": "trace"}}}, "a latency of its own .trace., under"),
        ({"config": {"latency": "timing:times.json#flow"}}, "played with the times of 'flow', not its own"),
        ({"config": {"until": "drifting vs flow", "alpha": 0.05}}, "stopped by its results .--until.. Only complete"),
        ({"config": {"until": "drifting vs flow"}, "drop": 3}, "stopped by its results"),
    ],
)
def test_partial_runs_are_refused_by_name(tmp_path, changes, message):
    path = record(tmp_path, **changes)
    with pytest.raises(InputError, match=message) as error:
        build(tmp_path)
    assert str(path) in str(error.value)


def test_damaged_record_is_refused(tmp_path):
    path = record(tmp_path)
    lines = path.read_text().splitlines()
    lines[2] = lines[2][:-5]
    path.write_text("\n".join(lines))
    with pytest.raises(RecordError, match="line 3, is damaged"):
        build(tmp_path)


def test_page_depends_on_nothing_but_the_records(tmp_path):
    for folder, names in (("a", ("zero", "drifting")), ("b", ("drifting", "zero"))):
        for name in names:
            record(tmp_path / folder, name)
    page = build(tmp_path / "a")
    assert page == build(tmp_path / "b")
    assert "2026" not in page
    assert page.endswith("\n")
    assert "\r" not in page


def test_page_without_records_says_so(tmp_path):
    assert "no records yet" in build(tmp_path)


def test_check_passes_on_what_was_written_and_fails_on_anything_else(tmp_path, monkeypatch, capsys):
    record(tmp_path / "records")
    paths = "--records", tmp_path / "records", "--out", tmp_path
    written, folder = tmp_path / "leaderboard.md", tmp_path / "results/pareto"
    assert run_main(monkeypatch, "--check", *paths) == 1  # no page yet
    assert not written.exists() and not folder.exists()
    assert run_main(monkeypatch, *paths) == 0
    assert run_main(monkeypatch, "--check", *paths) == 0
    page, (picture,) = written.read_bytes(), folder.iterdir()
    assert f"(results/pareto/{picture.name})" in page.decode() and picture.read_text().startswith("<svg")

    capsys.readouterr()
    changed = page.replace(b"80 (4/5)", b"100 (5/5)")
    written.write_bytes(changed)
    assert run_main(monkeypatch, "--check", *paths) == 1
    captured = capsys.readouterr()
    assert "100 (5/5)" in captured.out
    assert "python -m results.leaderboard" in captured.err
    assert written.read_bytes() == changed

    written.write_bytes(page.replace(b"\n", b"\r\n"))
    assert run_main(monkeypatch, "--check", *paths) == 1
    written.write_bytes(page)
    picture.write_text(picture.read_text().replace("</svg>", " </svg>"))
    assert run_main(monkeypatch, "--check", *paths) == 1
    assert run_main(monkeypatch, *paths) == 0

    (folder / "of_a_table_that_is_gone.svg").write_text("<svg></svg>")
    assert run_main(monkeypatch, "--check", *paths) == 1
    assert "belongs to no table" in capsys.readouterr().out
    assert run_main(monkeypatch, *paths) == 0 and list(folder.iterdir()) == [picture]


def test_mistakes_exit_with_2_and_write_nothing(tmp_path, monkeypatch, capsys):
    record(tmp_path / "records", drop=1)
    assert run_main(monkeypatch, "--records", tmp_path / "records", "--out", tmp_path / "out") == 2
    assert "missing" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_committed_page_is_what_the_committed_records_say(monkeypatch):
    monkeypatch.undo()
    assert run_main(monkeypatch, "--check") == 0


def test_a_folder_that_is_not_there_leaves_the_page_alone(tmp_path, monkeypatch, capsys):
    (tmp_path / "leaderboard.md").write_text("as it was")
    assert run_main(monkeypatch, "--records", str(tmp_path / "none"), "--out", str(tmp_path)) == 2
    assert "check --records" in capsys.readouterr().err and (tmp_path / "leaderboard.md").read_text() == "as it was"
