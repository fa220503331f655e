import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from results.stats import Coverage, Rate, task_mean, wilson


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [
        # Newcombe (1998), Statistics in Medicine 17, table I, method 3 (score, no continuity correction).
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
        # The sizes of this benchmark: 25 episodes a task, 18 tasks.
        (13, 25, 0.335, 0.700),
        (360, 450, 0.761, 0.834),
    ],
)
def test_wilson_agrees_with_published_values(k, n, low, high):
    got = wilson(k, n)
    digits = 4 if n not in (25, 450) else 3
    assert round(got[0], digits) == low
    assert round(got[1], digits) == high


def test_wilson_at_the_ends():
    assert wilson(0, 25)[0] == 0
    assert wilson(25, 25)[1] == 1
    assert wilson(0, 25)[1] == pytest.approx(1 - wilson(25, 25)[0])


@given(st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.999))
def test_wilson_solves_the_score_equation(counts, confidence):
    k, n = counts
    low, high = wilson(k, n, confidence)
    assert 0 <= low <= k / n <= high <= 1
    z = norm.ppf(0.5 + confidence / 2)
    for bound, at_end in ((low, k == 0), (high, k == n)):
        if not at_end:
            score = (k / n - bound) / math.sqrt(bound * (1 - bound) / n)
            assert abs(score) == pytest.approx(z, rel=1e-5)


@pytest.mark.parametrize(("k", "n"), [(0, 0), (3, 2), (-1, 5)])
def test_impossible_counts_are_refused(k, n):
    with pytest.raises(ValueError, match="not a rate"):
        wilson(k, n)
    with pytest.raises(ValueError, match="not a rate"):
        Rate(k, n)


@pytest.mark.parametrize("confidence", [0, 1, 95])
def test_impossible_confidence_is_refused(confidence):
    with pytest.raises(ValueError, match="between 0 and 1"):
        wilson(1, 2, confidence)


def test_task_mean_is_the_mean_of_rates_with_the_pooled_interval():
    tasks = [Rate(25, 25), Rate(0, 25), Rate(10, 25)]
    mean = task_mean(tasks)
    assert mean.value == pytest.approx((1.0 + 0.0 + 0.4) / 3)
    assert mean.interval() == wilson(35, 75)


def test_no_mean_over_unequal_or_no_tasks():
    with pytest.raises(ValueError, match="3, 25"):
        task_mean([Rate(1, 3), Rate(20, 25)])
    with pytest.raises(ValueError, match="at least one"):
        task_mean([])


def test_coverage_is_enough_from_95_percent():
    assert Coverage(95, 100).enough
    assert not Coverage(94, 100).enough
    assert Coverage(18, 19).value == pytest.approx(0.947, abs=5e-4)
    for scored, attempted in ((0, 0), (3, 2), (-1, 2)):
        with pytest.raises(ValueError, match="not a coverage"):
            Coverage(scored, attempted)
