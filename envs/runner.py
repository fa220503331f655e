"""Runs an evaluation: checks it, plays what is missing, and appends every result to the record as it ends."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol

from envs.latency_sources import MeasuredLatency, check_covers
from envs.pool import WorkerPool
from envs.spec import Episode, InputError
from envs.suite import protocol_hash
from envs.worker import Prepared, WorkerPlan
from results.provenance import circumstances
from results.record_writer import RecordWriter
from results.records import EpisodeRecord, Header, PolicyFacts, RecordError, Run, read_run, timed_as


@dataclass(frozen=True)
class EvaluationPlan:
    """An evaluation, resolved.

    Attributes:
        worker: Suite, simulator, policy: what each worker needs.
        episodes: What to play, in order, grouped by task.
        seed_block: Name of the seed block that the episodes are from.
        out: Path of the record.
        workers: Number of processes; changes no result.
        resume: Go on with the record at `out`, if there is one.
        config: The configuration as the user gave it, for the record.
    """

    worker: WorkerPlan
    episodes: tuple[Episode, ...]
    seed_block: str
    out: Path
    workers: int = 1
    resume: bool = False
    config: dict[str, Any] = field(default_factory=dict)

    @property
    def tasks(self) -> tuple[str, ...]:
        """The episodes' tasks, in order."""
        return tuple(dict.fromkeys(episode.task for episode in self.episodes))


class Reporter(Protocol):
    """Is told how a run goes."""

    def start(self, header: Header, done: tuple[EpisodeRecord, ...]) -> None:
        """Everything is checked and ready; `done` are the episodes of an earlier, interrupted part of the run."""

    def episode(self, record: EpisodeRecord) -> None:
        """An episode has ended and is on disk."""


class Evaluation:
    """One evaluation run. `stop` may be called at any time, also from a signal handler.

    `run` does all of it. Who decides as it goes what is played next calls `open`, `play` as often as needed, `close`.

    Args:
        plan: What to run.

    Raises:
        InputError: The plan cannot be: no workers, latency measured by several at once, a trace that lacks episodes,
            or a record is in the way.
    """

    def __init__(self, plan: EvaluationPlan) -> None:
        if plan.workers < 1:
            raise InputError(f"--workers must be at least 1, got {plan.workers}.")
        if isinstance(plan.worker.latency, MeasuredLatency) and plan.workers > 1:
            raise InputError("several workers slow each other's policies down: --latency measured needs --workers 1.")
        check_covers(plan.worker.latency, [episode.id for episode in plan.episodes])
        if plan.out.exists() and not plan.resume:
            raise InputError(f"{plan.out} exists already: add --resume to go on with it, or choose another --out.")
        if plan.out.exists() and not plan.out.is_file():
            raise InputError(f"{plan.out} is not a file: choose another --out.")
        _check_writable(plan.out)
        self._plan = plan
        self._pool = WorkerPool(plan.worker, plan.workers)
        self._opened: _Opened | None = None
        self._writer: RecordWriter | None = None
        self.playing = False  # False while policy and simulator are built

    def run(self, reporter: Reporter) -> Run | None:
        """Plays all episodes that the record lacks.

        Returns:
            The record; None when the run was stopped before anything was written.

        Raises:
            InputError: Something the user asked for cannot be; unless episodes were played before it turned out,
                nothing is written.
            RuntimeError: A defect in the policy's or the adapter's set-up.
        """
        try:
            self.open(reporter)
            for _ in self.play(self._plan.episodes):
                pass
            return self.record()
        except RecordError as error:
            raise InputError(str(error)) from error
        finally:
            self.close()

    def open(self, reporter: Reporter) -> tuple[EpisodeRecord, ...]:
        """Builds policy and simulator, and tells the reporter. Nothing is written yet.

        Returns:
            The episodes of an earlier, interrupted part of the run.

        Raises:
            InputError: Something the user asked for cannot be, or the record is of another run.
            RecordError: The record is damaged.
            RuntimeError: A defect in the policy's or the adapter's set-up.
        """
        plan = self._plan
        header = make_header(plan, self._pool.prepare(plan.tasks))
        earlier = self.record()
        if earlier is not None:
            check_same_run(earlier, header)
            header = earlier.header
        done = earlier.episodes if earlier is not None else ()
        self._opened = _Opened(header, earlier is not None, {record.id for record in done}, reporter)
        reporter.start(header, done)
        return done

    def play(self, episodes: Iterable[Episode]) -> Iterator[EpisodeRecord]:
        """Plays those of the episodes that the record lacks; yields each when it is on disk.

        Ends early, without the rest, after `stop`. May be called again for other episodes of the plan.

        Raises:
            InputError: The run cannot go on for a reason that the user can change.
            RecordError: The record cannot be written.
            RuntimeError: The run cannot go on because of a defect.
        """
        opened = self._need_opened()
        self.playing = True
        for record in self._pool.play([episode for episode in episodes if episode.id not in opened.done]):
            # The file is made when there is something to write: a run that fails at its start leaves none.
            if self._writer is None:
                self._writer = self._open_writer(opened)
            self._writer.append(record)
            opened.done.add(record.id)
            opened.reporter.episode(record)
            yield record

    def close(self) -> None:
        """Closes the record and ends the workers. Safe to call twice."""
        if self._writer is not None:
            self._writer.close()
        self._pool.close()

    @property
    def header(self) -> Header:
        """The run's header; there is one from `open` on."""
        return self._need_opened().header

    def record(self) -> Run | None:
        """The record as it is on disk; None while there is none.

        Raises:
            RecordError: It is damaged.
        """
        return read_run(self._plan.out) if self._plan.out.exists() else None

    def stop(self) -> int:
        """Starts no further episodes; those under way end normally. Returns their number."""
        self._pool.stop()
        return self._pool.under_way

    def _open_writer(self, opened: "_Opened") -> RecordWriter:
        writer = RecordWriter(self._plan.out, None if opened.resumes else opened.header)
        if opened.resumes:
            writer.note_resumed(circumstances(opened.header.hardware["device"]))
        return writer

    def _need_opened(self) -> "_Opened":
        if self._opened is None:
            raise RuntimeError("open the evaluation first")
        return self._opened


@dataclass(frozen=True)
class _Opened:
    """What is known once policy and simulator stand: whether a record goes on, and the ids that it holds."""

    header: Header
    resumes: bool
    done: set[str]
    reporter: Reporter


def _check_writable(path: Path) -> None:
    """Raises InputError where no record could be made: better now than after the first episode."""
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"no record can be written to {path}, because of {folder}: choose another --out.")


def make_header(plan: EvaluationPlan, prepared: Prepared) -> Header:
    """The header of a new run."""
    suite, latency = plan.worker.suite, plan.worker.latency
    protocol, now = suite.protocol(prepared.specs.values()), circumstances(prepared.device)
    if latency is not None:  # another protocol: what is played meanwhile changes the numbers
        protocol |= {"latency": latency.facts(now["hardware"]) | {"tick_hz": prepared.tick_hz}}
    return Header(
        run=plan.out.stem,
        suite=suite.name,
        sim=plan.worker.sim,
        policy=PolicyFacts(**{f.name: getattr(prepared.policy, f.name) for f in fields(PolicyFacts)}),
        config=plan.config,
        protocol=protocol,
        protocol_hash=protocol_hash(protocol),
        full_task_count=suite.full_task_count,
        seed_block={"name": plan.seed_block} | suite.seeds[plan.seed_block].facts(),
        policy_seed=plan.worker.policy_seed,
        planned=tuple(episode.id for episode in plan.episodes),
        **now,
    )


def check_same_run(earlier: Run, header: Header) -> None:
    """Refuses to go on with a record that is not of this very run.

    Raises:
        InputError: Names what differs and both values.
    """
    before = earlier.header
    pairs: dict[str, tuple[object, object]] = {"protocol": (before.protocol_hash, header.protocol_hash)}
    for name in ("name", "checkpoint_sha256", "objective", "nfe", "parameters"):
        pairs[f"policy {name}"] = (getattr(before.policy, name), getattr(header.policy, name))
    pairs |= {
        "latency": (before.protocol.get("latency"), header.protocol.get("latency")),
        "seeds": (before.seed_block["name"], header.seed_block["name"]),
        "policy seed": (before.policy_seed, header.policy_seed),
        "device": (before.hardware["device"], header.hardware["device"]),
    }
    # Two policies of one's own may bear one name; and "timing:FILE#NAME" plays another policy's times.
    pairs["policy"] = (before.config.get("policy"), header.config.get("policy"))
    pairs["times of"] = (timed_as(before), timed_as(header))
    for name in ("until", "alpha"):  # a run that was stopped by its results must not be played on, nor one become such
        pairs[name] = (before.config.get(name), header.config.get(name))
    differing = [f"{name}: there {old}, now {new}" for name, (old, new) in pairs.items() if old != new]
    if set(before.planned) != set(header.planned):
        differing.append(f"episodes: there {len(before.planned)}, now another set of {len(header.planned)}")
    if differing:
        raise InputError(
            f"{earlier.path} holds another run ({'; '.join(differing)}). "
            "Resume it with its own settings, or choose another --out."
        )
