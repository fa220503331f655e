"""`python -m results.compare`: which records it takes, what it refuses, and what it says."""

import json
from dataclasses import replace

import pytest
from scipy.stats import binomtest
from test_leaderboard import HEADER

from envs.spec import InputError
from results import locate
from results.compare import main
from results.comparison import Outcome, compare
from results.comparison_text import as_text
from results.locate import find_record
from results.paired import PairingError
from results.record_writer import RecordWriter
from results.records import EpisodeRecord, read_run
from results.stats import wilson
from results.verdict import sentence


def write(path, wins, drop=0, **header):
    """A record: `wins` is one string a task, "1" for a success, "e" for an error; `drop` episodes were not played."""
    names = {"1": "success", "0": "failure", "e": "error"}
    episodes = [
        EpisodeRecord(f"{task}/v000/s{k}", task, 0, k, 1, names[mark], error="broken" if mark == "e" else None)
        for task, marks in wins.items()
        for k, mark in enumerate(marks)
    ]
    policy = replace(HEADER.policy, name=header.pop("name", path.parent.name))
    full = replace(HEADER, policy=policy, planned=tuple(episode.id for episode in episodes), **header)
    with RecordWriter(path, full) as writer:
        for episode in episodes[: len(episodes) - drop]:
            writer.append(episode)
    return path


def runs(tmp_path, **wins):
    """Named runs, ready to compare."""
    return [(name, read_run(write(tmp_path / name / "run.jsonl", of_policy))) for name, of_policy in wins.items()]


def even(*marks):
    return dict(zip("abcdefgh", marks, strict=False))


def verdicts(named, margin=0.05, **options):
    return [sentence(comparison, margin) for comparison in compare(named, **options)]


# Which record is meant


def test_records_are_found_by_path_folder_and_short_name(tmp_path):
    path = write(tmp_path / "records" / "tiny" / "mine" / "test.jsonl", even("1"))
    for name in (path, path.parent, "tiny/mine"):
        assert find_record(str(name), tmp_path / "records") == path
    assert find_record("rlbench18/drifting") == locate.RECORDS_DIR / "rlbench18" / "drifting" / "test.jsonl"


def test_a_folder_of_records_names_them_all(tmp_path, capsys):
    paths = [write(tmp_path / "runs" / f"{name}.jsonl", even("1011", "1100"), name=name) for name in ("one", "two")]
    assert main([str(tmp_path / "runs")]) == 0
    together = capsys.readouterr().out
    assert main([str(path) for path in paths]) == 0
    assert capsys.readouterr().out == together
    paths[0].unlink()
    assert main([str(tmp_path / "runs")]) == 2
    assert "two records at least" in capsys.readouterr().err


def test_what_names_no_record_is_refused_with_the_remedy(tmp_path):
    path = write(tmp_path / "tiny" / "mine" / "test.jsonl", even("1"))
    with pytest.raises(InputError, match="Did you mean 'tiny/mine'"):
        find_record("tiny/mien", tmp_path)
    with pytest.raises(InputError, match="holds no record"):
        find_record(str(tmp_path))
    write(path.with_name("zlater.jsonl"), even("1"))
    with pytest.raises(InputError, match=r"holds 2 records: name one, such as the last, .*zlater.jsonl"):
        find_record(str(path.parent))


# What is refused


def test_another_protocol_is_refused(tmp_path, capsys):
    one = write(tmp_path / "x" / "a.jsonl", even("10"))
    other = write(tmp_path / "y" / "b.jsonl", even("10"), protocol_hash="f" * 12)
    assert main([str(one), str(other)]) == 2
    error = capsys.readouterr().err
    assert "different protocols" in error
    assert str(one) in error
    assert "ffffffffffff" in error


def test_a_torn_record_is_refused(tmp_path, capsys):
    one, other = write(tmp_path / "x" / "a.jsonl", even("10")), write(tmp_path / "y" / "b.jsonl", even("10"))
    whole = other.read_bytes()
    other.write_bytes(whole[:-20])  # the last line: dropped on reading, so an episode is missing
    assert main([str(one), str(other)]) == 2
    assert f"{other}: 1 planned episodes are missing: let the run go on first" in capsys.readouterr().err
    lines = whole.splitlines(keepends=True)
    other.write_bytes(lines[0] + lines[1][:-20] + b"\n" + lines[2])
    assert main([str(one), str(other)]) == 2
    assert "line 2, is damaged" in capsys.readouterr().err


def test_other_mistakes_are_refused(tmp_path, capsys):
    one, other = write(tmp_path / "x" / "a.jsonl", even("10")), write(tmp_path / "y" / "b.jsonl", even("10"))
    for arguments, message in (
        ([one], "two records at least"),
        ([one, one.parent], "named twice"),
        ([one, other, "--margin", "0"], "--margin"),
        ([one, "nowhere/nobody"], "there is no record"),
        ([one, write(tmp_path / "z" / "c.jsonl", even("10"), drop=2)], "no finished episode|are missing"),
    ):
        assert main([str(argument) for argument in arguments]) == 2
        error = capsys.readouterr().err
        assert any(part in error for part in message.split("|")), error


def test_other_episodes_need_leave(tmp_path):
    named = runs(tmp_path, quick=even("11", "10"), full=even("1100", "0011"))
    with pytest.raises(PairingError, match=r"0 only in the first, 4 only in the second.*--common .*4 that both"):
        compare(named)
    (comparison,) = compare(named, common=True)
    assert comparison.paired.n == comparison.second.rate.n == 4
    assert (comparison.paired.only_first, comparison.paired.only_second) == (1, 0)
    apart = [*named[:1], *runs(tmp_path, other={"z": "11"})]
    with pytest.raises(PairingError, match="no episodes"):
        compare(apart, common=True)


# What is said


def test_a_difference(tmp_path):
    named = runs(tmp_path, good=even(*["1111100"] * 4), bad=even(*["0000001"] * 3, "0000011"))
    (comparison,) = compare(named)
    assert comparison.p_value == binomtest(20, 25, 0.5).pvalue
    assert comparison.outcome is Outcome.FIRST
    (text,) = verdicts(named)
    low, high = (f"{100 * bound:+.1f}" for bound in comparison.interval())
    p = f"p = {comparison.p_value:.4f}"
    assert text == f"good is better than bad by 53.6 points [{low}, {high}] on these 28 paired episodes ({p})."
    assert verdicts(named[::-1]) == [text]  # in whichever order they were named


def test_a_difference_on_some_tasks_only(tmp_path):
    named = runs(tmp_path, good=even("1" * 25, "0" * 25, "0" * 25), bad=even("0" * 25, "0" * 25, "0" * 25))
    assert verdicts(named)[0].endswith("; whether it is on other tasks like these is open.")


def test_equal_differences_of_a_few_tasks_do_not_make_it_certain(tmp_path):
    (comparison,) = compare(runs(tmp_path, good=even(*["1" * 10 + "0" * 10] * 2), bad=even(*["0" * 20] * 2)))
    assert comparison.outcome is Outcome.FIRST and not comparison.paired.carries_over
    assert comparison.paired.task_interval() is None and comparison.over_tasks is None


def repeated(path, wins, repeats):
    """A record in which every initial state is played `repeats` times with the same outcome."""
    write(path, wins)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    episodes = [
        line | ({"id": f"{line['id']}/r{k}", "repeat": k} if k else {}) for k in range(repeats) for line in lines[1:]
    ]
    header = lines[0] | {"planned": [episode["id"] for episode in episodes]}
    path.write_text("".join(json.dumps(line) + "\n" for line in (header, *episodes)))
    return path


def test_repeats_of_an_initial_state_do_not_count_as_more_evidence(tmp_path):
    marks = {"one": even("1110010", "1100110"), "other": even("1010000", "0100010")}
    once = compare(runs(tmp_path / "once", **marks))[0]
    paths = [repeated(tmp_path / name / "run.jsonl", wins, 10) for name, wins in marks.items()]
    many = compare([(path.parent.name, read_run(path)) for path in paths])[0]
    assert many.paired.n == 10 * once.paired.n == 140 and many.paired.observations == once.paired.n
    assert many.p_value == once.p_value == binomtest(4, 4, 0.5).pvalue
    assert many.interval() == pytest.approx(once.interval())
    assert many.first.rate.interval() == pytest.approx(once.first.rate.interval())
    assert many.detectable == pytest.approx(once.detectable)
    text = as_text([(path.parent.name, read_run(path)) for path in paths], [many], 0.05)
    assert "14 initial states, 4 in favour of the first, 0 of the second: exact sign test p" in text
    assert "only further initial states could show" in sentence(many, 0.05)


def test_undecided_says_how_many_more(tmp_path):
    named = runs(
        tmp_path, one=even("1" * 14 + "0" * 11, "1" * 14 + "0" * 11), other=even("1" * 12 + "0" * 13, "0011" * 6 + "0")
    )
    (comparison,) = compare(named)
    (text,) = verdicts(named)
    assert comparison.outcome is Outcome.UNDECIDED
    per_task = -(-comparison.still_needed // 2)
    assert f"; about {2 * per_task:,} more paired episodes a policy ({per_task:,} a task) would be needed" in text
    assert text.startswith("undecided: one is ahead of other by 8.0 points [")
    assert "not worse than other by more than 20 points" in verdicts(named, 0.2)[0]
    assert "not worse" not in text


def test_equal_policies(tmp_path):
    named = runs(tmp_path, one=even("10" * 50), other=even("10" * 50))
    (comparison,) = compare(named)
    assert (comparison.detectable, comparison.still_needed, comparison.p_value) == (None, None, 1.0)
    assert verdicts(named) == [
        "undecided: one and other succeed equally often on these 100 paired episodes (p = 1.0000); neither is worse "
        "than the other by more than 5 points."
    ]


def test_few_scored_episodes_withhold_the_verdict(tmp_path):
    good = "1" * 100
    for errors, outcome in ((5, Outcome.FIRST), (6, Outcome.WITHHELD)):
        folder = tmp_path / str(errors)
        named = runs(folder, good=even(good), bad=even("e" * errors + "0" * (100 - errors)))
        (comparison,) = compare(named)
        assert comparison.outcome is outcome
        assert comparison.paired.only_first == 100  # errors are failures
    assert verdicts(named)[0].startswith(
        "withheld: only 94.0 % of the attempted episodes of bad (94 of 100) were scored, the others ended in an error"
    )


def test_holm_over_all_pairs(tmp_path):
    named = runs(tmp_path, a=even("1" * 12), b=even("1" * 3 + "0" * 9), c=even("0" * 12))
    comparisons = compare(named)
    assert [(part.first.name, part.second.name) for part in comparisons] == [("a", "b"), ("a", "c"), ("b", "c")]
    raw = [2 / 2**9, 2 / 2**12, 2 / 2**3]
    assert [part.p_value for part in comparisons] == pytest.approx(raw)
    assert [part.adjusted_p for part in comparisons] == pytest.approx([2 * raw[0], 3 * raw[1], raw[2]])
    assert comparisons[0].within(0.05) == (True, False)
    assert "after Holm's correction over 3 comparisons" in sentence(comparisons[0], 0.05)


def test_runs_that_were_stopped_by_their_results(tmp_path):
    until = {"config": {"until": "good vs bad", "alpha": 0.05}}
    marks = {task: "1" * 25 for task in "abcd"}
    good = write(tmp_path / "good" / "a.jsonl", marks, **until)
    bad = write(tmp_path / "bad" / "b.jsonl", {task: "0" * 25 for task in "abcd"}, **until)
    keep_rounds(good, 3)
    keep_rounds(bad, 3)
    named = [("good", read_run(good)), ("bad", read_run(bad))]
    (comparison,) = compare(named)
    # Round 2 decides: E = 2^8 / 9. The third, which was under way, is left out.
    assert (comparison.paired.n, comparison.decision.rounds, comparison.decision.cap) == (8, 2, 25)
    assert comparison.p_value == pytest.approx(9 / 2**8)
    assert comparison.interval() == comparison.decision.evidence.interval()
    assert (comparison.detectable, comparison.still_needed) == (None, None)
    (text,) = verdicts(named)
    assert text.startswith("good is better than bad by 100.0 points [")
    assert text.endswith("on these 8 paired episodes (2 of at most 25 rounds; anytime-valid p = 0.0352).")
    # Beside a run of fixed length it is still one that was stopped by its results.
    full = write(tmp_path / "full" / "c.jsonl", marks)
    assert compare([named[1], ("full", read_run(full))])[0].decision.rounds == 2
    # An interrupted run may go on.
    keep_rounds(good, 1)
    (text,) = verdicts([("good", read_run(good)), named[1]])
    assert text.startswith("undecided: good is ahead of bad by 100.0 points [")
    assert "(1 of at most 25 rounds; anytime-valid p = 0.3125); the run is not at its end" in text  # 5 / 2^4
    keep_rounds(good, 0)
    with pytest.raises(PairingError, match="no whole round"):
        compare([("good", read_run(good)), named[1]])
    other = write(tmp_path / "other" / "d.jsonl", marks, protocol_hash="f" * 12)
    with pytest.raises(PairingError, match="different protocols"):
        compare([("other", read_run(other)), named[1]])


def keep_rounds(path, rounds):
    """Takes the episodes of later rounds out of a record."""
    lines = path.read_text().splitlines()
    kept = [line for line in lines[1:] if json.loads(line)["seed"] < rounds]
    path.write_text("\n".join([lines[0], *kept]) + "\n")


def test_the_command_prints_text_and_json(tmp_path, capsys):
    one = write(tmp_path / "x" / "one.jsonl", even("1110", "110e"), name="mine")
    other = write(tmp_path / "y" / "other.jsonl", even("0010", "0101"), name="mine")
    assert main([str(one), str(other), "--margin", "10"]) == 0
    text = capsys.readouterr().out
    assert "5/8 = 62.5 % [30.6, 86.3] on these tasks" in text
    assert "; 1 of them errors, counted as failures" in text
    assert "mine · one and mine · other: 8 paired episodes of 2 tasks" in text
    assert "verdict: withheld: only 87.5 %" in text

    assert main([str(one), str(other), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    (pair,) = data["comparisons"]
    assert [policy["record"] for policy in data["policies"]] == [str(one), str(other)]
    assert (pair["both"], pair["only_first"], pair["only_second"], pair["neither"]) == (2, 3, 1, 2)
    assert pair["first"]["interval"] == list(wilson(5, 8))
    assert pair["p_value"] == binomtest(3, 4, 0.5).pvalue
    assert (pair["difference"], pair["outcome"], data["margin"]) == (0.25, "withheld", 0.05)
    assert pair["verdict"] in text.replace("10 points", "5 points")


def test_the_committed_records(capsys):
    assert main(["rlbench18/expert", "rlbench18/zero"]) == 0
    text = capsys.readouterr().out
    assert "expert is better than zero by 100.0 points" in text
    assert "450 paired episodes of 18 tasks" in text
