"""Which episodes come next, and when two policies may stop."""

import math
import random

import pytest

from envs.spec import InputError
from envs.suite import load_suite
from results.anytime import log_e_value
from results.sequential import State, decide, parse_versus, task_rounds

ROUNDS = [[f"{task}/{k}" for task in "abcd"] for k in range(6)]
IDS = [key for ids in ROUNDS for key in ids]


def outcomes(count, value=True):
    """The first so many episodes in the order of the rounds."""
    return dict.fromkeys(IDS[:count], value)


@pytest.mark.parametrize("count", [None, 3])
def test_rounds_hold_every_task_once_in_frozen_order(count):
    suite = load_suite("rlbench18")
    by_task = {task: suite.episodes(task, "test", count) for task in suite.tasks}
    rounds = task_rounds(episode for episodes in by_task.values() for episode in episodes)
    assert len(rounds) == (count or suite.episodes_per_task)
    for k, of_round in enumerate(rounds):
        assert [episode.task for episode in of_round] == list(suite.tasks)
        assert list(of_round) == [by_task[episode.task][k] for episode in of_round]
        assert {episode.seed for episode in of_round} == {suite.seeds["test"].start + k}


def test_rounds_do_not_depend_on_how_tasks_follow_each_other():
    suite = load_suite("rlbench18")
    grouped = [episode for task in suite.tasks for episode in suite.episodes(task, count=4)]
    by_seed = sorted(grouped, key=lambda episode: episode.seed)  # a stable sort: tasks stay in order
    assert task_rounds(grouped) == task_rounds(by_seed)
    assert task_rounds([]) == ()
    with pytest.raises(ValueError, match="as many episodes of every task, not 3, 4"):
        task_rounds(grouped[1:])


def test_the_first_round_is_next_before_anything_was_played():
    decision = decide(ROUNDS, {}, {})
    assert (decision.state, decision.rounds, decision.cap, decision.p_value) == (State.UNDECIDED, 0, 6, 1.0)
    assert not decision.over


def test_it_stops_at_the_first_round_that_is_enough():
    # 4 one-sided episodes a round: E = 2^k / (k + 1), so 3.2 after 4, 28.4 after 8.
    assert decide(ROUNDS, outcomes(4), outcomes(4, False)).state is State.UNDECIDED
    decision = decide(ROUNDS, outcomes(8), outcomes(8, False))
    assert (decision.state, decision.rounds, decision.over) == (State.FIRST, 2, True)
    assert decision.p_value == pytest.approx(9 / 2**8)
    assert decide(ROUNDS, outcomes(8, False), outcomes(8)).state is State.SECOND
    assert decide(ROUNDS, outcomes(8), outcomes(8, False), alpha=0.01).state is State.UNDECIDED


def test_part_of_a_round_is_not_looked_at():
    decision = decide(ROUNDS, outcomes(7), outcomes(8, False))
    assert (decision.state, decision.rounds, decision.evidence.episodes) == (State.UNDECIDED, 1, 4)
    assert decision == decide(ROUNDS, outcomes(8), outcomes(7, False))


def test_tasks_that_differ_each_way_are_no_difference():
    rounds = [[f"{task}/{k}" for task in range(18)] for k in range(5)]
    first = {key: number < 9 for ids in rounds for number, key in enumerate(ids)}
    second = {key: not won for key, won in first.items()}
    assert log_e_value(9, 0) > -math.log(0.05)  # in the middle of the first round
    assert decide(rounds, first, second).state is State.CAP


def test_the_decision_does_not_change_when_more_is_played():
    # The second policy catches up, too late.
    first = outcomes(8) | dict.fromkeys(IDS[8:], False)
    second = outcomes(8, False) | dict.fromkeys(IDS[8:], True)
    assert decide(ROUNDS, first, second) == decide(ROUNDS, outcomes(8), outcomes(8, False))


def test_the_cap():
    decision = decide(ROUNDS, outcomes(24), outcomes(24))
    assert (decision.state, decision.rounds, decision.over, decision.p_value) == (State.CAP, 6, True, 1.0)


def test_the_p_value_remembers_the_strongest_evidence():
    # Three losses, then as many wins.
    second = dict.fromkeys(IDS, False) | outcomes(3)
    first = dict.fromkeys(IDS, False) | dict.fromkeys(IDS[4:7], True)
    decision = decide(ROUNDS, first, second)
    assert decision.evidence.only_first == decision.evidence.only_second == 3
    assert decision.p_value == pytest.approx(math.exp(-float(log_e_value(0, 3))))


def test_any_order_of_arrival_comes_to_the_same_decision():
    rng = random.Random(2)
    truth = [{key: rng.random() < rate for key in IDS} for rate in (0.95, 0.1)]
    final = decide(ROUNDS, *truth)
    assert final.state is State.FIRST
    assert 1 < final.rounds < 6
    for workers in (1, 2, 5):
        known = [{}, {}]
        decision = decide(ROUNDS, *known)
        while not decision.over:
            pending = [(side, key) for side in (0, 1) for key in ROUNDS[decision.rounds]]
            while pending:  # a few at a time, ended in any order
                batch, pending = pending[:workers], pending[workers:]
                for side, key in rng.sample(batch, len(batch)):
                    known[side][key] = truth[side][key]
                    looked = decide(ROUNDS, *known)
            decision = looked
        assert decision == final
        assert len(known[0]) == len(known[1]) == 4 * final.rounds


def test_an_impossible_level_is_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        decide(ROUNDS, {}, {}, alpha=5)


def test_two_policies_are_named():
    assert parse_versus("drifting vs flow") == ("drifting", "flow")
    assert parse_versus(" my_pkg.mine:MyPolicy vs.  ws://host:8000 ") == ("my_pkg.mine:MyPolicy", "ws://host:8000")


@pytest.mark.parametrize("text", ["drifting", "drifting vs", "vs flow", "a vs b vs c", "drifting flow", "a b vs c", ""])
def test_other_words_are_refused(text):
    with pytest.raises(InputError, match="names two policies, such as"):
        parse_versus(text)
    with pytest.raises(InputError, match="one twice"):
        parse_versus("flow vs flow")
