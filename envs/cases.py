"""Explains the failures of a whole record: in processes, with progress, as a table and a file."""

import json
import multiprocessing
import signal
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from envs import findings
from envs.failures import explain
from envs.findings import CATEGORIES, UNEXPLAINED, Finding
from envs.inherit import FIXED_HASHING, inherited
from envs.spec import Episode, InputError, SimulatorError
from envs.stretch import POSITION_M, ROTATION_DEG
from envs.suite import Suite
from envs.video import EpisodeVideo
from results.records import EpisodeRecord, Run
from results.tables import markdown_table, percent

_LINE_EVERY_S = 10.0
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
_CATEGORY_TEXT = {
    findings.POSITION: "the decisive action was off in position",
    findings.ROTATION: "likewise in rotation",
    findings.GRIPPER: "opened, closed, or did neither, at the wrong time",
    findings.OBJECT: "gripped, or aimed at, another object or place than the one asked for",
    findings.ORDER: "a later keyframe was played before its turn, or one was left out",
    findings.PLANNER: "the first thing to go wrong was a pose that the arm cannot reach",
    findings.SLIP: "the action was like the expert's, but the grasp was lost, or an object pushed aside or toppled",
    findings.STEPS: "the next milestone was never tried",
    findings.UNEXPLAINED: "none of these",
}


@dataclass(frozen=True)
class Case:
    """One failed episode.

    Attributes:
        id: Episode id.
        task: Task name.
        failure: What the record says.
        finding: Why it failed; None when it did not end as recorded, and so cannot be explained.
        video: Path of its video relative to the result; None without one.
    """

    id: str
    task: str
    failure: str | None
    finding: Finding | None
    video: str | None = None


@dataclass(frozen=True)
class Diagnosis:
    """All that was found.

    Attributes:
        run: The record.
        tasks: Task -> episodes, failures, errors among those chosen, in the record's order.
        cases: Explained failures, in the record's order.
        complete: Every failure was looked at.
    """

    run: Run
    tasks: dict[str, tuple[int, int, int]]
    cases: tuple[Case, ...]
    complete: bool

    def table(self) -> str:
        """Counts and shares of each category by task, as Markdown."""
        shown = [name for name in CATEGORIES if any(_category(case) == name for case in self.cases)]
        rows = [
            self._row(task.replace("_", " "), [case for case in self.cases if case.task == task], *counts[:2], shown)
            for task, counts in self.tasks.items()
        ]
        if len(rows) > 1:
            episodes, failed = (sum(counts[k] for counts in self.tasks.values()) for k in (0, 1))
            rows.append(self._row("all", list(self.cases), episodes, failed, shown))
        return markdown_table(["task", "failed", "explained", *shown], rows)

    def summary(self) -> list[str]:
        """The table, and what is not in it, line by line."""
        lines = self.table().splitlines()
        departed = [case.id for case in self.cases if case.finding is None]
        if departed:
            lines.append(f"{len(departed)} did not end as recorded and are not explained: {', '.join(departed)}")
        errors = sum(counts[2] for counts in self.tasks.values())
        if errors:
            lines.append(f"{errors} ended in an error and are left out")
        if not self.complete:
            lines.append(
                f"interrupted: {len(self.cases)} of {sum(c[1] for c in self.tasks.values())} failures looked at"
            )
        return lines

    @staticmethod
    def _row(label: str, cases: list[Case], episodes: int, failed: int, shown: Sequence[str]) -> list[str]:
        counts = Counter(_category(case) for case in cases)
        explained = sum(counts[name] for name in CATEGORIES)
        cells = [f"{counts[name]} ({percent(counts[name] / explained)} %)" if counts[name] else "–" for name in shown]
        return [label, f"{failed}/{episodes}", f"{explained}/{failed}", *cells]


def diagnose_run(
    run: Run,
    suite: Suite,
    chosen: Sequence[EpisodeRecord],
    failed: Sequence[EpisodeRecord],
    workers: int,
    console: Console,
    videos: tuple[Path, int] | None = None,
) -> Diagnosis:
    """Explains failed episodes. Ctrl-C ends it early; what was found by then is returned.

    Args:
        run: The record.
        suite: Its suite.
        chosen: Episodes that the table counts.
        failed: Those to explain, with their actions.
        workers: Number of processes.
        console: Where progress is shown.
        videos: Folder, and number of videos a task; None for none.

    Raises:
        InputError: The suite has no expert keyframes.
        SimulatorError: A simulator broke, or its process died.
    """
    sim = run.header.sim
    _check_offered(suite, sim)
    counts = {
        task: (
            sum(record.task == task for record in chosen),
            sum(record.task == task for record in failed),
            sum(record.task == task and record.outcome == "error" for record in chosen),
        )
        for task in dict.fromkeys(record.task for record in chosen)
    }
    cases: dict[str, Case] = {}
    filmed: Counter[str] = Counter()
    complete, began, last = False, time.monotonic(), time.monotonic()
    with inherited(_ONE_THREAD | FIXED_HASHING):
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(
            workers, context, initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN)
        )
        try:
            futures: list[Future[Case]] = []
            for record in failed:
                folder = videos[0] if videos is not None and filmed[record.task] < videos[1] else None
                filmed[record.task] += 1
                futures.append(pool.submit(_explain_episode, suite, sim, record, folder))
            for future in as_completed(futures):
                case = future.result()
                cases[case.id] = case
                if time.monotonic() - last > _LINE_EVERY_S:
                    last = time.monotonic()
                    left = (last - began) / len(cases) * (len(failed) - len(cases))
                    console.print(f"{len(cases)}/{len(failed)} failures · {left:.0f} s left", markup=False)
            complete = True
        except KeyboardInterrupt:
            pass
        except BrokenProcessPool as error:
            raise SimulatorError(f"a worker died after {len(cases)} of {len(failed)} failures: start again") from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    ordered = tuple(cases[record.id] for record in failed if record.id in cases)
    return Diagnosis(run, counts, ordered, complete)


def write_json(diagnosis: Diagnosis, path: Path) -> None:
    """Writes everything that was found."""
    header = diagnosis.run.header
    data: dict[str, Any] = {
        "record": diagnosis.run.path.name,
        "suite": header.suite,
        "sim": header.sim,
        "policy": header.policy.name,
        "protocol_hash": header.protocol_hash,
        "checkpoint_sha256": header.policy.checkpoint_sha256,
        "complete": diagnosis.complete,
        "tolerances": {"position_m": POSITION_M, "rotation_deg": ROTATION_DEG},
        "tasks": {
            task: dict(zip(("episodes", "failures", "errors"), counts, strict=True))
            for task, counts in diagnosis.tasks.items()
        },
        "cases": [asdict(case) for case in diagnosis.cases],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n")


def write_markdown(diagnosis: Diagnosis, path: Path) -> None:
    """Writes the table with the meaning of its columns."""
    header = diagnosis.run.header
    meanings = "\n".join(f"- **{name}**: {text}." for name, text in _CATEGORY_TEXT.items())
    notes = "".join(f"\n{line}.\n" for line in diagnosis.summary() if not line.startswith("|"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"# Why episodes failed: {header.policy.name} on {header.suite} ({header.sim})\n\n"
        f"Made by `python -m envs.diagnose` from the record `{diagnosis.run.path.name}` (protocol "
        f"`{header.protocol_hash}`); not edited by hand. Counts of failed episodes, and shares of those explained. "
        "Each is explained by the first milestone of the expert's way that it missed, and the action that missed it; "
        f"the rules are in `envs/failures.py`.\n\n{diagnosis.table()}{notes}\n{meanings}\n"
    )


def _category(case: Case) -> str | None:
    return None if case.finding is None else case.finding.category


def _check_offered(suite: Suite, sim: str) -> None:
    adapter = import_module(suite.adapter.split(":")[0])
    if sim not in getattr(adapter, "TRACED", ()):
        raise InputError(
            f"suite {suite.name!r} on {sim!r} has no expert keyframes to compare with: give a record of the embedded "
            "rlbench18 (--sim mujoco)."
        )


_tracer: Any = None  # of this process, with its task: building one takes a second
_tracer_task: str | None = None


def _explain_episode(suite: Suite, sim: str, record: EpisodeRecord, videos: Path | None) -> Case:
    """Runs in a worker."""
    global _tracer, _tracer_task
    if record.task != _tracer_task:
        if _tracer is not None:
            _tracer.close()
        _tracer = import_module(suite.adapter.split(":")[0]).make_tracer(suite, record.task, sim)
        _tracer_task = record.task
    episode = Episode(suite.name, record.task, record.variation, record.seed)
    actions = [np.array(action) for action in record.actions]
    video = EpisodeVideo(videos, episode) if videos is not None else None
    try:
        play = _tracer.play(episode, actions, video.add if video else None)
    except BaseException:
        if video:
            video.discard()
        raise
    again = len(play.steps) == len(actions) and not any(step.success for step in play.steps)
    again = again and sum(step.planner for step in play.steps) == record.planner_failures
    finding = None
    if again:
        reference = _tracer.reference(episode)
        if reference is None:
            finding = Finding(UNEXPLAINED, "the expert does not solve this episode either")
        else:
            finding = explain(play, reference, lambda other: _tracer.play(episode, other), record.failure)
    path = video.finish((finding.category if finding else "departed").replace(" ", "_")) if video else None
    return Case(record.id, record.task, record.failure, finding, f"{path.parent.name}/{path.name}" if path else None)
