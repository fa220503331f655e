"""Power of the paired comparison against direct enumeration, simulation and a published formula."""

from math import comb, sqrt

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from results.power import detectable_difference, episodes_needed, mcnemar_power


def enumerated_power(n, discordance, difference, alpha):
    """Sums the trinomial over all outcomes, with scipy's own test for each."""
    first, second = (discordance + difference) / 2, (discordance - difference) / 2
    total = 0.0
    for w in range(n + 1):
        for v in range(w):  # only where the better policy is ahead
            if w + v <= n and binomtest(w, w + v, 0.5).pvalue < alpha:
                ways = comb(n, w) * comb(n - w, v)
                total += ways * first**w * second**v * (1 - discordance) ** (n - w - v)
    return total


@pytest.mark.parametrize(
    ("n", "discordance", "difference", "alpha"), [(12, 0.9, 0.7, 0.05), (20, 0.5, 0.4, 0.05), (20, 1.0, 0.2, 0.2)]
)
def test_power_is_the_sum_over_all_outcomes(n, discordance, difference, alpha):
    expected = enumerated_power(n, discordance, difference, alpha)
    assert 0.05 < expected < 0.999
    assert mcnemar_power(n, discordance, difference, alpha) == pytest.approx(expected, abs=1e-6)


def test_power_by_simulation():
    n, discordance, difference = 450, 0.10, 0.043
    rng = np.random.default_rng(3)
    draws = rng.multinomial(n, [(discordance + difference) / 2, (discordance - difference) / 2, 0.9], size=4000)
    counts, times = np.unique(draws[:, :2], axis=0, return_counts=True)
    found = sum(k for (w, v), k in zip(counts, times, strict=True) if w > v and binomtest(w, w + v).pvalue < 0.05)
    assert mcnemar_power(n, discordance, difference) == pytest.approx(found / 4000, abs=0.02)  # 3 standard errors


@pytest.mark.parametrize(("discordance", "difference"), [(0.10, 0.03), (0.3, 0.05), (0.5, 0.1), (0.2, 0.02)])
def test_episodes_needed_are_about_those_of_the_normal_approximation(discordance, difference):
    # Connor, Biometrics 43, 1987, 207-211: pairs needed by McNemar's test; the exact test needs a few more.
    z = norm.ppf(0.975), norm.ppf(0.8)
    connor = (z[0] * sqrt(discordance) + z[1] * sqrt(discordance - difference**2)) ** 2 / difference**2
    needed = episodes_needed(discordance, difference)
    assert connor < needed < 1.08 * connor + 5
    assert mcnemar_power(needed, discordance, difference) >= 0.8 > mcnemar_power(needed - 1, discordance, difference)


def test_the_detectable_difference_is_detected_with_that_power():
    found = detectable_difference(450, 0.1, power=0.9)
    assert mcnemar_power(450, 0.1, found) == pytest.approx(0.9, abs=1e-4)
    assert detectable_difference(450, 0.1) < found
    assert detectable_difference(450, 0.1, alpha=0.01) > detectable_difference(450, 0.1)
    # The two questions are inverse to each other.
    assert episodes_needed(0.1, detectable_difference(450, 0.1)) == pytest.approx(450, abs=8)


def test_what_no_number_shows():
    assert mcnemar_power(450, 0.0, 0.0) == 0.0
    assert detectable_difference(450, 0.0) is None
    assert detectable_difference(5, 1.0) is None  # five of five: p = 0.0625
    assert detectable_difference(6, 1.0) is not None  # six of six: p = 0.03
    assert episodes_needed(1.0, 1.0) == 6
    assert episodes_needed(0.1, 0.0) is None
    assert episodes_needed(0.5, 1e-4) is None


@pytest.mark.parametrize("arguments", [(-1, 0.1, 0.0), (10, 0.1, 0.2), (10, 1.1, 0.2), (10, 0.1, -0.1), (9, 0.1, 0, 1)])
def test_impossible_arguments_are_refused(arguments):
    with pytest.raises(ValueError, match="no such comparison"):
        mcnemar_power(*arguments)
