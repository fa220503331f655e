import pytest

from envs.timing import Subject, Timing


class Machine:
    """A clock that only work moves."""

    def __init__(self):
        self.now = 0.0
        self.log = []

    def subject(self, name, seconds):
        """Takes `seconds`, an iterable, one a call; 80 % of it in the head."""
        durations = iter(seconds)

        def call():
            taken = next(durations)
            self.now += taken
            self.log.append(name)
            return {"head": 0.8 * taken}

        return Subject(name, call)

    def timing(self, *subjects):
        return Timing(subjects, clock=lambda: self.now)


def test_spans_calls_and_percentiles_are_those_of_the_clock():
    machine = Machine()
    # One cold call of 5 s, two to warm up, then 1 .. 101 ms.
    timing = machine.timing(machine.subject("a", [5.0, 0.5, 0.5, *(k / 1000 for k in range(1, 102))]))
    assert timing.run(2, 101) and timing.rounds == 101
    (times,) = timing.times
    assert times.calls == 101 and times.cold_ms == {"head": 4000.0, "call": 5000.0}
    assert times.percentiles("call") == {"p50": 51.0, "p95": 96.0, "p99": 100.0}
    assert times.percentiles("head") == {"p50": 40.8, "p95": 76.8, "p99": 80.0}
    assert times.percentiles("backbone") == {}


def test_policies_take_turns_in_a_changing_order():
    machine = Machine()
    timing = machine.timing(*(machine.subject(name, [0.001] * 100) for name in "abc"))
    timing.run(10, 30)
    rounds = [tuple(machine.log[k : k + 3]) for k in range(0, len(machine.log), 3)]
    assert len(rounds) == 1 + 10 + 30
    assert all(sorted(turn) == ["a", "b", "c"] for turn in rounds)
    assert rounds[0] == ("a", "b", "c") and len(set(rounds)) == 6


def test_each_time_belongs_to_its_policy():
    machine = Machine()
    timing = machine.timing(machine.subject("a", [0.001] * 9), machine.subject("b", [0.1] * 9))
    timing.run(3, 5)
    assert [set(times.warm_ms["call"]) for times in timing.times] == [{1.0}, {100.0}]


def interrupting(machine, name, after):
    plain = machine.subject(name, [0.001] * 100)

    def call():
        if machine.log.count(name) == after:
            raise KeyboardInterrupt
        return plain.call()

    return Subject(name, call)


def test_an_interruption_keeps_the_complete_rounds():
    machine = Machine()
    timing = machine.timing(machine.subject("a", [0.001] * 100), interrupting(machine, "b", 1 + 2 + 4))
    assert not timing.run(2, 50)
    assert timing.rounds == 4 and [times.calls for times in timing.times] == [4, 4]


@pytest.mark.parametrize("after", [0, 2])
def test_an_interruption_before_the_first_round_leaves_nothing(after):
    machine = Machine()
    timing = machine.timing(interrupting(machine, "a", after))
    assert not timing.run(2, 50) and timing.rounds == 0 and timing.times == []


def test_progress_is_told_between_rounds():
    machine, told = Machine(), []
    timing = machine.timing(machine.subject("a", [0.001] * 9))
    timing.run(2, 3, lambda phase, done, total: told.append((phase, done, total, len(machine.log))))
    assert told == [
        ("cold", 0, 1, 0),
        ("warm-up", 0, 2, 1),
        ("warm-up", 1, 2, 2),
        *(("timed", k, 3, 3 + k) for k in range(3)),
    ]
