"""Writes expert demonstrations of a suite as a LeRobot dataset.

    python -m train.demos --suite rlbench18 --per-task 100

Each task's scripted expert plays the training episodes in order until it has succeeded often enough; failures are
left out and counted. The result is a function of the settings, whatever the number of workers, and a run that was
interrupted goes on where it stopped.
"""

import json
import multiprocessing
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import tyro

from envs.inherit import FIXED_HASHING, inherited
from envs.spec import InputError, SimulatorError
from envs.suite import load_suite
from train import demo_episodes
from train.demo_episodes import Outcome, PlaySettings
from train.demo_progress import DemoProgress
from train.lerobot.dataset import EncodedEpisode, Features
from train.lerobot.write import write_dataset


class ExpertError(RuntimeError):
    """A task's expert fails too often for the task to be sound."""


@dataclass(frozen=True)
class DemoConfig:
    """Settings of a collection.

    Attributes:
        suite: Suite name, or path of its file.
        per_task: Successful episodes a task.
        tasks: Tasks; all of the suite when empty.
        seeds: Seed block. Test seeds are never offered.
        intermediate: Extra observations during each keyframe motion, with that keyframe as their action.
        disturb: Standard deviation, in cm, by which the hand misses keyframes on the way (and turns by some degrees);
            the frames keep the keyframes as actions. An episode that fails so is tried with less, at last with none.
        stray: Standard deviation, in cm, of where the hand goes astray for some ticks, under dense control; the frames
            keep what the expert would do.
        workers: Simulator processes.
        sim: Simulator back end; the suite's default when left out.
        out: Folder of the dataset; data/<suite> when left out.
        resume: Go on with the episodes that are staged in the folder; otherwise play all of them again.
    """

    suite: str
    per_task: int = 100
    tasks: tuple[str, ...] = ()
    seeds: Literal["train", "validation"] = "train"
    intermediate: int = 0
    disturb: float = 0.0
    stray: float = 0.0
    workers: int = 2
    sim: str | None = None
    out: Path | None = None
    resume: bool = True


@dataclass
class _Task:
    """Progress of one task. Episodes are started in order, and only while every one of them is surely needed."""

    name: str
    wanted: int
    started: int = 0
    kept: list[int] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def needs_another(self) -> bool:
        running = self.started - len(self.kept) - len(self.failures)
        return len(self.kept) + running < self.wanted

    def note(self, outcome: Outcome) -> None:
        """Takes in a finished episode.

        Raises:
            ExpertError: More failures than a sound task has.
        """
        if outcome.failure is None:
            self.kept.append(outcome.index)
            return
        self.failures.append(outcome.failure)
        if len(self.failures) > 10 + self.wanted:  # a planner that solves every second episode still serves
            reasons = "; ".join(f"{reason} ({n} times)" for reason, n in Counter(self.failures).most_common(3))
            raise ExpertError(
                f"the expert of {self.name} failed in {len(self.failures)} of {self.started} episodes: {reasons}. "
                "Mend the task, or leave it out with --tasks."
            )


def collect(config: DemoConfig) -> dict[str, Any]:
    """Plays, stages and writes; returns what `meta/collection.json` of the dataset holds.

    Raises:
        InputError: Impossible settings, or a folder that holds something else. Nothing has been written.
        ExpertError: The expert of a task fails too often.
        SimulatorError: The simulator broke twice in one episode, or its process died. Finished episodes are kept.
        KeyboardInterrupt: The user stopped it. Finished episodes are kept.
    """
    suite = load_suite(config.suite)
    names = list(dict.fromkeys(config.tasks)) or list(suite.tasks)
    suite.check_tasks(names)
    for option, value, least in (("per-task", config.per_task, 1), ("workers", config.workers, 1)):
        if value < least:
            raise InputError(f"--{option} must be at least {least}, got {value}.")
    if config.intermediate < 0:
        raise InputError(f"--intermediate must not be negative, got {config.intermediate}.")
    out = config.out or Path("data") / suite.name
    if (out / "meta").exists() and not (out / "meta/collection.json").is_file():
        raise InputError(f"{out} holds a dataset that was not written by this command; choose another --out.")

    for name in ("disturb", "stray"):
        if getattr(config, name) < 0:
            raise InputError(f"--{name} must not be negative, got {getattr(config, name)}.")
    settings = PlaySettings(config.suite, config.sim, config.seeds, config.intermediate, config.disturb, config.stray)
    tasks = [_Task(name, config.per_task) for name in names]
    context = multiprocessing.get_context("spawn")  # a fork would inherit GL state
    # The pool starts its processes when there is work for them, so any time within.
    with (
        inherited(FIXED_HASHING),
        ProcessPoolExecutor(config.workers, context, demo_episodes.start_worker) as pool,
    ):
        try:
            facts = pool.submit(demo_episodes.describe, settings, names[0]).result()
            staging = _staging_folder(out, facts, config.resume)
            features = _features(facts)
            with DemoProgress({task.name: task.wanted for task in tasks}) as progress:
                for outcome, replayed in _outcomes(pool, settings, staging, features, tasks, config.workers):
                    progress.advance(outcome, replayed)
        except BrokenProcessPool as error:
            raise SimulatorError("a simulator process died; the same command goes on where it stopped.") from error
        finally:
            # Running episodes are finished and staged; those that wait in the queue are dropped.
            pool.shutdown(wait=True, cancel_futures=True)
    return _write(out, staging, facts, tasks, progress)


def _outcomes(
    pool: ProcessPoolExecutor, settings: PlaySettings, staging: Path, features: Features, tasks: list[_Task], slots: int
) -> Iterator[tuple[Outcome, bool]]:
    """Keeps the workers busy and yields outcomes as they come; the flag tells those of an earlier run."""
    running: dict[Future[Outcome], _Task] = {}
    while True:
        while len(running) < slots and (task := next((task for task in tasks if task.needs_another), None)):
            index = task.started
            task.started += 1
            earlier = demo_episodes.staged_outcome(staging, task.name, index)
            if earlier is None:
                running[pool.submit(demo_episodes.play, settings, staging, features, task.name, index)] = task
            else:
                task.note(earlier)
                yield earlier, True
        if not running:
            return
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            outcome = future.result()
            running.pop(future).note(outcome)
            yield outcome, False


def _features(facts: dict[str, Any]) -> Features:
    values: dict[str, Any] = facts["features"]
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return Features(**values)


def _staging_folder(out: Path, facts: dict[str, Any], resume: bool) -> Path:
    """Opens the staging folder; refuses one whose episodes were played under other facts."""
    staging = out / "staging"
    known = staging / "settings.json"
    if not resume and staging.exists():
        shutil.rmtree(staging)
    if known.is_file():
        before = json.loads(known.read_text())
        differing = [name for name in facts if before.get(name) != facts[name]]
        if differing:
            raise InputError(
                f"{staging} holds episodes with another {' and '.join(differing)}; "
                "choose another --out, or --no-resume to play all episodes again."
            )
    else:
        staging.mkdir(parents=True, exist_ok=True)
        known.write_text(json.dumps(facts, indent=2) + "\n")
    return staging


def _write(
    out: Path, staging: Path, facts: dict[str, Any], tasks: list[_Task], progress: DemoProgress
) -> dict[str, Any]:
    """Writes the dataset beside the old one, then puts it in its place."""

    def episodes() -> Iterator[EncodedEpisode]:
        for task in tasks:
            for index in sorted(task.kept):
                yield demo_episodes.read_staged(demo_episodes.staged_path(staging, task.name, index))

    partial = out / "partial"
    shutil.rmtree(partial, ignore_errors=True)
    episode_count, frames = write_dataset(partial, _features(facts), episodes())
    attempts = {task.name: {"played": task.started, "kept": len(task.kept)} for task in tasks}
    collection = facts | {"episodes": episode_count, "frames": frames, "tasks": attempts}
    (partial / "meta/collection.json").write_text(json.dumps(collection, indent=2) + "\n")
    # Without meta/ readers see an unfinished dataset, never a mixture of two.
    for name in ("meta", "data"):
        shutil.rmtree(out / name, ignore_errors=True)
    for name in ("data", "meta"):
        (partial / name).rename(out / name)
    partial.rmdir()
    for line in progress.summary():
        print(line)
    for task in tasks:
        if task.failures:
            reason, n = Counter(task.failures).most_common(1)[0]
            print(f"{task.name}: {len(task.failures)} of {task.started} episodes failed ({n}: {reason})")
    print(f"{episode_count} episodes, {frames} frames in {out}. {staging} can go; with it the dataset can grow.")
    return collection


def main() -> int:
    """Command line; returns the exit code: 0, 1 (expert or simulator), 2 (input), 130 (interrupted)."""
    config = tyro.cli(DemoConfig, description=__doc__, prog="python -m train.demos")
    try:
        collect(config)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (ExpertError, SimulatorError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where it stopped.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
