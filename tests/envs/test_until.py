"""Two policies on the same episodes: where they stop, that nothing but the outcomes decides it, and what is refused."""

import signal
import subprocess
import sys

import pytest
import yaml
from test_cli import ROOT, start, wait_for_lines
from test_runner import Silent, plan, results

import envs.progress
from envs.run import Config, main, make_plans
from envs.runner import Evaluation
from envs.spec import InputError
from envs.suite import SUITES_DIR, load_suite
from envs.until import Versus
from policies.base import PolicyInfo
from policies.expert import ExpertPolicy
from policies.zero import ZeroPolicy
from results import compare
from results.records import read_run
from results.sequential import State


class Mostly(ExpertPolicy):
    """The expert, but in some episodes it gives up: a policy of middling success."""

    info = PolicyInfo("mostly", privileged=True)

    def reset(self, task, seed):
        self._gives_up = seed % 3 == 0

    def act(self, obs):
        chunk = super().act(obs)
        if self._gives_up:
            chunk.actions[:, 0] = 9.0  # out of reach
        return chunk


class Twin(ZeroPolicy):
    """Another policy of the same name and the same success."""


class Chooses(ZeroPolicy):
    """Runs on the device it is told."""

    def __init__(self, device):
        self.device = device


class Missing(ZeroPolicy):
    def __init__(self):
        raise InputError("no weights: download them.")


MOSTLY, TWIN = f"{__name__}:Mostly", f"{__name__}:Twin"


def versus(suite, folder, policies=("expert", MOSTLY), alpha=0.05, **changes):
    plans = [plan(suite, folder / f"{k}.jsonl", 25, policy, **changes) for k, policy in enumerate(policies)]
    return Versus(plans, alpha)


def records(folder):
    return [read_run(folder / f"{k}.jsonl") for k in range(2)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing disturbed: its decision and its records."""
    folder = tmp_path_factory.mktemp("whole")
    return versus(load_suite("mock"), folder).run([Silent(), Silent()]), records(folder)


def arguments(out, until="expert vs zero", *extra):
    return ["--suite", "mock", "--until", until, "--out", str(out), *extra]


# Where they stop


@pytest.mark.parametrize(
    ("until", "verdict"),
    [
        ("expert vs random", "expert is better than random by 100.0 points"),
        (f"zero vs {MOSTLY}", f"{MOSTLY} is better than zero by"),
    ],
)
def test_a_clear_difference_stops_after_a_few_rounds(tmp_path, capsys, until, verdict):
    out = tmp_path / "both"
    assert main(arguments(out, until, "--alpha", "0.2")) == 0
    printed = capsys.readouterr().out
    assert "at most 25 rounds of 2 episodes" in printed
    assert f"verdict: {verdict}" in printed
    paths = sorted(out.iterdir())
    first, second = map(read_run, paths)
    assert len(first.episodes) == len(second.episodes) < 25
    assert {episode.id for episode in first.episodes} == {episode.id for episode in second.episodes}
    for path, run in zip(paths, (first, second), strict=True):
        assert f": {path}" in printed
        assert len(run.header.planned) == 50  # up to the cap
        assert (run.header.config["until"], run.header.config["alpha"]) == (until, 0.2)
    assert {first.header.config["policy"], second.header.config["policy"]} == set(until.split(" vs "))
    # The records alone say the same.
    assert compare.main([str(path) for path in paths]) == 0
    assert f"rounds; anytime-valid p = {printed.split('anytime-valid p = ')[1][:6]}" in capsys.readouterr().out


def test_certain_successes_against_certain_failures_take_four_rounds(tmp_path, mock_suite):
    decision = versus(mock_suite(), tmp_path, ("zero", "expert")).run([Silent(), Silent()])
    # E = 2^k / (k + 1) after k episodes that only one solves: 9.1 after 6, 28.4 after 8.
    assert (decision.state, decision.rounds, decision.cap) == (State.SECOND, 4, 25)
    assert [len(run.episodes) for run in records(tmp_path)] == [8, 8]


def test_equal_policies_play_to_the_cap(tmp_path, capsys):
    out = tmp_path / "both"
    assert main(arguments(out, f"zero vs {TWIN}", "--episodes", "3")) == 0
    printed = capsys.readouterr().out
    assert "stopped by its results: cap reached after 3 of at most 3 rounds" in printed
    assert f"verdict: undecided: zero and {TWIN} succeed equally often" in printed
    runs = [read_run(path) for path in out.iterdir()]
    assert [run.header.policy.name for run in runs] == ["zero", "zero"]
    assert [(len(run.episodes), len(run.missing)) for run in runs] == [(6, 0), (6, 0)]


def test_errors_are_named_with_their_policy(tmp_path, mock_yaml, capsys):
    suite = mock_yaml(options={"faults": {"broken": ["reach/v001/s2000000"]}})
    assert main(["--suite", suite, *arguments(tmp_path / "both", f"zero vs {TWIN}", "--episodes", "1")[2:]]) == 0
    printed = capsys.readouterr().out
    assert "verdict: withheld" in printed
    assert f"error in reach/v001/s2000000 of {TWIN} (counted as a failure): SimulatorError" in printed


# Nothing but the outcomes decides


def test_the_number_of_workers_changes_neither_the_stop_nor_a_result(tmp_path, mock_suite, whole):
    decision, alone = whole
    assert decision.state is State.FIRST
    assert 1 < decision.rounds < 25
    assert 0 < decision.evidence.only_first < decision.evidence.episodes  # it was no walk-over
    assert versus(mock_suite(), tmp_path, workers=2).run([Silent(), Silent()]) == decision
    assert list(map(results, records(tmp_path))) == list(map(results, alone))
    assert [len(run.episodes) for run in alone] == [2 * decision.rounds] * 2


class StopsAfter(Silent):
    """Stops the run it reports on, once it has seen so many episodes."""

    def __init__(self, count):
        super().__init__()
        self._count, self.run = count, None

    def episode(self, record):
        super().episode(record)
        if len(self.records) == self._count:
            self.run.stop()


@pytest.mark.parametrize("stops", [(1, 99), (4, 99), (99, 3)])  # within a round, at the end of one, in the other policy
def test_an_interrupted_run_goes_on_to_the_same_result(tmp_path, mock_suite, whole, stops):
    reporters = [StopsAfter(count) for count in stops]
    part = versus(mock_suite(), tmp_path)
    for reporter in reporters:
        reporter.run = part
    assert not part.run(reporters).over
    played = [len(reporter.records) for reporter in reporters]
    assert min(stops) in played
    assert sum(played) < 2 * 2 * whole[0].rounds
    again = [Silent(), Silent()]
    assert versus(mock_suite(), tmp_path, resume=True).run(again) == whole[0]
    assert [len(reporter.done or ()) for reporter in again] == played  # what was there is not played again
    assert list(map(results, records(tmp_path))) == list(map(results, whole[1]))
    # Decided is decided: nothing more is played.
    before = [run.path.read_bytes() for run in records(tmp_path)]
    assert versus(mock_suite(), tmp_path, resume=True).run([Silent(), Silent()]) == whole[0]
    assert [run.path.read_bytes() for run in records(tmp_path)] == before


def test_ctrl_c_keeps_both_records(tmp_path, mock_yaml, capsys):
    suite, out = mock_yaml(options={"step_s": 0.02}), tmp_path / "both"
    command = ["--suite", suite, *arguments(out, "zero vs random", "--episodes", "8")[2:]]
    process = start(*command)
    wait_for_lines(out / "zero.jsonl", 1 + 2 + 1, process)  # in the first policy's second round
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert f"--until 'zero vs random' --out {out} --episodes 8 --resume" in errors
    assert "verdict" not in printed
    assert main([*command, "--resume"]) == 0
    printed = capsys.readouterr().out
    assert "resuming: of at most 16 episodes each, " in printed
    assert "cap reached after 8 of at most 8 rounds" in printed
    assert [len(read_run(path).episodes) for path in out.iterdir()] == [16, 16]


def test_only_the_same_comparison_is_resumed(tmp_path, capsys):
    out = tmp_path / "both"
    assert main(arguments(out)) == 0
    before = {path: path.read_bytes() for path in out.iterdir()}
    plain = ["--suite", "mock", "--policy", "expert", "--out", str(out / "expert.jsonl"), "--resume"]
    for words, message in [
        (arguments(out), "exists already: add --resume"),
        (plain, "until: there expert vs zero, now None; alpha: there 0.05, now None"),
        (arguments(out, "zero vs expert", "--resume"), "until: there expert vs zero, now zero vs expert"),
        (arguments(out, "expert vs zero", "--resume", "--alpha", "0.01"), "alpha: there 0.05, now 0.01"),
        (arguments(out, "expert vs zero", "--resume", "--episodes", "4"), "now another set of 8"),
    ]:
        assert main(words) == 2
        assert message in capsys.readouterr().err
    assert {path: path.read_bytes() for path in out.iterdir()} == before
    assert main(arguments(out, " expert   vs. zero ", "--resume")) == 0  # said otherwise, meant the same
    assert {path: path.read_bytes() for path in out.iterdir()} == before


def test_a_plain_record_is_not_resumed_as_a_comparison(tmp_path, capsys):
    out = tmp_path / "both"
    path = out / "expert.jsonl"
    assert main(["--suite", "mock", "--policy", "expert", "--episodes", "1", "--out", str(path)]) == 0
    before = path.read_bytes()
    assert not {"until", "alpha"} & read_run(path).header.config.keys()
    assert main(arguments(out, "expert vs zero", "--episodes", "1", "--resume")) == 2
    assert "until: there None, now expert vs zero" in capsys.readouterr().err
    assert path.read_bytes() == before
    assert list(out.iterdir()) == [path]


def test_workers_do_not_wait_for_scipy():
    """Each worker process imports the command line's module again."""
    code = "import sys, envs.run; sys.exit('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


# What a person sees


def test_progress_shows_both(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(envs.progress, "_LINE_EVERY_S", -1.0)
    assert main(arguments(tmp_path / "both")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "expert vs zero · at most 25 rounds of 2 episodes · 1 worker" in lines[0]
    assert lines[3].startswith("3/100 episodes · 0 of at most 25 rounds · expert 100.0 % [34.2, 100.0] · zero 0.0 % [")
    assert lines[4].startswith("4/100 episodes · 1 of at most 25 rounds · ")
    assert " · at most 0:00:" in lines[4]
    assert lines[4].endswith(" left")


# What is refused

BAD = {
    "": "add --policy NAME, or two policies as in --until",
    "--until expert": "--until names two policies",
    "--until expert|vs|expert": "names one twice",
    "--until expert|vs|zeroo": "Did you mean 'zero'",
    "--until expert|vs|zero --policy expert": "leave --policy out",
    "--until expert|vs|zero --checkpoint weights": "--checkpoint would be that of both policies: name each one's",
    "--until expert|vs|zero --nfe 4": "--nfe would be that of both policies: name each one's in --until, as in",
    "--until expert|vs|flow=no.safetensors": "there is no checkpoint no.safetensors",
    "--until expert|vs|zero --alpha 0": "--alpha must lie between 0 and 1, got 0",
    "--until expert|vs|zero --alpha 1": "--alpha must lie between 0 and 1, got 1",
    "--until expert|vs|zero --alpha nan": "--alpha must lie between 0 and 1, got nan",
    "--until expert|vs|zero --resume": "add --out",
    "--until expert|vs|zero --out a.jsonl": "--out is the folder of both records",
    "--until expert|vs|zero --episodes 0": "--episodes must lie between",
    "--until expert|vs|zero --workers 0": "--workers must be at least 1",
    "--until a:b|vs|a:b=weights": "would both write a_b.jsonl",
    f"--until zero|vs|{__name__}:Missing": "no weights: download them",
    "--policy expert --alpha 0.1": "--alpha says when --until may stop",
}


@pytest.mark.parametrize("bad", list(BAD))
def test_bad_input_is_told_and_nothing_is_written(tmp_path, monkeypatch, capsys, bad):
    monkeypatch.chdir(tmp_path)
    assert main(["--suite", "mock", *(word.replace("|", " ") for word in bad.split())]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ")
    assert BAD[bad] in printed.err
    assert printed.out == ""
    assert list(tmp_path.iterdir()) == []


def test_policies_have_weights_and_passes_of_their_own(tmp_path):
    both = make_plans(Config("mock", until="drifting=d.safetensors vs flow:1=f.safetensors", out=tmp_path))
    assert [(p.worker.policy, p.worker.nfe, p.worker.checkpoint) for p in both] == [
        ("drifting", None, "d.safetensors"),
        ("flow", 1, "f.safetensors"),
    ]
    assert [p.out.name for p in both] == ["drifting.jsonl", "flow-1.jsonl"]
    assert (both[1].config["nfe"], both[1].config["checkpoint"]) == (1, "f.safetensors")


def test_an_initial_state_is_played_once(tmp_path, mock_yaml, capsys):
    seeds = yaml.safe_load((SUITES_DIR / "mock.yaml").read_text())["seeds"]
    seeds["test"] = {"start": 2_000_000, "count": 3, "repeats": 5}
    suite, out = mock_yaml(seeds=seeds, episodes_per_task=15), tmp_path / "both"
    assert main(["--suite", suite, "--until", "zero vs random", "--out", str(out)]) == 0
    assert "after 3 of at most 3 rounds" in capsys.readouterr().out
    assert {episode.repeat for episode in read_run(out / "zero.jsonl").episodes} == {0}
    assert main(["--suite", suite, "--until", "zero vs random", "--episodes", "4", "--out", str(tmp_path / "b")]) == 2
    assert "has 3: lower --episodes" in capsys.readouterr().err


class Passes(ZeroPolicy):
    """Does nothing in one pass, and the expert's work in ten."""

    def __init__(self, nfe=10):
        self.info = PolicyInfo("passes" if nfe == 10 else f"passes-{nfe}", nfe=nfe)


def test_two_numbers_of_passes_are_told_apart(tmp_path, capsys):
    name = f"{__name__}:Passes"
    assert main(arguments(tmp_path / "both", f"{name}:10 vs {name}:1", "--episodes", "2")) == 0
    printed = capsys.readouterr().out
    assert f"{name}-10 and {name}-1 succeed equally often" in printed and f"record of {name}-1:" in printed


def test_two_protocols_are_refused_before_anything_is_played(tmp_path, capsys):
    out = tmp_path / "both"
    assert main(arguments(out, f"zero vs {__name__}:Chooses", "--device", "gpu", "--latency", "measured")) == 2
    assert "under different protocols" in capsys.readouterr().err
    assert not out.exists()


def test_an_evaluation_plays_only_once_it_is_open(tmp_path, mock_suite):
    evaluation = Evaluation(plan(mock_suite(), tmp_path / "a.jsonl"))
    with pytest.raises(RuntimeError, match="open the evaluation first"):
        next(evaluation.play(()))
