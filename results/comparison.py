"""Policies compared two by two on the episodes that both played: a pure module, runs in, numbers out.

Runs whose length was fixed in advance are compared by the exact McNemar test. A run that was stopped by what it showed
(`--until`, kept in its record) is not: a test that supposes a fixed length would find differences too often. Such a
pair is judged by the evidence that may stop at any time (`results.anytime`), on its whole rounds. Either way the
p-values of all pairs are corrected together (Holm).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import combinations
from typing import NamedTuple

from results.bootstrap import task_bootstrap
from results.paired import SIGNIFICANCE, Paired, PairingError, check_protocols, holm, pair
from results.power import detectable_difference, episodes_needed
from results.rates import rates_by_task
from results.records import Run
from results.sequential import Decision, decide, task_rounds
from results.stats import Coverage, Rate, pooled


class Outcome(StrEnum):
    """What a comparison shows."""

    FIRST = "first better"
    SECOND = "second better"
    UNDECIDED = "undecided"
    WITHHELD = "withheld"


@dataclass(frozen=True)
class Side:
    """One policy's part.

    Attributes:
        name: The policy, as it is called beside the others.
        rate: Successes out of episodes; errors are failures.
        over_tasks: 95 % interval of the rate for tasks like these (`task_bootstrap`); None for a single task.
        coverage: Scored out of attempted episodes.
    """

    name: str
    rate: Rate
    over_tasks: tuple[float, float] | None
    coverage: Coverage


@dataclass(frozen=True)
class Comparison:
    """Two policies on the same episodes. Differences are the first's success rate less the second's, -1 .. 1.

    Attributes:
        first: The one policy, on these episodes.
        second: The other, on the same.
        paired: Who solved what.
        over_tasks: 95 % interval of the difference for tasks like these (`task_bootstrap`); None for a single task.
        decision: Of a run that was stopped by what it showed; None for runs of fixed length.
        alpha: Level of the verdict, over all pairs.
        pairs: Number of pairs that were compared together.
        adjusted_p: The p-value after Holm's correction over them.
    """

    first: Side
    second: Side
    paired: Paired
    over_tasks: tuple[float, float] | None
    decision: Decision | None
    alpha: float
    pairs: int
    adjusted_p: float

    @property
    def p_value(self) -> float:
        """Anytime-valid where the run could stop early, else of the exact McNemar test; not corrected."""
        return self.paired.p_value if self.decision is None else self.decision.p_value

    def interval(self, alpha: float = 0.05) -> tuple[float, float]:
        """Interval of the difference on these tasks: Newcombe's, or one that holds whenever the run stopped."""
        if self.decision is not None:
            return self.decision.evidence.interval(alpha)
        return self.paired.interval(1 - alpha)

    @property
    def outcome(self) -> Outcome:
        """The verdict in a word."""
        if not (self.first.coverage.enough and self.second.coverage.enough):
            return Outcome.WITHHELD
        if self.adjusted_p > self.alpha:
            return Outcome.UNDECIDED
        return Outcome.FIRST if self.paired.difference > 0 else Outcome.SECOND

    @property
    def discordance(self) -> float:
        """Share of episodes that only one of the two solved."""
        return (self.paired.only_first + self.paired.only_second) / self.paired.n

    @property
    def detectable(self) -> float | None:
        """Smallest difference that so many episodes show with 80 % power; None where there is none, or no fixed length.

        At the level of the verdict divided by the number of pairs, which Holm's correction does not fall below.
        """
        if self.decision is not None:
            return None
        return detectable_difference(self.paired.observations, self.discordance, self.alpha / self.pairs)

    @property
    def still_needed(self) -> int | None:
        """Further episodes of each policy that would show a difference of the observed size with 80 % power.

        None where nobody differs, where a million would not do, where the run had no fixed length, or where initial
        states were repeated, since more repeats would not do.
        """
        if self.decision is not None or self.paired.states is not None:
            return None
        total = episodes_needed(self.discordance, abs(self.paired.difference), self.alpha / self.pairs)
        return None if total is None else max(total - self.paired.n, 0)

    def within(self, margin: float) -> tuple[bool, bool]:
        """Whether the first, and the second, is shown not to be worse than the other by more than a margin (0 .. 1).

        By the interval of level alpha divided by the number of pairs, so that no such claim of the table is wrong but
        with probability alpha.
        """
        low, high = self.interval(self.alpha / self.pairs)
        return low > -margin, high < margin


def side(name: str, run: Run) -> Side:
    """A policy's own numbers.

    Raises:
        PairingError: The run holds no episode.
    """
    if not run.episodes:
        raise PairingError(f"{run.path} holds no finished episode: let the run go on first.")
    by_task = rates_by_task(run.episodes).values()
    return Side(name, pooled(by_task), task_bootstrap([(rate.successes, rate.n) for rate in by_task]), coverage_of(run))


def coverage_of(run: Run) -> Coverage:
    """Scored out of attempted episodes of a run that holds some."""
    errors = sum(episode.outcome == "error" for episode in run.episodes)
    return Coverage(len(run.episodes) - errors, len(run.episodes))


def compare(named: Sequence[tuple[str, Run]], common: bool = False) -> list[Comparison]:
    """Compares every two runs.

    Args:
        named: Names, all different, and runs.
        common: Where two runs hold different episodes, compare them on those that both hold.

    Returns:
        One comparison for each pair, in the order (first, second), (first, third), ..., (second, third), ...

    Raises:
        PairingError: Two runs cannot be compared; the message names what differs.
    """
    drafts = [_draft(*one, *other, common) for one, other in combinations(named, 2)]
    adjusted = holm([draft.p_value for draft in drafts])
    return [replace(draft, pairs=len(drafts), adjusted_p=p) for draft, p in zip(drafts, adjusted, strict=True)]


class _Planned(NamedTuple):
    """A planned episode, played or not."""

    task: str
    id: str


def _draft(first_name: str, first: Run, second_name: str, second: Run, common: bool) -> Comparison:
    """A comparison before the correction for the number of pairs."""
    check_protocols(first, second)
    decision = None
    # What was stopped by its results keeps them: a third run beside it does not undo that.
    stopped = [run for run in (first, second) if run.header.config.get("until")]
    alpha = min([float(run.header.config.get("alpha", SIGNIFICANCE)) for run in stopped], default=SIGNIFICANCE)
    if stopped:
        decision, ids = _whole_rounds(stopped[0], first, second, alpha)
        first, second = _only(first, ids), _only(second, ids)
    else:
        here, there = set(first.header.planned), set(second.header.planned)
        if here != there and common:
            first, second = _only(first, here & there), _only(second, here & there)
        elif here & there and here != there:
            raise PairingError(
                f"{first.path} and {second.path} do not hold the same episodes ({len(here - there)} only in the "
                f"first, {len(there - here)} only in the second): run both on the same ones, or add --common to "
                f"compare them on the {len(here & there)} that both hold."
            )
    paired = pair(first, second)
    differences = [(won - lost, n) for n, won, lost in paired.by_task.values()]
    one, other = side(first_name, first), side(second_name, second)
    return Comparison(one, other, paired, task_bootstrap(differences), decision, alpha, 1, 1.0)


def _whole_rounds(stopped: Run, first: Run, second: Run, alpha: float) -> tuple[Decision, set[str]]:
    """The decision of a run that could stop at any time, and the episodes that it rests on."""
    rounds = task_rounds(_Planned(key.split("/", 1)[0], key) for key in stopped.header.planned)
    ids = [[planned.id for planned in of_round] for of_round in rounds]
    won = [{episode.id: episode.outcome == "success" for episode in run.episodes} for run in (first, second)]
    decision = decide(ids, won[0], won[1], alpha)
    if not decision.rounds:
        raise PairingError(
            f"{first.path} and {second.path} have no whole round of episodes in common: let the run go on first."
        )
    return decision, {key for of_round in ids[: decision.rounds] for key in of_round}


def _only(run: Run, ids: set[str]) -> Run:
    """The run as if it had planned these episodes alone."""
    planned = tuple(key for key in run.header.planned if key in ids)
    episodes = tuple(episode for episode in run.episodes if episode.id in ids)
    return replace(run, header=replace(run.header, planned=planned), episodes=episodes)
