"""The anytime-valid evidence against numeric integration, and its error rates by simulation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import binom

from results.anytime import Evidence, log_e_value

TRIALS, ROUNDS, TASKS = 2000, 25, 18
RATES = np.linspace(0.05, 0.95, TASKS)


def played(seed, first, second):
    """Cumulative counts after each round, [trial, round]: episodes that only one policy solves."""
    rng = np.random.default_rng(seed)
    shape = (TRIALS, ROUNDS, TASKS)
    won, lost = rng.random(shape, np.float32) < first, rng.random(shape, np.float32) < second
    return (won & ~lost).sum(2).cumsum(1), (lost & ~won).sum(2).cumsum(1)


def called(only_first, only_second, alpha=0.05):
    """Of each trial: whether any look at it found a difference, and the sign of the first found."""
    reached = log_e_value(only_first, only_second) >= -math.log(alpha)
    at = reached.argmax(1)[:, None]
    sign = np.sign(np.take_along_axis(only_first - only_second, at, 1))[:, 0]
    return reached.any(1), sign


@pytest.mark.parametrize(("w", "v"), [(0, 0), (1, 0), (3, 9), (16, 29), (60, 20)])
def test_e_is_the_wealth_averaged_over_all_bets(w, v):
    integral, _ = quad(lambda bet: 0.5 * (1 + bet) ** w * (1 - bet) ** v, -1, 1, epsrel=1e-10)
    assert Evidence(100, w, v).e_value == pytest.approx(integral, rel=1e-8)


def test_e_by_hand():
    assert Evidence(1, 1, 0).e_value == pytest.approx(1)  # one episode says nothing about which way
    assert Evidence(2, 2, 0).e_value == pytest.approx(4 / 3)  # 2^2 / 3
    assert Evidence(2, 1, 1).e_value == pytest.approx(2 / 3)  # 2^2 / 6
    assert Evidence(2000, 1500, 0).e_value == math.inf


@given(st.integers(0, 60), st.integers(0, 60))
def test_e_is_a_fair_game(w, v):
    here, won, lost = (math.exp(log_e_value(*counts)) for counts in ((w, v), (w + 1, v), (w, v + 1)))
    assert here == pytest.approx((won + lost) / 2)


@pytest.mark.parametrize("tilt", [0.0, 0.05], ids=["equal on every task", "tasks that differ, half of them each way"])
def test_type_1_error_with_a_look_after_every_round(tilt):
    # Neighbouring tasks differ by twice the tilt, in turn this way and that: the means over tasks are equal.
    signs = tilt * np.where(np.arange(TASKS) % 2, -1, 1)
    found, _ = called(*played(11, RATES + signs, RATES - signs))
    assert found.mean() <= 0.05
    # The bound is not met by never finding anything.
    assert tilt or found.mean() > 0.002


def test_looking_that_often_at_a_test_of_fixed_length_errs_more():
    only_first, only_second = played(11, RATES, RATES)
    p = 2 * binom.cdf(np.minimum(only_first, only_second)[:500], (only_first + only_second)[:500], 0.5)
    assert (p < 0.05).any(1).mean() > 0.10


def test_a_difference_is_found_early_and_the_right_way_round():
    found, sign = called(*played(12, np.clip(RATES + 0.08, 0, 1), np.clip(RATES - 0.08, 0, 1)))
    assert found.mean() > 0.95
    assert (sign[found] > 0).mean() > 0.99


@pytest.mark.parametrize(("counts", "difference"), [((450, 16, 29), 0.03), ((60, 11, 2), -0.1), ((7, 0, 3), 0.4)])
def test_the_wealth_against_any_difference(counts, difference):
    n, w, v = counts
    low, high = -1 / (1 - difference), 1 / (1 + difference)

    def wealth(bet):
        return (
            (1 + bet * (1 - difference)) ** w
            * (1 - bet * (1 + difference)) ** v
            * (1 - bet * difference) ** (n - w - v)
            / (high - low)
        )

    integral, _ = quad(wealth, low, high, points=[0.0], limit=200, epsrel=1e-9)
    assert Evidence(*counts)._log_wealth(difference) == pytest.approx(math.log(integral), abs=1e-6)


COUNTS = st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(0, 200))


@given(COUNTS, st.sampled_from([0.01, 0.05, 0.2]))
@settings(max_examples=60, deadline=None)
def test_the_interval_holds_what_the_wealth_does_not_refute(counts, alpha):
    w, v, neither = counts
    evidence = Evidence(w + v + neither, w, v)
    low, high = evidence.interval(alpha)
    assert -1 <= low <= evidence.difference <= high <= 1
    assert (low <= 0 <= high) == (evidence.log_e < -math.log(alpha))
    for difference in np.linspace(-0.999, 0.999, 41):
        refuted = evidence._log_wealth(difference) >= -math.log(alpha)
        assert refuted == (not low < difference < high)


def test_the_interval_turns_with_the_policies_and_narrows():
    low, high = Evidence(450, 16, 29).interval()
    assert Evidence(450, 29, 16).interval() == pytest.approx((-high, -low))
    wide = Evidence(450, 16, 29).interval(0.01)
    assert wide[0] < low < high < wide[1]
    assert Evidence().interval() == (-1, 1)


def test_impossible_counts_and_levels_are_refused():
    for counts in ((3, 2, 2), (3, -1, 0)):
        with pytest.raises(ValueError, match="no such counts"):
            Evidence(*counts)
    with pytest.raises(ValueError, match="between 0 and 1"):
        Evidence(3, 1, 1).interval(5)
