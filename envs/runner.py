"""Runs an evaluation: checks it, plays what is missing, and appends every result to the record as it ends."""

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol

from envs.pool import WorkerPool
from envs.spec import Episode, InputError
from envs.suite import protocol_hash
from envs.worker import Prepared, WorkerPlan
from results.provenance import circumstances
from results.records import EpisodeRecord, Header, PolicyFacts, RecordError, RecordWriter, Run, read_run


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

    Args:
        plan: What to run.

    Raises:
        InputError: The plan cannot be: no workers, or a record is in the way.
    """

    def __init__(self, plan: EvaluationPlan) -> None:
        if plan.workers < 1:
            raise InputError(f"--workers must be at least 1, got {plan.workers}.")
        if plan.out.exists() and not plan.resume:
            raise InputError(f"{plan.out} exists already: add --resume to go on with it, or choose another --out.")
        if plan.out.exists() and not plan.out.is_file():
            raise InputError(f"{plan.out} is not a file: choose another --out.")
        self._plan = plan
        self._pool = WorkerPool(plan.worker, plan.workers)
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
            return self._run(reporter)
        except RecordError as error:
            raise InputError(str(error)) from error
        finally:
            self._pool.close()

    def stop(self) -> int:
        """Starts no further episodes; those under way end normally. Returns their number."""
        self._pool.stop()
        return self._pool.under_way

    def _run(self, reporter: Reporter) -> Run | None:
        plan = self._plan
        header = make_header(plan, self._pool.prepare(plan.tasks))
        earlier = read_run(plan.out) if plan.out.exists() else None
        if earlier is not None:
            check_same_run(earlier, header)
            header = earlier.header
        reporter.start(header, earlier.episodes if earlier is not None else ())
        done = {record.id for record in earlier.episodes} if earlier is not None else set()
        missing = [episode for episode in plan.episodes if episode.id not in done]
        writer: RecordWriter | None = None
        self.playing = True
        try:
            # The file is made when there is something to write: a run that fails at its start leaves none.
            for record in self._pool.play(missing):
                if writer is None:
                    writer = RecordWriter(plan.out, None if earlier is not None else header)
                    if earlier is not None:
                        writer.note_resumed(circumstances(header.hardware["device"]))
                writer.append(record)
                reporter.episode(record)
        finally:
            if writer is not None:
                writer.close()
        return read_run(plan.out) if plan.out.exists() else None


def make_header(plan: EvaluationPlan, prepared: Prepared) -> Header:
    """The header of a new run."""
    suite = plan.worker.suite
    protocol = suite.protocol(prepared.specs.values())
    return Header(
        run=plan.out.stem,
        suite=suite.name,
        sim=plan.worker.sim,
        policy=PolicyFacts(**{f.name: getattr(prepared.policy, f.name) for f in fields(PolicyFacts)}),
        config=plan.config,
        protocol=protocol,
        protocol_hash=protocol_hash(protocol),
        full_task_count=suite.full_task_count,
        seed_block={"name": plan.seed_block} | asdict(suite.seeds[plan.seed_block]),
        policy_seed=plan.worker.policy_seed,
        planned=tuple(episode.id for episode in plan.episodes),
        **circumstances(prepared.device),
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
        "seeds": (before.seed_block["name"], header.seed_block["name"]),
        "policy seed": (before.policy_seed, header.policy_seed),
        "device": (before.hardware["device"], header.hardware["device"]),
    }
    differing = [f"{name}: there {old}, now {new}" for name, (old, new) in pairs.items() if old != new]
    if set(before.planned) != set(header.planned):
        differing.append(f"episodes: there {len(before.planned)}, now another set of {len(header.planned)}")
    if differing:
        raise InputError(
            f"{earlier.path} holds another run ({'; '.join(differing)}). "
            "Resume it with its own settings, or choose another --out."
        )
