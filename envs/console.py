"""Runs an evaluation for a person at a console: shows how it goes, and lets Ctrl-C end it without losing anything."""

import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Protocol, TypeVar

from rich.console import Console

from envs.progress import ConsoleReporter
from envs.runner import Evaluation, EvaluationPlan
from envs.spec import InputError, SimulatorError
from results.records import Run

T = TypeVar("T")


class Stoppable(Protocol):
    """Something that plays episodes, such as an `Evaluation`."""

    @property
    def playing(self) -> bool:
        """False while policies and simulators are built: there is nothing to wait for then."""

    def stop(self) -> int:
        """Starts no further episodes; those under way end normally. Returns their number."""


def record_path(out: Path | None, suite: str, policy: str) -> Path:
    """Where a run's record goes: `out`, or runs/<suite>/<policy>/<UTC time>.jsonl.

    Raises:
        InputError: `out` is not a .jsonl file's name.
    """
    if out is None:
        return Path("runs") / suite / file_name(policy) / f"{_stamp()}.jsonl"
    if out.suffix != ".jsonl":
        raise InputError(f"--out must end in .jsonl, got {out}.")
    return out


def versus_paths(out: Path | None, suite: str, policies: Sequence[str]) -> list[Path]:
    """Where the records of policies that are played against each other go: <policy>.jsonl in a folder.

    The folder is `out`, or runs/<suite>/<first>_vs_<second>/<UTC time>.

    Raises:
        InputError: `out` is a file or looks like one, or two policies' files would have the same name.
    """
    names = [file_name(policy) for policy in policies]
    if len(set(names)) < len(names):
        raise InputError(
            f"{' and '.join(policies)} would both write {names[0]}.jsonl: play them one by one with --policy, and "
            "compare their records with results.compare."
        )
    folder = out or Path("runs") / suite / "_vs_".join(names) / _stamp()
    if folder.suffix == ".jsonl" or folder.is_file():
        raise InputError(f"with --until, --out is the folder of both records, not a file, got {out}.")
    return [folder / f"{name}.jsonl" for name in names]


def file_name(policy: str) -> str:
    """What a policy, or another word of a command, is called in paths."""
    return re.sub(r"[^\w.-]+", "_", policy)


def _stamp() -> str:
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")


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
    evaluation = Evaluation(plan)
    reporter = ConsoleReporter(title(plan), plan.workers)
    try:
        run, stopped = interruptible(evaluation, lambda: evaluation.run(reporter))
    finally:
        reporter.close()
    return run, stopped and (run is None or bool(run.missing)), reporter.console


def title(plan: EvaluationPlan) -> str:
    """The suite's title, and how much of it is played."""
    suite = plan.worker.suite
    if len(plan.tasks) == suite.full_task_count:
        return suite.title
    return f"{suite.title} · {len(plan.tasks)} of {suite.full_task_count} tasks"


def interruptible(work: Stoppable, run: Callable[[], T]) -> tuple[T | None, bool]:
    """Runs something that Ctrl-C or SIGTERM may stop.

    Args:
        work: What they stop: the first lets episodes under way end, the second ends at once.
        run: Plays it.

    Returns:
        What `run` returned, None when it was ended at once; and whether there was an interrupt.
    """
    try:
        with _interrupts(work) as received:
            result = run()
    except KeyboardInterrupt:
        return None, True
    return result, bool(received)


def exit_code(command: Callable[[], int]) -> int:
    """A command's exit code; 2 for a mistake in the input and 1 for a simulator that failed, each told in one line."""
    try:
        return command()
    except (InputError, SimulatorError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1


@contextmanager
def _interrupts(work: Stoppable) -> Iterator[list[int]]:
    """Ctrl-C and SIGTERM: the first lets episodes under way end, the second ends at once. Yields those received."""
    received: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        received.append(number)
        under_way = work.stop()
        if len(received) > 1 or not work.playing:
            raise KeyboardInterrupt
        print(f"\nstopping after {under_way} episode(s) under way; once more to stop at once", file=sys.stderr)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
