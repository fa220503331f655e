"""Runs an evaluation for a person at a console: shows how it goes, and lets Ctrl-C end it without losing anything."""

import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from rich.console import Console

from envs.progress import ConsoleReporter
from envs.runner import Evaluation, EvaluationPlan
from envs.spec import InputError, SimulatorError
from results.records import Run


def record_path(out: Path | None, suite: str, policy: str) -> Path:
    """Where a run's record goes: `out`, or runs/<suite>/<policy>/<UTC time>.jsonl.

    Raises:
        InputError: `out` is not a .jsonl file's name.
    """
    if out is None:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        return Path("runs") / suite / re.sub(r"[^\w.-]+", "_", policy) / f"{stamp}.jsonl"
    if out.suffix != ".jsonl":
        raise InputError(f"--out must end in .jsonl, got {out}.")
    return out


def videos_folder(record: Path) -> Path:
    """Where the videos of a run's episodes go."""
    return record.parent / f"{record.stem}_videos"


def run_in_console(plan: EvaluationPlan) -> tuple[Run | None, bool, Console]:
    """Plays an evaluation's missing episodes.

    Returns:
        The record (None when nothing was written), whether the run was interrupted, and the console that was used.

    Raises:
        InputError: The plan cannot be run.
    """
    suite = plan.worker.suite
    title = suite.title
    if len(plan.tasks) < suite.full_task_count:
        title += f" · {len(plan.tasks)} of {suite.full_task_count} tasks"
    evaluation = Evaluation(plan)
    reporter = ConsoleReporter(title, plan.workers)
    run, interrupted = None, False
    try:
        with _interrupts(evaluation) as interrupts:
            run = evaluation.run(reporter)
            interrupted = bool(interrupts) and (run is None or bool(run.missing))
    except KeyboardInterrupt:
        interrupted = True
    finally:
        reporter.close()
    return run, interrupted, reporter.console


def exit_code(command: Callable[[], int]) -> int:
    """A command's exit code; 2 for a mistake in the input and 1 for a simulator that failed, each told in one line."""
    try:
        return command()
    except (InputError, SimulatorError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1


@contextmanager
def _interrupts(evaluation: Evaluation) -> Iterator[list[int]]:
    """Ctrl-C and SIGTERM: the first lets episodes under way end, the second ends at once. Yields those received."""
    received: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        received.append(number)
        under_way = evaluation.stop()
        if len(received) > 1 or not evaluation.playing:
            raise KeyboardInterrupt
        print(f"\nstopping after {under_way} episode(s) under way; once more to stop at once", file=sys.stderr)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
