"""What says how long a call takes on the virtual clock (`envs.clock`): a set time, this machine, or times on file."""

import hashlib
import json
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from envs.spec import InputError
from results.latency import CALL, read_latency
from results.records import RecordError, read_run

FORMS = "none, measured, a time such as 120ms or 0.12s, timing:FILE, or trace:FILE"
LONGEST_S = 60.0  # of a set time: more is a slip of the unit
DECIMALS = 6  # whole microseconds
_UNITS = {"us": Decimal("1e-6"), "ms": Decimal("1e-3"), "s": Decimal(1)}


class LatencySource(ABC):
    """Says how long each call takes on the virtual clock."""

    @abstractmethod
    def seconds(self, episode: str, call: int, measured_s: float) -> float:
        """The time of a call.

        Args:
            episode: Id of the episode.
            call: Number of the call in the episode, from 0.
            measured_s: Wall time that it took here.

        Raises:
            InputError: A trace has run out.
        """

    @abstractmethod
    def facts(self, hardware: Mapping[str, Any]) -> dict[str, Any]:
        """What the protocol says about it, as plain data; `hardware` is the record's."""


@dataclass(frozen=True)
class FixedLatency(LatencySource):
    """Every call takes the same time."""

    value_s: float

    def seconds(self, episode: str, call: int, measured_s: float) -> float:
        """See `LatencySource.seconds`."""
        return self.value_s

    def facts(self, hardware: Mapping[str, Any]) -> dict[str, Any]:
        """The time."""
        return {"source": "fixed", "seconds": self.value_s}


@dataclass(frozen=True)
class MeasuredLatency(LatencySource):
    """Every call takes the time that it takes here. Only its trace can be repeated, see `TraceLatency`."""

    def seconds(self, episode: str, call: int, measured_s: float) -> float:
        """See `LatencySource.seconds`."""
        return measured_s

    def facts(self, hardware: Mapping[str, Any]) -> dict[str, Any]:
        """The machine: measured on another one, results must not be compared."""
        return {"source": "measured", "hardware": dict(hardware)}


@dataclass(frozen=True)
class TraceLatency(LatencySource):
    """Times that were written down, by episode and call.

    Attributes:
        path: File that they are from.
        calls: Episode id -> seconds of each call, in order.
    """

    path: Path
    calls: dict[str, tuple[float, ...]]

    def seconds(self, episode: str, call: int, measured_s: float) -> float:
        """See `LatencySource.seconds`."""
        times = self.calls.get(episode, ())
        if call >= len(times):
            raise InputError(
                f"{self.path} is shorter than the run: it has the times of {len(times)} call(s) of {episode}, and the "
                f"policy is called once more. Use the trace of a run of this very policy, or a longer one."
            )
        return times[call]

    def facts(self, hardware: Mapping[str, Any]) -> dict[str, Any]:
        """A digest of all times, whatever the file and its order."""
        return {"source": "trace", "sha256": _digest(self.calls)}


@dataclass(frozen=True)
class TimingLatency(LatencySource):
    """The times that a policy took in a run of `envs.latency`, in which several were timed in turn on one machine.

    Every policy that is played with one such record is played under one protocol: each takes its own times of it.

    Attributes:
        path: File that they are from.
        policy: Whose times, as the record names it.
        times: Policy -> seconds of its warm calls, in order.
        hardware: Where they were taken.
    """

    path: Path
    policy: str
    times: dict[str, tuple[float, ...]]
    hardware: dict[str, Any]

    def seconds(self, episode: str, call: int, measured_s: float) -> float:
        """The recorded calls in order, beginning at a place that follows from the episode's name."""
        times = self.times[self.policy]
        start = int.from_bytes(hashlib.sha256(episode.encode()).digest()[:4], "big")
        return times[(start + call) % len(times)]

    def facts(self, hardware: Mapping[str, Any]) -> dict[str, Any]:
        """The machine of the record and a digest of the times of all its policies."""
        return {"source": "timing", "sha256": _digest(self.times), "hardware": self.hardware}


def parse_latency(text: str, policy: str = "") -> LatencySource | None:
    """What `--latency` asks for; None for "none" and for no time at all.

    Args:
        text: One of `FORMS`.
        policy: Name of the policy, for the record of a latency run that does not name another one ("timing:FILE#NAME").

    Raises:
        InputError: Not one of `FORMS`, a time out of range, or a file that cannot be read.
    """
    if text == "none":
        return None
    if text == "measured":
        return MeasuredLatency()
    if text.startswith("trace:"):
        path = Path(text.removeprefix("trace:"))
        return TraceLatency(path, read_trace(path))
    if text.startswith("timing:"):
        file, _, name = text.removeprefix("timing:").partition("#")
        return read_timing(Path(file), name or policy)
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(us|ms|s)", text)
    if match is None:
        raise InputError(
            f"unknown --latency {text!r}: give {FORMS}. The name of a machine is none: measure there with --latency "
            "measured, and play that run's times anywhere with --latency trace:RECORD."
        )
    value = round(float(Decimal(match[1]) * _UNITS[match[2]]), DECIMALS)
    if value > LONGEST_S:
        raise InputError(f"--latency {text} is more than {LONGEST_S:g} s a call: check the unit.")
    return FixedLatency(value) if value > 0 else None


def check_covers(latency: LatencySource | None, episodes: Sequence[str]) -> None:
    """Refuses a trace that lacks whole episodes of a run, before anything is played.

    Raises:
        InputError: Names the first of them.
    """
    if not isinstance(latency, TraceLatency):
        return
    missing = [episode for episode in episodes if not latency.calls.get(episode)]
    if missing:
        raise InputError(
            f"{latency.path} is shorter than the run: it has no times of {len(missing)} of the {len(episodes)} "
            f"episodes, such as {missing[0]}. Choose fewer with --tasks and --episodes, or use a longer trace."
        )


def read_trace(path: Path) -> dict[str, tuple[float, ...]]:
    """Reads the times of calls: episode id -> seconds of each call, in order.

    The file is the record of a run with a latency, or JSON lines, one an episode:

        {"episode": "follow/v001/s2000000", "seconds": [0.021, 0.0205]}

    Raises:
        InputError: No such file, neither of the two, or a record without times.
    """
    if not path.is_file():
        raise InputError(f"--latency trace:{path}: there is no such file. Check the path.")
    lines = [line for line in path.read_text(errors="replace").splitlines() if line.strip()]
    if lines and isinstance(first := _parsed(lines[0]), dict) and first.get("kind") == "header":
        return _of_record(path)
    calls: dict[str, tuple[float, ...]] = {}
    for number, line in enumerate(lines, start=1):
        entry = _parsed(line)
        times = _times(entry.get("seconds")) if isinstance(entry, dict) else None
        if not isinstance(entry, dict) or not isinstance(entry.get("episode"), str) or times is None:
            raise InputError(
                f"{path}, line {number}, is no entry of a trace. A line is "
                '{"episode": "<task>/v<variation>/s<seed>", "seconds": [<of each call, 0 or more>]}; correct it.'
            )
        if entry["episode"] in calls:
            raise InputError(f"{path}, line {number}: {entry['episode']} is there already. Keep one line an episode.")
        calls[entry["episode"]] = times
    if not calls:
        raise InputError(f"{path} holds no times: give a trace, or the record of a run with a latency.")
    return calls


def read_timing(path: Path, policy: str) -> TimingLatency:
    """Reads a policy's times from a record of `envs.latency`.

    Args:
        path: The record.
        policy: As the record names it, such as "drifting" or "diffusion-10".

    Raises:
        InputError: No such record, or none of this policy.
    """
    try:
        record = read_latency(path)
    except RecordError as error:
        raise InputError(f"--latency timing: {error}") from error
    known = {entry.name: entry.times.warm_ms.get(CALL, ()) for entry in record.policies}
    times = {name: tuple(round(ms / 1000, DECIMALS) for ms in calls) for name, calls in known.items() if calls}
    if policy not in times:
        raise InputError(
            f"{path} has no times of {policy!r}, but of {', '.join(times)}. Name one of them, as in --latency "
            f"timing:{path}#{next(iter(times), 'NAME')}, or time this one with `python -m envs.latency`."
        )
    return TimingLatency(path, policy, times, record.hardware)


def _digest(times: Mapping[str, Sequence[float]]) -> str:
    text = json.dumps({name: list(values) for name, values in times.items()}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _of_record(path: Path) -> dict[str, tuple[float, ...]]:
    try:
        run = read_run(path)
    except RecordError as error:
        raise InputError(str(error)) from error
    calls = {record.id: record.delays_s for record in run.episodes if record.delays_s is not None}
    if not calls:
        raise InputError(
            f"{path} holds no times: its run was played without a latency. Give the record of a run with "
            "--latency measured."
        )
    return calls


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _times(values: Any) -> tuple[float, ...] | None:
    """Seconds in whole microseconds; None for anything but a list of finite numbers from 0."""
    if not isinstance(values, list):
        return None
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
            return None
    return tuple(round(float(value), DECIMALS) for value in values)
