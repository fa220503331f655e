"""Which episodes two policies play next, and whether they may stop: a pure module, outcomes in, decision out.

Both play the same frozen episodes in *rounds*: round k is the k-th episode of every task, so that whenever one stops,
every task has been played equally often. `decide` looks at whole rounds, in order, and stops at the first at which the
evidence (`results.anytime`) reaches 1 / alpha. It is a function of the outcomes by episode id: in which order they came
in, from how many workers, and what was played beyond the deciding round change nothing.
"""

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import exp, log
from typing import Protocol, TypeVar

from envs.spec import InputError
from results.anytime import Evidence, check_alpha


class State(StrEnum):
    """What a sequential comparison has come to."""

    UNDECIDED = "undecided"
    FIRST = "first better"
    SECOND = "second better"
    CAP = "cap reached"


class OfTask(Protocol):
    """Anything that belongs to a task: an episode, or its record."""

    @property
    def task(self) -> str:
        """Task name."""


T = TypeVar("T", bound=OfTask)
K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class Decision:
    """Where a comparison stands.

    Attributes:
        state: Undecided, who is better, or that all rounds were played and neither was found better.
        rounds: Whole rounds that were looked at.
        cap: Rounds at most.
        evidence: What these rounds say.
        p_value: Anytime-valid: 1 over the largest E so far, at most 1.
    """

    state: State
    rounds: int
    cap: int
    evidence: Evidence
    p_value: float

    @property
    def over(self) -> bool:
        """No further round is to be played."""
        return self.state is not State.UNDECIDED


def task_rounds(episodes: Iterable[T]) -> tuple[tuple[T, ...], ...]:
    """The rounds of an episode list: round k holds the k-th episode of every task, tasks in order of appearance.

    Args:
        episodes: Every task's episodes in their frozen (seed) order; how the tasks follow each other does not matter.

    Raises:
        ValueError: The tasks have different numbers of episodes.
    """
    by_task: dict[str, list[T]] = {}
    for episode in episodes:
        by_task.setdefault(episode.task, []).append(episode)
    counts = sorted({len(of_task) for of_task in by_task.values()})
    if len(counts) > 1:
        raise ValueError(f"rounds need as many episodes of every task, not {', '.join(map(str, counts))}")
    return tuple(zip(*by_task.values(), strict=True))


def decide(
    rounds: Sequence[Sequence[K]], first: Mapping[K, bool], second: Mapping[K, bool], alpha: float = 0.05
) -> Decision:
    """What the rounds that both policies have played say so far.

    Args:
        rounds: Ids of every round's episodes, see `task_rounds`.
        first: Episode id -> whether the first policy solved it. Errors are failures.
        second: The same of the second policy.
        alpha: Chance, at most, of calling one better when they are equal, however often one looks.

    Returns:
        The decision. While it is not `over`, `rounds[decision.rounds]` is what both policies play next.

    Raises:
        ValueError: An impossible alpha.
    """
    check_alpha(alpha)
    evidence, highest = Evidence(), 0.0
    for number, ids in enumerate(rounds):
        if not all(key in first and key in second for key in ids):
            return Decision(State.UNDECIDED, number, len(rounds), evidence, exp(-highest))
        evidence = Evidence(
            evidence.episodes + len(ids),
            evidence.only_first + sum(first[key] and not second[key] for key in ids),
            evidence.only_second + sum(second[key] and not first[key] for key in ids),
        )
        highest = max(highest, evidence.log_e)
        if highest >= -log(alpha):
            state = State.FIRST if evidence.difference > 0 else State.SECOND
            return Decision(state, number + 1, len(rounds), evidence, exp(-highest))
    return Decision(State.CAP, len(rounds), len(rounds), evidence, exp(-highest))


def parse_versus(text: str) -> tuple[str, str]:
    """The two policies of "drifting vs flow".

    Raises:
        InputError: It does not name two different policies.
    """
    names = re.split(r"\s+vs\.?\s+", text.strip())
    if len(names) != 2 or any(not name or re.search(r"\s", name) for name in names):
        raise InputError(f'--until names two policies, such as "drifting vs flow", not {text!r}.')
    if names[0] == names[1]:
        raise InputError(f"--until compares two policies, and {text!r} names one twice: choose another.")
    return names[0], names[1]
