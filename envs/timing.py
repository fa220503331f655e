"""Times several things in one run, call by call in turn, so that what disturbs the machine meets all of them alike."""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from results.latency import CALL, CallTimes

# Told before each round: "cold", "warm-up" or "timed"; rounds of it that are done; and all of them.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Subject:
    """Something to time.

    Attributes:
        name: Name.
        call: Does the work once, ends when it is done (on the device too), and returns its parts' seconds.
    """

    name: str
    call: Callable[[], Mapping[str, float]]


class Timing:
    """One run. After an interruption it holds the rounds that were complete, in which every subject was called once.

    Args:
        subjects: What to time.
        clock: Seconds.
        seed: Of the order within each round. The order changes, so that no subject always follows the same one.
    """

    def __init__(
        self, subjects: Sequence[Subject], clock: Callable[[], float] = time.perf_counter, seed: int = 0
    ) -> None:
        self._subjects = subjects
        self._clock = clock
        self._order = random.Random(seed)
        self._cold: list[dict[str, float]] = []
        self._rounds: list[list[dict[str, float]]] = []

    def run(self, warmups: int, calls: int, progress: Progress = lambda phase, done, total: None) -> bool:
        """Calls each subject once cold, then `warmups` times, then `calls` times that count.

        Returns:
            False when Ctrl-C ended it early.
        """
        try:
            progress("cold", 0, 1)
            self._cold = [self._timed(subject) for subject in self._subjects]
            for k in range(warmups):
                progress("warm-up", k, warmups)
                self._round()
            for k in range(calls):
                progress("timed", k, calls)
                self._rounds.append(self._round())
        except KeyboardInterrupt:
            return False
        return True

    @property
    def rounds(self) -> int:
        """Complete timed rounds."""
        return len(self._rounds)

    @property
    def times(self) -> list[CallTimes]:
        """What was measured of each subject, in their order; nothing before the first timed round."""
        if not self._rounds:
            return []
        return [CallTimes.of_calls(cold, [entry[k] for entry in self._rounds]) for k, cold in enumerate(self._cold)]

    def _round(self) -> list[dict[str, float]]:
        order = list(range(len(self._subjects)))
        self._order.shuffle(order)
        spans: list[dict[str, float]] = [{} for _ in order]
        for k in order:
            spans[k] = self._timed(self._subjects[k])
        return spans

    def _timed(self, subject: Subject) -> dict[str, float]:
        began = self._clock()
        spans = subject.call()
        return {**spans, CALL: self._clock() - began}
