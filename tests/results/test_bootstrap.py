"""The bootstrap over tasks against a full enumeration, and its coverage."""

from itertools import product
from math import sqrt

import numpy as np
import pytest
from scipy.stats import norm, t

from results.bootstrap import task_bootstrap


def enumerated(tasks, quantile):
    """A quantile of the mean over all equally likely draws of as many tasks."""
    means = sorted(sum(s for s, _ in drawn) / sum(n for _, n in drawn) for drawn in product(tasks, repeat=len(tasks)))
    return means[int(quantile * len(means))]


@pytest.mark.parametrize("tasks", [[(5, 25), (-2, 25), (0, 25), (9, 25)], [(3, 10), (8, 20), (1, 5), (4, 4), (0, 7)]])
@pytest.mark.parametrize("confidence", [0.5, 0.8])
def test_quantiles_are_those_of_all_draws(tasks, confidence):
    k = len(tasks)
    tail = norm.cdf(-sqrt(k / (k - 1)) * t.ppf(0.5 + confidence / 2, k - 1))
    low, high = task_bootstrap(tasks, confidence, resamples=40_000)
    # 0.01 around the quantile: four standard errors of the resampling.
    assert enumerated(tasks, tail - 0.01) <= low <= enumerated(tasks, tail + 0.01)
    assert enumerated(tasks, 1 - tail - 0.01) <= high <= enumerated(tasks, 1 - tail + 0.01)


def test_it_covers_what_it_claims():
    rng = np.random.default_rng(5)
    trials, tasks = 600, 18
    covered = 0
    for row in rng.normal(size=(trials, tasks)):
        low, high = task_bootstrap([(value, 1) for value in row], resamples=1000)
        covered += low <= 0 <= high
    # Standard error 0.9 %; the plain percentile interval covers 92.5 %.
    assert 0.935 <= covered / trials <= 0.968


def test_it_turns_and_scales_with_the_values():
    tasks = [(5, 25), (-2, 25), (0, 25), (9, 25)]
    low, high = task_bootstrap(tasks)
    assert task_bootstrap([(-total, n) for total, n in tasks]) == pytest.approx((-high, -low), abs=0.011)
    assert task_bootstrap([(2 * total, n) for total, n in tasks]) == pytest.approx((2 * low, 2 * high))
    assert (low, high) == task_bootstrap(tasks)


@pytest.mark.parametrize("tasks", [[], [(3, 25)], [(1, 25), (1, 25)], [(1, 5), (2, 10), (5, 25)]])
def test_nothing_varies_nothing_is_said(tasks):
    assert task_bootstrap(tasks) is None


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="at least one episode"):
        task_bootstrap([(0, 0), (1, 2)])
    with pytest.raises(ValueError, match="between 0 and 1"):
        task_bootstrap([(0, 1), (1, 1)], confidence=95)
