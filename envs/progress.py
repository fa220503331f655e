"""What a person sees of a run: progress while it goes, a table at its end."""

import sys
import time
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from results.records import EpisodeRecord, Header, Run, percentiles

_LINE_EVERY_S = 10.0
_PIPE_COLUMNS = 140


def rate_text(records: Sequence[EpisodeRecord]) -> str:
    """Success rate with its 95 % Wilson interval, in percent; errors count as failures."""
    # Here, not above: each worker process imports this file with the CLI, and scipy takes a second.
    from results.stats import wilson

    if not records:
        return "-"
    successes = sum(record.outcome == "success" for record in records)
    low, high = wilson(successes, len(records))
    return f"{100 * successes / len(records):.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def duration_text(seconds: float) -> str:
    """A duration as h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


class ConsoleReporter:
    """Shows a bar on a terminal, a line every ten seconds elsewhere.

    Args:
        title: Line printed before the run, without the facts that are known only when it starts.
        workers: Number of worker processes.
        console: Where to print.
    """

    def __init__(self, title: str, workers: int, console: Console | None = None) -> None:
        self._title, self._workers = title, workers
        # In a file or pipe rich assumes 80 columns and would cut the table's cells.
        width = None if sys.stdout.isatty() else _PIPE_COLUMNS
        self.console = console or Console(file=sys.stdout, highlight=False, soft_wrap=True, width=width)
        self._bar: Progress | None = None
        self._records: list[EpisodeRecord] = []
        self._total = self._earlier = 0
        self._began = self._last_line = time.monotonic()

    def start(self, header: Header, done: tuple[EpisodeRecord, ...]) -> None:
        """Prints what is about to run."""
        self._records, self._total, self._earlier = list(done), len(header.planned), len(done)
        self._began = self._last_line = time.monotonic()
        plural = "" if self._workers == 1 else "s"
        self.console.print(
            f"{self._title} · protocol {header.protocol_hash} ({header.sim}) · policy {header.policy.name} · "
            f"{self._total} episodes · {self._workers} worker{plural}",
            markup=False,
        )
        if done:
            self.console.print(f"resuming: {len(done)} of {self._total} episodes are done", markup=False)
        if self.console.is_terminal:
            columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
            self._bar = Progress(*columns, console=self.console)
            self._bar.add_task("", total=self._total, completed=len(done))
            self._bar.start()

    def episode(self, record: EpisodeRecord) -> None:
        """Updates the bar, or prints a line when the last one is old."""
        self._records.append(record)
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], advance=1, description=self._status())
        elif time.monotonic() - self._last_line > _LINE_EVERY_S:
            self._last_line = time.monotonic()
            self.console.print(f"{len(self._records)}/{self._total} episodes · {self._status()}", markup=False)

    def close(self) -> None:
        """Takes the bar down. Safe to call twice."""
        if self._bar is not None:
            self._bar.stop()

    def _status(self) -> str:
        played = len(self._records) - self._earlier
        left = (time.monotonic() - self._began) / played * (self._total - len(self._records))
        errors = sum(record.outcome == "error" for record in self._records)
        listed = f" · errors {errors}" if errors else ""
        return f"success {rate_text(self._records)}{listed} · {duration_text(left)} left"


def print_summary(run: Run, console: Console) -> None:
    """A table by task, the errors with their messages, and the record's path."""
    table = Table(box=None, pad_edge=False)
    table.add_column("task", no_wrap=True)
    for name in ("n", "success", "failures", "planner", "errors", "call p50"):
        table.add_column(name, justify="right", no_wrap=True)
    by_task: dict[str, list[EpisodeRecord]] = {}
    for record in run.episodes:
        by_task.setdefault(record.task, []).append(record)
    for task, records in by_task.items():
        table.add_row(task, *_cells(records))
    if len(by_task) > 1:
        table.add_section()
        table.add_row(f"all {len(by_task)} tasks", *_cells(run.episodes))
    console.print(table)
    for record in run.episodes:
        if record.outcome == "error":
            console.print(f"error in {record.id} (counted as a failure): {record.error}", markup=False)
    console.print(f"record: {run.path}", markup=False)


def _cells(records: Sequence[EpisodeRecord]) -> tuple[str, ...]:
    warm = percentiles(ms for record in records for ms in record.latency.ms)
    return (
        str(len(records)),
        rate_text(records),
        str(sum(record.outcome == "failure" for record in records)),
        str(sum(record.planner_failures for record in records)),
        str(sum(record.outcome == "error" for record in records)),
        f"{warm['p50']:.1f} ms" if warm else "-",
    )
