"""Records of latency: one JSON file a run, in which policies were timed call by call in turn on one machine.

Ratios hold within a run alone: what disturbs the machine meets all of its policies alike.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import numpy as np

from results.documents import Measured, read_document, write_document
from results.records import percentiles

SCHEMA = 1
KIND = "latency"
CALL = "call"  # the span of a whole call
HEAD = "head"
LATENCY_DIR = Path(__file__).parent / "latency"
_BLOCK = 10  # neighbouring rounds, at most, that are drawn together: they are disturbed together


@dataclass(frozen=True)
class CallTimes:
    """Times of one policy's calls, milliseconds, by span; "call" is the whole call.

    Attributes:
        cold_ms: The first call, which may compile or allocate; in no percentile.
        warm_ms: The calls after the warm-up, in order. Call k of every policy of a run is of round k.
    """

    cold_ms: dict[str, float]
    warm_ms: dict[str, tuple[float, ...]]

    @classmethod
    def of_calls(cls, cold_s: Mapping[str, float], warm_s: Sequence[Mapping[str, float]]) -> Self:
        """From spans in seconds; spans that some call lacks are left out."""
        names = [name for name in cold_s if all(name in spans for spans in warm_s)]
        return cls(
            {name: round(1000 * cold_s[name], 4) for name in names},
            {name: tuple(round(1000 * spans[name], 4) for spans in warm_s) for name in names},
        )

    @property
    def calls(self) -> int:
        """Number of warm calls."""
        return len(self.warm_ms.get(CALL, ()))

    def percentiles(self, span: str) -> dict[str, float]:
        """p50, p95 and p99 of a span; empty where it was not measured."""
        return percentiles(self.warm_ms.get(span, ()))


@dataclass(frozen=True)
class PolicyLatency:
    """One policy of a run.

    Attributes:
        name: As in tables; the same policy twice has two names.
        times: Its calls.
        objective: Training objective; None for a policy without a network of ours.
        sampler: How a chunk is sampled, such as "DDIM-10"; None likewise.
        nfe: Forward passes of the head for one chunk.
        horizon: Actions in a chunk.
        parameters: Number of parameters, of the backbone too where it was built.
        head_parameters: Number of parameters of the head.
        weights: "random", "checkpoint", or "none".
        checkpoint_sha256: Hash of the weights file; None without one.
        memory_mb: Of `head` and `encoder` weights, and at most of `activations` in a call (where the device tells).
    """

    name: str
    times: CallTimes
    objective: str | None = None
    sampler: str | None = None
    nfe: int = 0
    horizon: int = 0
    parameters: int = 0
    head_parameters: int = 0
    weights: str = "none"
    checkpoint_sha256: str | None = None
    memory_mb: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class LatencyRecord(Measured):
    """A latency run.

    Attributes:
        conditions: What else moves a number: dtype, compile state, threads, context tokens, load of the machine, ...
        backbone: "in every call", "apart" (timed once for all policies; their calls use what it gave) or "not run"
            (calls use random features). In the last two cases a policy's "context" is the projection of the features.
        policies: In the order they were named; ratios are to the first.
        backbone_times: Of the backbone timed apart; None otherwise.
        complete: False when the run was interrupted: there are fewer calls than planned.
        peak_memory_mb: Of the whole process: `host`, and `device` where it tells.
    """

    conditions: dict[str, Any]
    backbone: str
    policies: tuple[PolicyLatency, ...]
    backbone_times: CallTimes | None = None
    complete: bool = True
    peak_memory_mb: dict[str, float] = field(default_factory=dict)


def ratio(times: CallTimes, reference: CallTimes, span: str = HEAD) -> tuple[float, float, float] | None:
    """Median of a span as a multiple of the reference's, in the same run.

    Returns:
        The ratio and its 95 % interval, a bootstrap over blocks of rounds; None where either was not measured.
    """
    ms, base = (np.asarray(t.warm_ms.get(span, ())) for t in (times, reference))
    rounds = min(len(ms), len(base))
    if rounds == 0 or np.median(base[:rounds]) <= 0:
        return None
    ms, base = ms[:rounds], base[:rounds]
    value = float(np.median(ms) / np.median(base))
    size = max(1, min(_BLOCK, rounds // 10))
    starts = np.random.default_rng(0).integers(rounds, size=(1000, -(-rounds // size)))
    drawn = (starts[..., None] + np.arange(size)).reshape(len(starts), -1)[:, :rounds] % rounds
    low, high = np.percentile(np.median(ms[drawn], axis=1) / np.median(base[drawn], axis=1), [2.5, 97.5])
    return value, float(low), float(high)


def write_latency(path: Path, record: LatencyRecord) -> None:
    """Writes a record atomically. The percentiles in it are for people: reading takes them from the calls."""
    data = asdict(record)
    for entry, policy in zip(data["policies"], record.policies, strict=True):
        entry["percentiles_ms"] = {span: policy.times.percentiles(span) for span in policy.times.warm_ms}
    write_document(path, KIND, SCHEMA, data)


def read_latency(path: Path) -> LatencyRecord:
    """Reads a record.

    Raises:
        RecordError: Not a latency record of this schema.
    """
    return read_document(path, KIND, SCHEMA, "python -m envs.latency", _record)


def _record(data: dict[str, Any]) -> LatencyRecord:
    known = {f.name: data[f.name] for f in fields(LatencyRecord)}
    known["policies"] = tuple(_policy(entry) for entry in data["policies"])
    known["backbone_times"] = None if data["backbone_times"] is None else _times(data["backbone_times"])
    return LatencyRecord(**known)


def _policy(entry: dict[str, Any]) -> PolicyLatency:
    known = {f.name: entry[f.name] for f in fields(PolicyLatency)}
    return PolicyLatency(**known | {"times": _times(entry["times"])})


def _times(entry: dict[str, Any]) -> CallTimes:
    return CallTimes(entry["cold_ms"], {span: tuple(ms) for span, ms in entry["warm_ms"].items()})
