"""Two policies on the same episodes: a pure module, runs in, numbers out.

Every episode starts from the same state for both policies, so they are compared episode by episode: what both solve or
both fail says nothing about which is better. Two intervals, for two questions:

- `Paired.interval`: how well do these episodes pin down the difference *on these tasks*? Newcombe's score interval for
  paired proportions (Statistics in Medicine 17, 1998, 2635-2650, method 10), which stays honest where a rate is near 0
  or 1. It pools all episodes; for a fixed set of tasks, each with the same number of episodes, that errs on the wide
  side.
- `Paired.task_interval`: would it be the same *on other tasks like these*? Eighteen tasks are not 450 independent
  draws: the tasks are the sample, and Student's interval of the mean of their differences (one cluster a task, 17
  degrees of freedom) says how far it carries. Closed, unlike a bootstrap of 18 clusters, which is a little too narrow.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from scipy.stats import binomtest, t

from results.records import EpisodeRecord, Run
from results.stats import wilson

SIGNIFICANCE = 0.05


class PairingError(ValueError):
    """Two runs that cannot be compared episode by episode. The message names what differs."""


@dataclass(frozen=True)
class Paired:
    """Counts of episodes by who solved them, first policy against second, and the difference of each task.

    Attributes:
        both: Both policies succeed.
        only_first: Only the first does.
        only_second: Only the second does.
        neither: Both fail; errors are failures.
        by_task: Task -> (episodes, that only the first solves, that only the second solves).
        states: Where initial states were repeated: their number, those in which the first policy succeeds more often,
            and those in which the second does. None where every episode has a state of its own.
    """

    both: int
    only_first: int
    only_second: int
    neither: int
    by_task: dict[str, tuple[int, int, int]]
    states: tuple[int, int, int] | None = None

    @property
    def n(self) -> int:
        """Number of episodes."""
        return self.both + self.only_first + self.only_second + self.neither

    @property
    def observations(self) -> int:
        """Number of different initial states: repeats of one are not independent of each other."""
        return self.n if self.states is None else self.states[0]

    @property
    def difference(self) -> float:
        """Success rate of the first less that of the second, -1 .. 1."""
        return (self.only_first - self.only_second) / self.n

    @property
    def p_value(self) -> float:
        """Exact two-sided McNemar test: were the episodes that only one solves split by a fair coin?

        Where initial states were repeated, the exact sign test over them: each has one vote.
        """
        only_first, only_second = (self.only_first, self.only_second) if self.states is None else self.states[1:]
        discordant = only_first + only_second
        return float(binomtest(only_first, discordant, 0.5).pvalue) if discordant else 1.0

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Newcombe's interval of the difference: see the module's text. Repeats of a state count as one observation."""
        solved, states = (self.both + self.only_first, self.both + self.only_second), self.observations
        (low1, high1), (low2, high2) = (wilson(k, self.n, confidence, states) for k in solved)
        share, n = states / self.n, states
        a, b, c, d = (share * count for count in (self.both, self.only_first, self.only_second, self.neither))
        first, second = (a + b) / n, (a + c) / n
        product = (a + b) * (c + d) * (a + c) * (b + d)
        covariation = a * d - b * c
        # Newcombe's correction of the correlation that the sample overstates.
        covariation = max(covariation - n / 2, 0.0) if covariation > 0 else covariation
        phi = covariation / sqrt(product) if product else 0.0

        def reach(one: float, other: float) -> float:
            return sqrt(max(one * one - 2 * phi * one * other + other * other, 0.0))

        below, above = reach(first - low1, high2 - second), reach(high1 - first, second - low2)
        return max(self.difference - below, -1.0), min(self.difference + above, 1.0)

    def task_interval(self, confidence: float = 0.95) -> tuple[float, float] | None:
        """Student's interval of the tasks' mean difference.

        None for one task, unequal numbers of episodes, or where all tasks have the same difference: that they would
        never differ is not what a few equal ones say.
        """
        counts = {n for n, _, _ in self.by_task.values()}
        tasks = len(self.by_task)
        if tasks < 2 or len(counts) > 1:
            return None
        differences = [(first - second) / n for n, first, second in self.by_task.values()]
        if len(set(differences)) < 2:
            return None
        mean = sum(differences) / tasks
        variance = sum((value - mean) ** 2 for value in differences) / (tasks - 1)
        reach = float(t.ppf(0.5 + confidence / 2, tasks - 1)) * sqrt(variance / tasks)
        return max(mean - reach, -1.0), min(mean + reach, 1.0)

    @property
    def carries_over(self) -> bool:
        """Whether `task_interval` leaves 0 out: the difference is one of tasks like these, not only of these tasks."""
        interval = self.task_interval()
        return interval is not None and (interval[0] > 0 or interval[1] < 0)

    def verdict(self, first: str, second: str, adjusted_p: float) -> str:
        """What the test shows, in words.

        Args:
            first: Name of the first policy.
            second: Name of the second.
            adjusted_p: The p-value after correction for the number of comparisons.
        """
        if adjusted_p >= SIGNIFICANCE:
            return "no difference shown"
        better = first if self.difference > 0 else second
        return f"{better} better" if self.carries_over else f"{better} better on these tasks"


def pair(first: Run, second: Run) -> Paired:
    """Compares two runs episode by episode.

    Raises:
        PairingError: Another protocol, other episodes, or an episode that one of them did not finish.
    """
    check_protocols(first, second)
    names = f"{first.path} and {second.path}"
    before, after = _by_id(first), _by_id(second)
    if before.keys() != after.keys():
        example = sorted(before.keys() ^ after.keys())[0]
        raise PairingError(
            f"{names} do not hold the same episodes ({len(before.keys() - after.keys())} only in the first, "
            f"{len(after.keys() - before.keys())} only in the second, such as {example}): run both on the same ones."
        )
    if not before:
        raise PairingError(f"{names} hold no episodes: nothing to compare.")
    counts = {(True, True): 0, (True, False): 0, (False, True): 0, (False, False): 0}
    by_task: dict[str, tuple[int, int, int]] = {}
    by_state: dict[tuple[str, int, int], int] = {}
    for key, record in before.items():
        won = record.outcome == "success", after[key].outcome == "success"
        counts[won] += 1
        state = record.task, record.variation, record.seed
        by_state[state] = by_state.get(state, 0) + won[0] - won[1]
        n, only_first, only_second = by_task.get(record.task, (0, 0, 0))
        by_task[record.task] = n + 1, only_first + (won == (True, False)), only_second + (won == (False, True))
    states = None
    if len(by_state) < len(before):
        ahead = sum(lead > 0 for lead in by_state.values())
        states = len(by_state), ahead, sum(lead < 0 for lead in by_state.values())
    return Paired(counts[True, True], counts[True, False], counts[False, True], counts[False, False], by_task, states)


def check_protocols(first: Run, second: Run) -> None:
    """Refuses two runs of different protocols.

    Raises:
        PairingError: Names both.
    """
    one, other = first.header, second.header
    if (one.suite, one.protocol_hash) != (other.suite, other.protocol_hash):
        raise PairingError(
            f"{first.path} and {second.path} were run under different protocols ({one.suite} {one.protocol_hash}, "
            f"{other.suite} {other.protocol_hash}): run both under one."
        )


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment: the chance of any false finding among all stays below the level that is tested.

    Args:
        p_values: One for each comparison, 0 .. 1.

    Returns:
        Adjusted p-values, in the order given.

    Raises:
        ValueError: A value outside 0 .. 1.
    """
    if any(not 0 <= p <= 1 for p in p_values):
        raise ValueError("p-values lie between 0 and 1")
    order = sorted(range(len(p_values)), key=lambda k: p_values[k])
    adjusted, least = [0.0] * len(p_values), 0.0
    for rank, k in enumerate(order):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[k]))
        adjusted[k] = least
    return adjusted


def _by_id(run: Run) -> dict[str, EpisodeRecord]:
    if run.missing:
        raise PairingError(f"{run.path}: {len(run.missing)} planned episodes are missing: let the run go on first.")
    return {episode.id: episode for episode in run.episodes}
