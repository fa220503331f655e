"""What a paired comparison can show, and how many episodes it would take: a pure module.

Model: of n episodes that both policies play, a binomial number is discordant (only one policy succeeds), and of these a
binomial number goes to the better policy. Power is the chance that the exact two-sided McNemar test, as it is
computed in `results.paired`, finds the better policy better; it is summed over both binomials, without a normal
approximation. The share of discordant episodes is held at the observed one.

An observed difference is a poor guess of the true one, and an optimistic one when it is why more episodes are wanted:
read "episodes needed" as an order of magnitude.
"""

from math import ceil

import numpy as np
from jaxtyping import Float64, Int64
from scipy.optimize import brentq
from scipy.stats import binom

POWER = 0.80
MAX_EPISODES = 1_000_000  # beyond this "how many" has no useful answer
_NEGLIGIBLE = 1e-9  # chance of numbers of discordant episodes that the sum leaves out, on each side


def mcnemar_power(n: int, discordance: float, difference: float, alpha: float = 0.05) -> float:
    """Chance that the better policy is found better.

    Args:
        n: Paired episodes.
        discordance: Share of episodes that only one of the two solves, 0 .. 1.
        difference: Success rate of the better policy less that of the other, 0 .. discordance.
        alpha: Level of the two-sided test.

    Raises:
        ValueError: An argument outside its range.
    """
    if n < 0 or not 0 <= difference <= discordance <= 1 or not 0 < alpha < 1:
        raise ValueError(f"no such comparison: n {n}, discordance {discordance}, difference {difference}, {alpha=}")
    if discordance == 0:
        return 0.0
    low, high = binom.ppf(_NEGLIGIBLE, n, discordance), binom.isf(_NEGLIGIBLE, n, discordance)
    discordant = np.arange(int(low), int(high) + 1)
    wins_share = (discordance + difference) / (2 * discordance)
    shown = binom.sf(discordant - _most_losses(discordant, alpha) - 1, discordant, wins_share)
    return float(np.sum(binom.pmf(discordant, n, discordance) * shown))


def detectable_difference(n: int, discordance: float, alpha: float = 0.05, power: float = POWER) -> float | None:
    """Minimum detectable effect: the smallest difference that n episodes show with the given power.

    Returns:
        A difference of success rates, 0 .. discordance; None where even the largest possible one would not do.
    """
    if mcnemar_power(n, discordance, discordance, alpha) < power:
        return None
    return float(brentq(lambda value: mcnemar_power(n, discordance, value, alpha) - power, 0.0, discordance, xtol=1e-7))


def episodes_needed(discordance: float, difference: float, alpha: float = 0.05, power: float = POWER) -> int | None:
    """Paired episodes, in all, that show a difference with the given power.

    Power rises with n but for steps of the exact test that are smaller than a percent, so that a smaller n may just do.

    Returns:
        A number of episodes a policy; None for no difference, or beyond `MAX_EPISODES`.
    """
    if difference == 0:
        return None
    enough = 1
    while mcnemar_power(enough, discordance, difference, alpha) < power:
        if enough == MAX_EPISODES:
            return None
        enough = min(2 * enough, MAX_EPISODES)
    too_few = enough // 2
    while enough - too_few > 1:
        middle = ceil((too_few + enough) / 2)
        if mcnemar_power(middle, discordance, difference, alpha) < power:
            too_few = middle
        else:
            enough = middle
    return enough


def _most_losses(discordant: Int64[np.ndarray, " d"], alpha: float) -> Float64[np.ndarray, " d"]:
    """Most losses among so many discordant episodes at which the test still rejects; -1 where it never does."""
    losses = binom.ppf(alpha / 2, discordant, 0.5)
    return np.where(binom.cdf(losses, discordant, 0.5) <= alpha / 2, losses, losses - 1)
