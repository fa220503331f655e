"""Paired comparisons against published and hand-counted numbers, and the leaderboard's section about them."""

from dataclasses import replace
from pathlib import Path

import pytest
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from test_leaderboard import HEADER, SUITE, build, record, table_row

from results import entries
from results.paired import Paired, PairingError, holm, pair
from results.records import EpisodeRecord, Run


@pytest.fixture(autouse=True)
def tiny_suite(monkeypatch):
    monkeypatch.setattr(entries, "load_suite", lambda name: {"tiny": SUITE}[name])


def counts(*cells):
    return Paired(*cells, by_task={})


def made_up(wins, protocol="0123456789ab", ids=None, planned=None):
    """A run of two tasks: `wins` is one string a task, "1" for each success."""
    episodes = [
        EpisodeRecord(f"{task}/v000/s{k}", task, 0, k, 1, {"1": "success", "0": "failure", "e": "error"}[mark])
        for task, marks in wins.items()
        for k, mark in enumerate(marks)
    ]
    planned = tuple(episode.id for episode in episodes) if planned is None else planned
    return Run(Path("made_up.jsonl"), replace(HEADER, protocol_hash=protocol, planned=planned), tuple(episodes))


@pytest.mark.parametrize(
    ("cells", "low", "high"),
    [  # Newcombe 1998, table III, method 10
        ((36, 12, 2, 0), 0.0569, 0.3404),
        ((20, 12, 2, 16), 0.0562, 0.3292),
        ((36, 14, 0, 0), 0.1528, 0.4167),
        ((35, 14, 0, 1), 0.1461, 0.4175),
        ((18, 14, 0, 18), 0.1441, 0.3963),
        ((54, 0, 0, 0), -0.0664, 0.0664),
    ],
)
def test_the_interval_is_newcombes(cells, low, high):
    assert counts(*cells).interval() == pytest.approx((low, high), abs=5e-5)


def test_the_interval_turns_with_the_policies():
    low, high = counts(10, 7, 2, 31).interval()
    assert counts(10, 2, 7, 31).interval() == pytest.approx((-high, -low))
    assert low < counts(10, 7, 2, 31).difference == 0.1 < high


@pytest.mark.parametrize(("b", "c"), [(0, 0), (5, 0), (3, 9), (40, 41), (120, 60)])
def test_mcnemar_is_exact(b, c):
    assert counts(7, b, c, 11).p_value == pytest.approx(float(mcnemar([[7, b], [c, 11]], exact=True).pvalue))


@pytest.mark.parametrize("p", [[0.01, 0.04, 0.03, 0.005], [0.9, 0.9], [0.2], [0.0, 1.0, 0.5], []])
def test_holm_as_in_statsmodels(p):
    expected = multipletests(p, method="holm")[1] if p else []
    assert holm(p) == pytest.approx(list(expected))


def test_holm_refuses_what_is_no_p_value():
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([0.5, 1.5])


def test_pairs_are_counted_by_episode_and_by_task():
    paired = pair(made_up({"a": "1100", "b": "111e"}), made_up({"a": "1010", "b": "00e1"}))
    assert (paired.both, paired.only_first, paired.only_second, paired.neither) == (1, 4, 2, 1)
    assert paired.by_task == {"a": (4, 1, 1), "b": (4, 3, 1)}
    assert paired.n == 8
    assert paired.difference == 0.25


def test_the_task_interval_is_students():
    paired = pair(made_up({"a": "1100", "b": "1111"}), made_up({"a": "0100", "b": "0100"}))
    # Differences 0.25 and 0.75: mean 0.5, standard error 0.25, t of one degree of freedom 12.706.
    assert paired.task_interval(0.5) == pytest.approx((0.25, 0.75))
    assert paired.task_interval() == (-1.0, 1.0)
    assert pair(made_up({"a": "10"}), made_up({"a": "01"})).task_interval() is None
    assert pair(made_up({"a": "10", "b": "1"}), made_up({"a": "01", "b": "0"})).task_interval() is None


def test_runs_that_do_not_pair_are_refused():
    run = made_up({"a": "10"})
    with pytest.raises(PairingError, match=r"different protocols .*0123456789ab.*ffff"):
        pair(run, made_up({"a": "10"}, protocol="ffff"))
    with pytest.raises(PairingError, match=r"1 only in the first, 0 only in the second, such as a/v000/s1"):
        pair(run, made_up({"a": "1"}))
    with pytest.raises(PairingError, match="1 planned episodes are missing"):
        pair(run, made_up({"a": "1"}, planned=("a/v000/s0", "a/v000/s1")))
    with pytest.raises(PairingError, match="no episodes"):
        pair(made_up({}), made_up({}))


def test_verdicts():
    split = {"a": (25, 20, 0), "b": (25, 0, 0)}
    even = {"a": (25, 10, 0), "b": (25, 10, 0), "c": (25, 9, 0)}
    assert Paired(5, 20, 0, 25, split).verdict("x", "y", 0.01) == "x better on these tasks"
    assert Paired(5, 29, 0, 25, even).verdict("x", "y", 0.01) == "x better"
    assert Paired(5, 0, 20, 25, {}).verdict("x", "y", 0.01) == "y better on these tasks"
    assert Paired(5, 29, 0, 25, even).verdict("x", "y", 0.05) == "no difference shown"


def test_the_leaderboard_compares_trained_policies_with_drifting(tmp_path):
    expert = {"privileged": True, "objective": None}
    record(tmp_path, "expert", (5, 5), facts=expert)
    record(tmp_path, "drifting", (5, 5))
    assert "Paired comparisons" not in build(tmp_path)
    record(tmp_path, "flow", (0, 0), facts={"objective": "flow"}, errors=False)
    record(tmp_path, "mse", (5, 4), facts={"objective": "mse"}, errors=False)
    record(tmp_path, "partial", (5,), facts={"objective": "mse"})
    page = build(tmp_path)
    row = table_row(page, 3, "flow")
    assert [row[name] for name in ("n", "both", "only drifting", "only other", "neither")] == [
        "10",
        "0",
        "10",
        "0",
        "0",
    ]
    assert row["difference [95 %]"] == "+100.0 [+60.8, +100.0]"
    assert (row["McNemar p"], row["Holm p"]) == ("0.0020", "0.0039")  # 2 / 2**10, twice
    assert row["verdict"] == "drifting better on these tasks"  # two equal differences say little of other tasks
    row = table_row(page, 3, "mse")
    assert (row["difference [95 %]"].split()[0], row["Holm p"]) == ("+10.0", "1.0000")
    assert row["verdict"] == "no difference shown"
    with pytest.raises(ValueError, match="not enough values"):
        table_row(page, 3, "expert †")
    assert "not run on the same episodes as drifting: partial" in page
    assert page == build(tmp_path)


def test_no_section_without_drifting(tmp_path):
    record(tmp_path, "flow", (1, 1), facts={"objective": "flow"})
    record(tmp_path, "mse", (1, 1), facts={"objective": "mse"})
    assert "Paired" not in build(tmp_path)
