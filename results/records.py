"""Records of evaluation runs: one JSON Lines file a run, schema-versioned, appended as episodes end.

    line 1   {"kind": "header", "schema": 1, ...}   the run: protocol, policy, configuration, versions, hardware
    line 2+  {"kind": "episode", ...}               one a finished episode, in the order in which they finished
             {"kind": "resumed", ...}               one each time an interrupted run went on

A torn last line (the process was killed while writing) is dropped, and its episode runs again. Records are written by
`results.record_writer`. Committed ones: `results/records/<suite>/<policy>/<run>.jsonl`.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

SCHEMA = 1
OUTCOMES = ("success", "failure", "error")
RECORDS_DIR = Path(__file__).parent / "records"

# What the failure of an episode begins with when the policy's action could not be decoded.
INVALID_ACTION = "invalid action: "

# Fields of an episode that differ between two runs of the same computation: measured times, and the video's path.
TIME_FIELDS = ("wall_s", "latency", "sim_seconds", "video")


class RecordError(ValueError):
    """A record file that cannot be read or written. The message names the file and the remedy."""


@dataclass(frozen=True)
class PolicyFacts:
    """Who was evaluated. The fields are those of `policies.base.PolicyInfo`."""

    name: str
    objective: str | None = None
    nfe: int = 0
    parameters: int = 0
    checkpoint_sha256: str | None = None
    privileged: bool = False


@dataclass(frozen=True)
class Header:
    """First line of a record.

    Attributes:
        run: Identifier of the run, the file's stem.
        created: Start of the run, UTC, ISO 8601.
        suite: Suite name.
        sim: Simulator back end, as given to `--sim`.
        policy: Who was evaluated.
        config: Full resolved configuration of the run.
        protocol: Everything that could change a number (see `envs.suite.Suite.protocol`).
        protocol_hash: Its hash; tables never mix two.
        full_task_count: Tasks of the complete benchmark, of which the run may cover a part.
        seed_block: Name, start and count of the seed block.
        policy_seed: Base from which each episode's policy seed is derived.
        planned: Ids of all episodes of the run. Those without an episode line were not played (yet).
        git_sha: Commit of the checkout, with `-dirty` when it had changes; None outside a checkout.
        packages: Installed versions of the packages that matter.
        python: Python version.
        hardware: `cpu` (model), `cores`, `device` (what the policy ran on, such as "cpu" or a GPU's name).
    """

    run: str
    created: str
    suite: str
    sim: str
    policy: PolicyFacts
    config: dict[str, Any]
    protocol: dict[str, Any]
    protocol_hash: str
    full_task_count: int
    seed_block: dict[str, Any]
    policy_seed: int
    planned: tuple[str, ...]
    git_sha: str | None
    packages: dict[str, str]
    python: str
    hardware: dict[str, Any]
    schema: int = SCHEMA


@dataclass(frozen=True)
class Latency:
    """Wall time of a policy's calls in one episode, milliseconds.

    Attributes:
        cold_ms: The first call, which may compile or allocate; in no percentile.
        ms: Every later (warm) call in order, so that a run's percentiles pool calls, not episodes.
        total: p50, p95, p99 of `ms`; empty without warm calls.
        spans: The same by part of the call, as the policy reports them ("preprocess", "backbone", "head", ...).
    """

    cold_ms: float | None = None
    ms: tuple[float, ...] = ()
    total: dict[str, float] = field(default_factory=dict)
    spans: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def calls(self) -> int:
        """Number of warm calls."""
        return len(self.ms)

    @classmethod
    def of_calls(cls, calls_s: list[float], spans_s: list[Mapping[str, float]]) -> "Latency":
        """Summarises an episode's calls, given in seconds and in order; the first is the cold one."""
        if not calls_s:
            return cls()
        warm = [round(1000 * seconds, 3) for seconds in calls_s[1:]]
        names = dict.fromkeys(name for spans in spans_s[1:] for name in spans)
        by_name = {name: [1000 * spans[name] for spans in spans_s[1:] if name in spans] for name in names}
        return cls(
            cold_ms=round(1000 * calls_s[0], 3),
            ms=tuple(warm),
            total=percentiles(warm),
            spans={name: percentiles(values) for name, values in by_name.items()},
        )


def timed_as(header: Header) -> str | None:
    """Whose times a run with "--latency timing:FILE#NAME" was played with; None for the policy's own, and without."""
    latency = str(header.config.get("latency", ""))
    return latency.partition("#")[2] or None if latency.startswith("timing:") else None


@dataclass(frozen=True)
class EpisodeRecord:
    """One finished episode.

    Attributes:
        id: Episode id, unique within a run.
        task: Task name.
        variation: Variation of the task.
        seed: Seed of the initial state.
        policy_seed: Seed that the policy was reset with.
        outcome: "success", "failure", or "error" (the episode could not be played; tables count it as a failure).
        success_once: The success condition held at some time.
        success_at_end: It held in the last action.
        steps: Actions carried out.
        failure: Why the episode did not succeed; None for a success or an error.
        planner_failures: Actions for which the motion planner found no path.
        error: Message of an error; None otherwise.
        attempts: 1, or 2 when the simulator broke the first time.
        wall_s: Wall time of the last attempt, seconds.
        latency: The policy's calls.
        sim_seconds: Wall time by part of the simulator, seconds.
        actions: Native action vectors that were played, rounded to 6 decimals: the episode can be replayed from them.
        video: Path of the video relative to the record's folder; None without one.
        repeat: Which trial from this initial state it is (`envs.spec.Episode`); not written where it is the first.
        delays_s: Time of each call of the policy on the virtual clock (`envs.clock`), seconds; None, and not written,
            where the simulator waited for the policy.
    """

    id: str
    task: str
    variation: int
    seed: int
    policy_seed: int
    outcome: str
    success_once: bool = False
    success_at_end: bool = False
    steps: int = 0
    failure: str | None = None
    planner_failures: int = 0
    error: str | None = None
    attempts: int = 1
    wall_s: float = 0.0
    latency: Latency = field(default_factory=Latency)
    sim_seconds: dict[str, float] = field(default_factory=dict)
    actions: tuple[tuple[float, ...], ...] = ()
    video: str | None = None
    repeat: int = 0
    delays_s: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.outcome not in OUTCOMES:
            raise ValueError(f"outcome must be one of {', '.join(OUTCOMES)}, not {self.outcome!r}")


@dataclass(frozen=True)
class Run:
    """A record file in memory.

    Attributes:
        path: Where it was read from.
        header: Its first line.
        episodes: Finished episodes in planned order; of two lines with one id, the later.
        resumed: One entry each time the run went on: `created`, `git_sha`, `packages`, `python`, `hardware` of then.
    """

    path: Path
    header: Header
    episodes: tuple[EpisodeRecord, ...]
    resumed: tuple[dict[str, Any], ...] = ()

    @property
    def missing(self) -> tuple[str, ...]:
        """Ids of planned episodes that have not been played."""
        done = {episode.id for episode in self.episodes}
        return tuple(key for key in self.header.planned if key not in done)


def percentiles(values: Iterable[float]) -> dict[str, float]:
    """p50, p95 and p99 with linear interpolation, rounded to 3 decimals; empty for no values."""
    ordered = sorted(values)
    if not ordered:
        return {}
    result = {}
    for percent in (50, 95, 99):
        position = (len(ordered) - 1) * percent / 100
        low, high = ordered[math.floor(position)], ordered[math.ceil(position)]
        result[f"p{percent}"] = round(low + (high - low) * (position - math.floor(position)), 3)
    return result


def episode_key(record: EpisodeRecord) -> tuple[str, int, int]:
    """Task, variation and seed: what pairs the episodes of two policies under one protocol."""
    return record.task, record.variation, record.seed


def without_times(record: EpisodeRecord) -> dict[str, Any]:
    """The record as plain data but for `TIME_FIELDS`: equal for two runs of the same computation."""
    return {name: value for name, value in asdict(record).items() if name not in TIME_FIELDS}


def read_run(path: str | Path) -> Run:
    """Reads a record; a torn last line is dropped.

    Raises:
        RecordError: No such file, not a record, another schema version, or a damaged line before the last.
    """
    path = Path(path)
    if not path.is_file():
        raise RecordError(f"there is no record at {path}: check the path.")
    lines = path.read_bytes().splitlines()
    parsed = [parse_line(line) for line in lines]
    if parsed and parsed[-1] is None:
        parsed.pop()
    if not parsed or parsed[0] is None or parsed[0].get("kind") != "header":
        raise RecordError(f"{path} does not start with a record's header: delete it, or choose another path.")
    schema = parsed[0].get("schema")
    if schema != SCHEMA:
        raise RecordError(
            f"{path} has record schema {schema}; this version reads schema {SCHEMA}. "
            "Read it with the version that wrote it, or run it again."
        )
    episodes: dict[str, EpisodeRecord] = {}
    resumed = []
    try:
        header = _header(parsed[0])
        for number, data in enumerate(parsed[1:], start=2):
            if data is None:
                raise RecordError(f"{path}, line {number}, is damaged: restore the file, or run it again.")
            if data.get("kind") == "episode":
                episode = _episode(data)
                episodes[episode.id] = episode
            elif data.get("kind") == "resumed":
                resumed.append({name: value for name, value in data.items() if name != "kind"})
            else:
                raise RecordError(f"{path}, line {number}: unknown kind {data.get('kind')!r}. Restore the file.")
    except RecordError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(f"{path} does not follow record schema {SCHEMA} ({error}): run it again.") from error
    order = {key: position for position, key in enumerate(header.planned)}
    ordered = sorted(episodes.values(), key=lambda episode: order.get(episode.id, len(order)))
    return Run(path, header, tuple(ordered), tuple(resumed))


def parse_line(line: bytes) -> dict[str, Any] | None:
    """A line as plain data; None for a torn or foreign one."""
    try:
        data = json.loads(line)
    except ValueError:
        return None
    return data if isinstance(data, dict) else None


def _known(cls: type, data: Mapping[str, Any]) -> dict[str, Any]:
    names = {f.name for f in fields(cls)}
    unknown = sorted(set(data) - names - {"kind"})
    if unknown:
        raise KeyError(f"unknown field {unknown[0]!r}")
    return {name: value for name, value in data.items() if name in names}


def _header(data: Mapping[str, Any]) -> Header:
    values = _known(Header, data)
    values["policy"] = PolicyFacts(**_known(PolicyFacts, values["policy"]))
    values["planned"] = tuple(values["planned"])
    return Header(**values)


def _episode(data: Mapping[str, Any]) -> EpisodeRecord:
    values = _known(EpisodeRecord, data)
    latency = _known(Latency, values["latency"])
    latency["ms"] = tuple(latency["ms"])
    values["latency"] = Latency(**latency)
    values["actions"] = tuple(tuple(action) for action in values["actions"])
    if values.get("delays_s") is not None:
        values["delays_s"] = tuple(values["delays_s"])
    return EpisodeRecord(**values)
