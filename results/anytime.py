"""Evidence that may be looked at as it comes in, and a run that may stop on it: a pure module.

An episode that both policies play gives x = +1 when only the first solves it, -1 when only the second does, else 0. To
bet the share l of one's wealth on x each time, -1 < l < 1, turns 1 into (1 + l)^w (1 - l)^v after w wins and v losses
of the first policy. With the stake spread evenly over all l, the wealth is

    E(w, v)  =  1/2 * integral over l of (1 + l)^w (1 - l)^v  =  B(w + 1, v + 1) / 0.5^(w + v)

(B: the beta function), the likelihood ratio of a uniform mixture of coins against the fair one (a = 1 of the family
B(w + a, v + a) / (B(a, a) 0.5^(w + v)): Ville 1939; Robbins, Annals of Mathematical Statistics 41, 1970, 1397-1409;
Gruenwald, de Heide and Koolen, Journal of the Royal Statistical Society B 86, 2024, 1091-1128).

Hypothesis: the two policies' mean success over the suite's tasks is equal, whatever the single tasks' differences d_i.
A round plays one episode of every task. As episodes are independent and the bet stays the same within a round, the
expected factor of a round is the product of the (1 + l d_i), which is at most (1 + l mean(d_i))^tasks = 1, since a
geometric mean is at most the arithmetic one. So E, looked at after whole rounds, is a supermartingale, and by Ville's
inequality the chance that it *ever* reaches 1 / alpha is at most alpha: one may look after every round and stop there.
Within a round that holds only if every discordant episode is a fair coin.

The same argument for a mean difference of m, with bets on x - m, gives an interval that holds at all times at once
(Waudby-Smith and Ramdas, Journal of the Royal Statistical Society B 86, 2024, 1-27; Howard, Ramdas, McAuliffe and
Sekhon, Annals of Statistics 49, 2021, 1055-1080). It leaves 0 out exactly when E has reached 1 / alpha.

`E >= 1 / alpha` also bounds the wrong direction: half of E bets on one side alone, and the half that bets on the leader
is the larger one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import exp, inf, log

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import betaln, logsumexp, roots_legendre

_EDGE = 1e-9  # differences of exactly 1 and -1 leave no room for bets


def log_e_value(only_first: ArrayLike, only_second: ArrayLike) -> Float64[np.ndarray, "..."]:
    """Natural logarithm of E after so many episodes that only one of the policies solved.

    Args:
        only_first: Solved by the first policy alone; an array of any shape.
        only_second: Solved by the second alone; of the same shape.
    """
    w, v = np.asarray(only_first, dtype=float), np.asarray(only_second, dtype=float)
    return np.asarray(betaln(w + 1, v + 1) + (w + v) * log(2))


@dataclass(frozen=True)
class Evidence:
    """What a number of whole rounds says.

    Attributes:
        episodes: Episodes that both policies have played.
        only_first: Of these, solved by the first policy alone.
        only_second: Solved by the second alone.
    """

    episodes: int = 0
    only_first: int = 0
    only_second: int = 0

    def __post_init__(self) -> None:
        if min(self.only_first, self.only_second, self.episodes - self.only_first - self.only_second) < 0:
            raise ValueError(f"no such counts: {self}")

    @property
    def difference(self) -> float:
        """Success rate of the first less that of the second, -1 .. 1; 0 before the first episode."""
        return (self.only_first - self.only_second) / self.episodes if self.episodes else 0.0

    @property
    def log_e(self) -> float:
        """See `log_e_value`."""
        return float(log_e_value(self.only_first, self.only_second))

    @property
    def e_value(self) -> float:
        """E: what a unit of wealth has become by betting against equality; infinite beyond 1e304."""
        return exp(self.log_e) if self.log_e < 700 else inf

    def interval(self, alpha: float = 0.05) -> tuple[float, float]:
        """Interval of the mean difference that holds with probability 1 - alpha at all times at once, -1 .. 1."""
        check_alpha(alpha)

        def excess(difference: float) -> float:
            return self._log_wealth(difference) + log(alpha)

        return -_edge(lambda value: excess(-value), -self.difference), _edge(excess, self.difference)

    def _log_wealth(self, difference: float) -> float:
        """Logarithm of the wealth from betting against this mean difference, spread evenly over all possible bets."""
        neither = self.episodes - self.only_first - self.only_second
        shares, log_weights = _quadrature(self.episodes // 2 + 1)  # exact: the wealth is a polynomial of the bet
        largest, smallest = 1 / (1 + difference), -1 / (1 - difference)
        bets = smallest + shares * (largest - smallest)
        logs = (
            self.only_first * np.log1p(bets * (1 - difference))
            + self.only_second * np.log1p(-bets * (1 + difference))
            + neither * np.log1p(-bets * difference)
        )
        return float(logsumexp(logs + log_weights))


def check_alpha(alpha: float) -> None:
    """Raises ValueError for a level that is not between 0 and 1."""
    if not 0 < alpha < 1:
        raise ValueError(f"alpha lies between 0 and 1, got {alpha}")


def _edge(excess: Callable[[float], float], start: float) -> float:
    """Where `excess` turns positive to the right of `start`, at most 1."""
    end = 1 - _EDGE
    if start >= end or excess(end) <= 0:
        return 1.0
    return float(brentq(excess, max(start, -end), end, xtol=1e-7))


@lru_cache(maxsize=8)
def _quadrature(nodes: int) -> tuple[Float64[np.ndarray, " nodes"], Float64[np.ndarray, " nodes"]]:
    """Gauss-Legendre nodes on 0 .. 1 and the logarithms of their weights, which sum to 1."""
    points, weights = roots_legendre(nodes)
    return (points + 1) / 2, np.log(weights / 2)
