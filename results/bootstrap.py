"""Bootstrap over tasks: how far would a mean move with other tasks like these? A pure module.

A suite's tasks are its sample, so whole tasks are drawn with replacement, each with all of its episodes, and the mean
is taken again (Field and Welsh, Journal of the Royal Statistical Society B 69, 2007, 369-390: the cluster bootstrap).
The plain percentile interval of k clusters is too narrow, by sqrt((k - 1) / k) and by the normal quantile where
Student's is due: 2 in 25 such intervals of 18 tasks miss, not 1 in 20. The quantiles that are read off are therefore
pushed outwards by both (Hesterberg, The American Statistician 69, 2015, 371-386, section 4: "expanded percentile").

It can never reach beyond the best and the worst task: for fewer than about ten tasks, Student's interval
(`results.paired.Paired.task_interval`) is the safer one.
"""

from collections.abc import Sequence
from fractions import Fraction
from math import sqrt

import numpy as np
from scipy.stats import norm, t

RESAMPLES = 10_000


def task_bootstrap(
    tasks: Sequence[tuple[float, int]], confidence: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float] | None:
    """Interval of the mean over all episodes if whole tasks are drawn again.

    Args:
        tasks: Of each task: the sum of its episodes' values, and their number (at least 1).
        confidence: Coverage that is aimed at, between 0 and 1.
        resamples: Number of bootstrap samples.
        seed: Of the draws; the result is a function of the arguments.

    Returns:
        Lower and upper bound, in units of the values; None for fewer than two tasks, and where all tasks have the same
        mean: that they would never differ is not what a few equal ones say.

    Raises:
        ValueError: A task without episodes, or an impossible confidence.
    """
    if any(n < 1 for _, n in tasks):
        raise ValueError("every task needs at least one episode")
    if not 0 < confidence < 1:
        raise ValueError(f"a confidence lies between 0 and 1, got {confidence}")
    k = len(tasks)
    if len({Fraction(total) / n for total, n in tasks}) < 2:
        return None
    sums, counts = np.array(tasks, dtype=float).T
    times_drawn = np.random.default_rng(seed).multinomial(k, np.full(k, 1 / k), size=resamples)
    means = (times_drawn @ sums) / (times_drawn @ counts)
    tail = norm.sf(sqrt(k / (k - 1)) * t.ppf(0.5 + confidence / 2, k - 1))
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)
