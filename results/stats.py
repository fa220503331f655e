"""Success rates and their uncertainty: a pure module, numbers in, numbers out.

Rules:

1. A rate is never shown without its number of episodes. Failures, planner failures and errors all stay in n.
2. The interval of a rate is Wilson's (score) interval, 95 % unless said otherwise: honest at 0 %, at 100 % and at the
   small n of simulation benchmarks, where the normal approximation is not.
3. The mean of a suite is the mean of its tasks' rates. It exists only where every task has the same number of
   episodes; then it equals the pooled rate, and the pooled Wilson interval is an interval for it.
4. The pooled interval says how well these episodes pin down the rate on these tasks. It treats episodes as
   independent draws and says nothing about other tasks or about training the same policy again.
5. Repeats of one initial state are not independent draws: a deterministic policy does the same every time. An interval
   takes them as one observation, whatever their number, which errs on the wide side.
6. An episode that ended in an error was attempted and not scored. It counts as a failure; but where fewer than 95 % of
   the attempts were scored, the numbers are about the errors, and no verdict is given (`Coverage`).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from scipy.stats import binomtest
from statsmodels.stats.proportion import proportion_confint

MIN_COVERAGE = 0.95


@dataclass(frozen=True)
class Rate:
    """Successes out of episodes.

    Attributes:
        successes: Number of successes, 0 .. n.
        n: Number of episodes, at least 1.
        states: Initial states that they began from, 1 .. n; None for one each.
    """

    successes: int
    n: int
    states: int | None = None

    def __post_init__(self) -> None:
        if self.n < 1 or not 0 <= self.successes <= self.n:
            raise ValueError(f"{self.successes} successes of {self.n} episodes is not a rate")
        if self.states is not None and not 1 <= self.states <= self.n:
            raise ValueError(f"{self.n} episodes do not begin from {self.states} initial states")

    @property
    def value(self) -> float:
        """The rate, 0 .. 1."""
        return self.successes / self.n

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Its Wilson interval, see `wilson`."""
        return wilson(self.successes, self.n, confidence, self.states)


@dataclass(frozen=True)
class Coverage:
    """Scored out of attempted episodes.

    Attributes:
        scored: Episodes that ended as a success or a failure.
        attempted: Those and the ones that ended in an error, at least 1.
    """

    scored: int
    attempted: int

    def __post_init__(self) -> None:
        if self.attempted < 1 or not 0 <= self.scored <= self.attempted:
            raise ValueError(f"{self.scored} scored of {self.attempted} attempted episodes is not a coverage")

    @property
    def value(self) -> float:
        """The share, 0 .. 1."""
        return self.scored / self.attempted

    @property
    def enough(self) -> bool:
        """At least `MIN_COVERAGE`: a verdict may be given."""
        return self.value >= MIN_COVERAGE


def wilson(k: int, n: int, confidence: float = 0.95, states: int | None = None) -> tuple[float, float]:
    """Wilson's score interval of a binomial proportion, without continuity correction.

    Args:
        k: Successes.
        n: Episodes, at least 1.
        confidence: Coverage that is aimed at, between 0 and 1.
        states: Initial states of these episodes, where there are fewer (rule 5): the interval is that of the same rate
            out of so many.

    Returns:
        Lower and upper bound, 0 .. 1.

    Raises:
        ValueError: No episodes, more successes than episodes, or an impossible confidence.
    """
    if n < 1 or not 0 <= k <= n:
        raise ValueError(f"{k} successes of {n} episodes is not a rate")
    if not 0 < confidence < 1:
        raise ValueError(f"a confidence lies between 0 and 1, got {confidence}")
    if states is not None and states < n:
        low, high = proportion_confint(k * states / n, states, 1 - confidence, method="wilson")
        return max(float(low), 0.0), min(float(high), 1.0)
    interval = binomtest(int(k), int(n)).proportion_ci(confidence_level=confidence, method="wilson")
    return float(interval.low), float(interval.high)


def task_mean(tasks: Iterable[Rate]) -> Rate:
    """The mean of the tasks' rates, as the pooled rate that it equals (rule 3).

    Args:
        tasks: The rate of each task; all with the same n.

    Returns:
        A rate whose `value` is the mean and whose `interval` is the pooled Wilson interval.

    Raises:
        ValueError: No tasks, or tasks with different numbers of episodes.
    """
    rates = list(tasks)
    if not rates:
        raise ValueError("a mean over tasks needs at least one task")
    counts = sorted({rate.n for rate in rates})
    if len(counts) > 1:
        raise ValueError(f"tasks have different numbers of episodes ({', '.join(map(str, counts))}): no mean")
    return pooled(rates)


def pooled(rates: Iterable[Rate]) -> Rate:
    """The rate of all episodes of different tasks together."""
    parts = list(rates)
    successes, n = sum(rate.successes for rate in parts), sum(rate.n for rate in parts)
    return Rate(successes, n, sum(rate.states or rate.n for rate in parts))
