"""The virtual clock: how long a call of the policy takes in simulated time, and what the robot does meanwhile.

A simulator waits for the policy, a robot does not. With a latency, the call made with the observation of tick k takes
t seconds, and its chunk starts d = ceil(t x ticks a second) ticks later:

    policy   observes k, computes for t . . . . . . .  |
    robot    rest of the old chunk, then hold: d ticks |  the new chunk, from its first action

- The observation is the one from before the delay. The new chunk is played from its first action: none is skipped.
- The rest of the old chunk are its actions beyond the execution horizon. Before an episode's first chunk there is none:
  the robot holds still, as it does once the rest is used up. The hold action is taken once and repeated.
- Under control at a fixed rate a tick is an action: what is played meanwhile is checked, counted against the episode's
  steps, and may succeed, fail or end the episode like any other action.
- Under keyframe control an action is a whole planned motion, after which the arm stands still. The robot then holds for
  d ticks of the adapter's own (`Env.wait`) and plays nothing of the old chunk: how long a further motion takes is not
  known beforehand. Waiting is no action and uses up no step; the world moves on and may succeed meanwhile. Where the
  adapter cannot let time pass, a latency is refused.

Times are whole microseconds, and d is computed from them without rounding errors: 0.1 s at 20 Hz are 2 ticks. The times
used are kept in the record (`delays_s`): an episode under the same ones is the same to the last bit, whatever the
worker and the load of the machine. Without a latency the simulator waits for the policy and no tick passes.
"""

import hashlib
import json
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from envs.spec import Env, InputError
from results.records import RecordError, read_run

FORMS = "none, measured, a time such as 120ms or 0.12s, or trace:FILE"
LONGEST_S = 60.0  # of a set time: more is a slip of the unit
_DECIMALS = 6  # whole microseconds
_UNITS = {"us": Decimal("1e-6"), "ms": Decimal("1e-3"), "s": Decimal(1)}
_DENOMINATOR = 1_000_000  # rates that are 1 / time step in floating point become the fraction they stand for


def ticks_of(seconds: float, hz: float) -> int:
    """The ticks that a call takes: the next whole number, exactly (0.1 s at 20 Hz are 2, at 30 Hz 3).

    Args:
        seconds: Duration, 0 or more; rounded to whole microseconds.
        hz: Ticks a second.
    """
    micros = Fraction(round(seconds * 10**_DECIMALS), 10**_DECIMALS)
    return math.ceil(micros * Fraction(hz).limit_denominator(_DENOMINATOR))


def tick_rate(env: Env) -> float:
    """Ticks a second: the control rate, or the rate of `Env.wait` under keyframe control.

    Raises:
        InputError: Keyframe control, and the adapter cannot let time pass between two actions.
    """
    hz = env.spec.control_hz or env.wait_hz
    if hz is None:
        raise InputError(
            f"{env.spec.suite} on {env.spec.simulator} is under keyframe control, which has no control rate, and its "
            "adapter cannot let simulated time pass between two actions: use --latency none, or another suite or --sim."
        )
    return hz


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
        text = json.dumps({name: list(times) for name, times in self.calls.items()}, sort_keys=True)
        return {"source": "trace", "sha256": hashlib.sha256(text.encode()).hexdigest()}


def parse_latency(text: str) -> LatencySource | None:
    """What `--latency` asks for; None for "none" and for no time at all.

    Raises:
        InputError: Not one of `FORMS`, a time out of range, or a trace that cannot be read.
    """
    if text == "none":
        return None
    if text == "measured":
        return MeasuredLatency()
    if text.startswith("trace:"):
        path = Path(text.removeprefix("trace:"))
        return TraceLatency(path, read_trace(path))
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(us|ms|s)", text)
    if match is None:
        raise InputError(
            f"unknown --latency {text!r}: give {FORMS}. The name of a machine is none: measure there with --latency "
            "measured, and play that run's times anywhere with --latency trace:RECORD."
        )
    value = round(float(Decimal(match[1]) * _UNITS[match[2]]), _DECIMALS)
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
    return tuple(round(float(value), _DECIMALS) for value in values)


class VirtualClock:
    """The clock of one episode.

    Args:
        source: How long calls take.
        episode: Id of the episode.
        hz: Ticks a second.

    Attributes:
        delays_s: Time of each call so far, seconds.
    """

    def __init__(self, source: LatencySource, episode: str, hz: float) -> None:
        self.delays_s: list[float] = []
        self._source, self._episode, self._hz = source, episode, hz

    def charge(self, measured_s: float) -> int:
        """Counts a call that took so long here, in seconds.

        Returns:
            The ticks until its chunk starts.

        Raises:
            InputError: A trace has run out.
        """
        seconds = round(self._source.seconds(self._episode, len(self.delays_s), measured_s), _DECIMALS)
        self.delays_s.append(seconds)
        return ticks_of(seconds, self._hz)


def meanwhile(env: Env, rest: Float32[np.ndarray, "n 128"], ticks: int) -> Iterator[Float32[np.ndarray, "128"]]:
    """What the robot does, tick by tick, while a new chunk is computed: the old one's rest, then the hold action.

    The hold action is asked for when it is needed, after what came before was carried out.
    """
    yield from rest[:ticks]
    if ticks > len(rest):
        hold = env.hold_action()
        for _ in range(ticks - len(rest)):
            yield hold
