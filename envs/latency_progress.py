"""What a person sees while policies are timed: a bar on a terminal, a line every ten seconds elsewhere."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from envs.timing import Progress as Tell

_LINE_EVERY_S = 10.0


class LatencyProgress:
    """Use as a context manager; hand `of(...)` to `envs.timing.Timing.run`. It is told between rounds, so not timed.

    Args:
        console: Where to print.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, soft_wrap=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        # No thread of its own: it would draw in the middle of a call.
        self._bar = Progress(*columns, console=self._console, auto_refresh=False, transient=True)
        self._last = 0.0

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._bar.stop()

    def of(self, what: str) -> Tell:
        """The callback for the rounds of something."""
        shown: dict[str, object] = {"phase": None}

        def tell(phase: str, done: int, total: int) -> None:
            new = phase != shown["phase"]
            if self._console.is_terminal and new:
                shown["task"] = self._bar.add_task(f"{what}, {phase}", total=total)
            shown["phase"] = phase
            now = time.monotonic()
            if self._console.is_terminal:
                self._bar.update(shown["task"], completed=done)  # type: ignore[arg-type]
                if new or now - self._last > 0.2:
                    self._last = now
                    self._bar.refresh()
            elif now - self._last > _LINE_EVERY_S:
                self._last = now
                self._console.print(f"{what}, {phase}: round {done} of {total}", markup=False)

        return tell
