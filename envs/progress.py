"""What a person sees of a run: progress while it goes, a table at its end."""

import sys
import time
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from results.records import EpisodeRecord, Header, Run, percentiles

_LINE_EVERY_S = 10.0
_PIPE_COLUMNS = 140


def rate_text(records: Sequence[EpisodeRecord]) -> str:
    """Success rate with its 95 % Wilson interval, in percent; errors count as failures."""
    # Here, not above: each worker process imports this file with the CLI, and scipy takes a second.
    from results.rates import rate_of

    if not records:
        return "-"
    rate = rate_of(records)
    low, high = rate.interval()
    return f"{100 * rate.value:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def duration_text(seconds: float) -> str:
    """A duration as h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


class Meter:
    """Shows how far something is: a bar on a terminal, a line every ten seconds elsewhere.

    Args:
        console: Where to print; by default standard output.
    """

    def __init__(self, console: Console | None = None) -> None:
        # In a file or pipe rich assumes 80 columns and would cut the table's cells.
        width = None if sys.stdout.isatty() else _PIPE_COLUMNS
        self.console = console or Console(file=sys.stdout, highlight=False, soft_wrap=True, width=width)
        self._bar: Progress | None = None
        self._total = self._done = self._earlier = 0
        self._began = self._last_line = time.monotonic()

    def start(self, total: int, done: int) -> None:
        """Begins with some of the episodes done."""
        self._total, self._done, self._earlier = total, done, done
        self._began = self._last_line = time.monotonic()
        if self.console.is_terminal:
            columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
            self._bar = Progress(*columns, console=self.console)
            self._bar.add_task("", total=total, completed=done)
            self._bar.start()

    def advance(self, status: Callable[[], str]) -> None:
        """One episode more; updates the bar, or prints a line when the last one is old."""
        self._done += 1
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], advance=1, description=status())
        elif time.monotonic() - self._last_line > _LINE_EVERY_S:
            self._last_line = time.monotonic()
            self.console.print(f"{self._done}/{self._total} episodes · {status()}", markup=False)

    @property
    def left(self) -> str:
        """Time that the rest will take, from how long those since the start took."""
        each = (time.monotonic() - self._began) / (self._done - self._earlier)
        return duration_text(each * (self._total - self._done))

    def close(self) -> None:
        """Takes the bar down. Safe to call twice."""
        if self._bar is not None:
            self._bar.stop()


class ConsoleReporter:
    """Shows how an evaluation goes.

    Args:
        title: Line printed before the run, without the facts that are known only when it starts.
        workers: Number of worker processes.
        console: Where to print.
    """

    def __init__(self, title: str, workers: int, console: Console | None = None) -> None:
        self._title, self._workers = title, workers
        self._meter = Meter(console)
        self._records: list[EpisodeRecord] = []

    @property
    def console(self) -> Console:
        """Where it prints."""
        return self._meter.console

    def start(self, header: Header, done: tuple[EpisodeRecord, ...]) -> None:
        """Prints what is about to run."""
        self._records, total = list(done), len(header.planned)
        self.console.print(
            f"{self._title} · protocol {header.protocol_hash} ({header.sim}) · policy {header.policy.name} · "
            f"{total} episodes · {_counted(self._workers, 'worker')}",
            markup=False,
        )
        if done:
            self.console.print(f"resuming: {len(done)} of {total} episodes are done", markup=False)
        self._meter.start(total, len(done))

    def episode(self, record: EpisodeRecord) -> None:
        """Shows the new state."""
        self._records.append(record)
        self._meter.advance(
            lambda: f"success {rate_text(self._records)}{_errors(self._records)} · {self._meter.left} left"
        )

    def close(self) -> None:
        """Takes the bar down. Safe to call twice."""
        self._meter.close()


class VersusReporter:
    """Shows how two policies play the same episodes, round by round, until it is decided which is better.

    Args:
        title: Line printed before the run, without the facts that are known only when it starts.
        policies: Their names.
        tasks: Number of tasks, and so of the episodes of a round.
        workers: Number of worker processes.
        console: Where to print.

    Attributes:
        sides: The reporters of the policies' evaluations, in the order of their names.
    """

    def __init__(
        self, title: str, policies: Sequence[str], tasks: int, workers: int, console: Console | None = None
    ) -> None:
        self._title, self._tasks, self._workers = title, tasks, workers
        self._meter = Meter(console)
        self.sides = tuple(_Side(policy, self) for policy in policies)

    @property
    def console(self) -> Console:
        """Where it prints."""
        return self._meter.console

    def start(self) -> None:
        """Prints what is about to run, when the last policy is ready."""
        headers = [side.header for side in self.sides if side.header is not None]
        if len(headers) < len(self.sides):
            return
        header, names = headers[0], " vs ".join(side.policy for side in self.sides)
        self._most = len(header.planned)
        self.console.print(
            f"{self._title} · protocol {header.protocol_hash} ({header.sim}) · {names} · at most "
            f"{self._most // self._tasks} rounds of {_counted(self._tasks, 'episode')} · "
            f"{_counted(self._workers, 'worker')}",
            markup=False,
        )
        done = [len(side.records) for side in self.sides]
        if any(done):
            told = ", ".join(f"{count} of {side.policy}" for count, side in zip(done, self.sides, strict=True))
            self.console.print(f"resuming: of at most {self._most} episodes each, {told} are done", markup=False)
        self._meter.start(len(headers) * self._most, sum(done))

    def episode(self) -> None:
        """Shows the new state."""
        self._meter.advance(self._status)

    def close(self) -> None:
        """Takes the bar down. Safe to call twice."""
        self._meter.close()

    def _status(self) -> str:
        rounds = min(len(side.records) for side in self.sides) // self._tasks
        rates = [f"{side.policy} {rate_text(side.records)}{_errors(side.records)}" for side in self.sides]
        parts = [f"{rounds} of at most {self._most // self._tasks} rounds", *rates, f"at most {self._meter.left} left"]
        return " · ".join(parts)


class _Side:
    """The reporter of one of two policies."""

    def __init__(self, policy: str, shown: VersusReporter) -> None:
        self.policy, self._shown = policy, shown
        self.header: Header | None = None
        self.records: list[EpisodeRecord] = []

    def start(self, header: Header, done: tuple[EpisodeRecord, ...]) -> None:
        """See `Reporter.start`."""
        self.header, self.records = header, list(done)
        self._shown.start()

    def episode(self, record: EpisodeRecord) -> None:
        """See `Reporter.episode`."""
        self.records.append(record)
        self._shown.episode()


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
    print_errors(run, console)
    console.print(f"record: {run.path}", markup=False)


def print_errors(run: Run, console: Console, policy: str | None = None) -> None:
    """The errors with their messages; `policy` says whose, where there are several."""
    for record in run.episodes:
        if record.outcome == "error":
            of = f" of {policy}" if policy else ""
            console.print(f"error in {record.id}{of} (counted as a failure): {record.error}", markup=False)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _errors(records: Sequence[EpisodeRecord]) -> str:
    errors = sum(record.outcome == "error" for record in records)
    return f" · errors {errors}" if errors else ""


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
