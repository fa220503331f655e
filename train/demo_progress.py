"""Progress of a collection: a bar on a terminal, a line every few seconds elsewhere."""

import sys
import time
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from train.demo_episodes import Outcome

LINE_INTERVAL_S = 10.0


class DemoProgress:
    """Counts kept episodes and adds up where the time went.

    Args:
        wanted: Task -> episodes to keep.
    """

    def __init__(self, wanted: dict[str, int]) -> None:
        self._wanted = wanted
        self._kept = dict.fromkeys(wanted, 0)
        self._played = 0
        self._failed = 0
        self._seconds: dict[str, float] = {}
        self._started = self._last_line = time.monotonic()
        self._stopped = self._started
        self._bar: Progress | None = None
        if sys.stdout.isatty():
            columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
            self._bar = Progress(*columns)
            self._bar_id = self._bar.add_task("demonstrations", total=sum(wanted.values()))

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped = time.monotonic()
        if self._bar:
            self._bar.stop()

    def advance(self, outcome: Outcome, replayed: bool) -> None:
        """Takes in a finished episode; `replayed` ones come from an earlier run and took no time."""
        self._kept[outcome.task] += outcome.failure is None
        if not replayed:
            self._played += 1
            self._failed += outcome.failure is not None
        for part, seconds in outcome.seconds.items():
            self._seconds[part] = self._seconds.get(part, 0.0) + seconds
        if self._bar:
            self._bar.update(self._bar_id, description=outcome.task, completed=sum(self._kept.values()))
        elif time.monotonic() - self._last_line >= LINE_INTERVAL_S and not replayed:
            self._last_line = time.monotonic()
            print(self._line(outcome.task), flush=True)

    def summary(self) -> list[str]:
        """Lines for the end: speed, and wall time of the workers by part, largest first."""
        if not self._played:
            return ["all episodes were there already"]
        elapsed = max(self._stopped - self._started, 1e-9)
        rate = 60 * self._played / elapsed
        # "simulator: physics" is a share of "simulator", not a part beside it.
        total = max(sum(value for part, value in self._seconds.items() if ": " not in part), 1e-9)
        parts = sorted(self._seconds.items(), key=lambda item: -item[1])
        shares = ", ".join(f"{part} {seconds:.1f} s ({100 * seconds / total:.0f} %)" for part, seconds in parts)
        return [
            f"{self._played} episodes played in {elapsed:.1f} s ({rate:.1f} episodes/min), {self._failed} failed",
            f"time of the workers by part: {shares}",
        ]

    def _line(self, task: str) -> str:
        kept, wanted = sum(self._kept.values()), sum(self._wanted.values())
        rate = self._played / max(time.monotonic() - self._started, 1e-9)
        succeeded = max(1 - self._failed / self._played, 0.01)
        left = (wanted - kept) / (rate * succeeded)
        return (
            f"{task} {self._kept[task]}/{self._wanted[task]}, all {kept}/{wanted}, "
            f"{60 * rate:.1f} episodes/min, about {left / 60:.0f} min left"
        )
