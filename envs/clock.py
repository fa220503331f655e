"""The virtual clock: how long a call of the policy takes in simulated time, and what the robot does meanwhile.

A simulator waits for the policy, a robot does not. With a latency, the call made with the observation of tick k takes
t seconds, and its chunk starts d = ceil(t x ticks a second) ticks later:

    policy   observes k, computes for t . . . . . . .  |
    robot    rest of the old chunk, then hold: d ticks |  the new chunk, from its first action

- The observation is the one from before the delay. The new chunk is played from its first action: none is skipped.
- The rest of the old chunk are its actions beyond the execution horizon. Before an episode's first chunk there is none:
  the robot holds still, as it does once the rest is used up. The hold action is taken once and repeated.
- Under control at a fixed rate a tick is an action: what is played meanwhile is checked, counted against the episode's
  steps, and may succeed, fail or end the episode like any other action.
- Under keyframe control an action is a whole planned motion, after which the arm stands still. The robot then holds for
  d ticks of the adapter's own (`Env.wait`) and plays nothing of the old chunk: how long a further motion takes is not
  known beforehand. Waiting is no action and uses up no step; the world moves on and may succeed meanwhile. Where the
  adapter cannot let time pass, a latency is refused.

Times are whole microseconds, and d is computed from them without rounding errors: 0.1 s at 20 Hz are 2 ticks. The times
used are kept in the record (`delays_s`): an episode under the same ones is the same to the last bit, whatever the
worker and the load of the machine. Without a latency the simulator waits for the policy and no tick passes.
"""

import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from jaxtyping import Float32

from envs.latency_sources import DECIMALS, LatencySource
from envs.spec import Env, InputError

_DENOMINATOR = 1_000_000  # rates that are 1 / time step in floating point become the fraction they stand for


def ticks_of(seconds: float, hz: float) -> int:
    """The ticks that a call takes: the next whole number, exactly (0.1 s at 20 Hz are 2, at 30 Hz 3).

    Args:
        seconds: Duration, 0 or more; rounded to whole microseconds.
        hz: Ticks a second.
    """
    micros = Fraction(round(seconds * 10**DECIMALS), 10**DECIMALS)
    return math.ceil(micros * Fraction(hz).limit_denominator(_DENOMINATOR))


def tick_rate(env: Env) -> float:
    """Ticks a second: the control rate, or the rate of `Env.wait` under keyframe control.

    Raises:
        InputError: Keyframe control, and the adapter cannot let time pass between two actions.
    """
    hz = env.spec.control_hz or env.wait_hz
    if hz is None:
        raise InputError(
            f"{env.spec.suite} on {env.spec.simulator} is under keyframe control, which has no control rate, and its "
            "adapter cannot let simulated time pass between two actions: use --latency none, or another suite or --sim."
        )
    return hz


class VirtualClock:
    """The clock of one episode.

    Args:
        source: How long calls take.
        episode: Id of the episode.
        hz: Ticks a second.

    Attributes:
        delays_s: Time of each call so far, seconds.
    """

    def __init__(self, source: LatencySource, episode: str, hz: float) -> None:
        self.delays_s: list[float] = []
        self._source, self._episode, self._hz = source, episode, hz

    def charge(self, measured_s: float) -> int:
        """Counts a call that took so long here, in seconds.

        Returns:
            The ticks until its chunk starts.

        Raises:
            InputError: A trace has run out.
        """
        seconds = round(self._source.seconds(self._episode, len(self.delays_s), measured_s), DECIMALS)
        self.delays_s.append(seconds)
        return ticks_of(seconds, self._hz)


def meanwhile(env: Env, rest: Float32[np.ndarray, "n 128"], ticks: int) -> Iterator[Float32[np.ndarray, "128"]]:
    """What the robot does, tick by tick, while a new chunk is computed: the old one's rest, then the hold action.

    The hold action is asked for when it is needed, after what came before was carried out.
    """
    yield from rest[:ticks]
    if ticks > len(rest):
        hold = env.hold_action()
        for _ in range(ticks - len(rest)):
            yield hold
