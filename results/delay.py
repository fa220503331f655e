"""Records of delay sweeps: success against the time that a call takes, one JSON file a sweep."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from results.documents import Measured, read_document, write_document
from results.stats import Rate
from results.tables import markdown_table, percent

SCHEMA = 1
KIND = "delay"
NONE = "–"


@dataclass(frozen=True)
class DelayPoint:
    """One policy under one latency.

    Attributes:
        policy: The policy's name.
        latency: As given to `--latency`.
        successes: Episodes that succeeded.
        n: Episodes.
        errors: Episodes of these that ended in an error.
        delay_ms: p50, p95, p99 over all calls on the virtual clock; empty without a latency.
        ticks: The same in whole ticks, which are what counts: two times of equally many ticks are the same run.
        waited_s: Mean simulated time that an episode's calls took together, seconds; whole ticks.
        steps: Mean number of actions an episode.
        protocol_hash: Of its record; differs between latencies.
        record: Path of its record, relative to the sweep's file.
    """

    policy: str
    latency: str
    successes: int
    n: int
    errors: int
    delay_ms: dict[str, float]
    ticks: dict[str, float]
    waited_s: float
    steps: float
    protocol_hash: str
    record: str


@dataclass(frozen=True, kw_only=True)
class DelaySweep(Measured):
    """A sweep: every policy on the same episodes under every latency.

    Attributes:
        tick_hz: Ticks of the virtual clock a second; None when no latency was played.
        control_hz: The suite's control rate; None for keyframe control, where the robot only waits.
        points: By policy, then latency, in the order in which they were named.
        complete: False when the sweep was interrupted: points are missing.
    """

    tick_hz: float | None
    control_hz: float | None
    points: tuple[DelayPoint, ...]
    complete: bool = True


def delay_table(points: Sequence[DelayPoint]) -> str:
    """Markdown: a row for each point."""
    header = ["policy", "latency", "delay p50 / p95, ms", "ticks p50 / p95", "success [95 %]", "n", "errors"]
    header += ["s computing, an episode", "actions an episode"]
    rows = []
    for point in points:
        rate = Rate(point.successes, point.n)
        interval = ", ".join(percent(bound, 1) for bound in rate.interval())
        rows.append(
            [
                point.policy,
                point.latency,
                _pair(point.delay_ms),
                _pair(point.ticks),
                f"{percent(rate.value, 1)} [{interval}]",
                str(point.n),
                str(point.errors),
                f"{point.waited_s:.2f}",
                f"{point.steps:.1f}",
            ]
        )
    return markdown_table(header, rows, left=2)


def write_sweep(path: Path, sweep: DelaySweep) -> None:
    """Writes a sweep atomically."""
    write_document(path, KIND, SCHEMA, asdict(sweep))


def read_sweep(path: Path) -> DelaySweep:
    """Reads a sweep.

    Raises:
        RecordError: Not a sweep of this schema.
    """
    return read_document(path, KIND, SCHEMA, "python -m envs.delay", _sweep)


def _sweep(data: dict[str, Any]) -> DelaySweep:
    known = {f.name: data[f.name] for f in fields(DelaySweep)}
    known["points"] = tuple(DelayPoint(**point) for point in data["points"])
    return DelaySweep(**known)


def _pair(values: dict[str, float]) -> str:
    return f"{values['p50']:g} / {values['p95']:g}" if values else NONE
