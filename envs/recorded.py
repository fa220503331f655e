"""Records that are played again: which episodes, under which protocol, and what came out otherwise."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from envs.spec import InputError
from envs.suite import Suite, nearest, protocol_hash
from results.records import EpisodeRecord, Header, RecordError, Run, read_run, without_times

# A simulator that broke at the first attempt is no part of what an episode is.
_CIRCUMSTANCES = ("attempts",)


def load_run(path: Path) -> Run:
    """Reads a record that the user named.

    Raises:
        InputError: There is none, or it is damaged.
    """
    try:
        return read_run(path)
    except RecordError as error:
        raise InputError(str(error)) from error


def differences(before: EpisodeRecord, after: EpisodeRecord) -> dict[str, tuple[Any, Any]]:
    """Fields that differ, times aside: name -> (recorded, replayed)."""
    old, new = without_times(before), without_times(after)
    return {name: (old[name], new[name]) for name in old if name not in _CIRCUMSTANCES and old[name] != new[name]}


def selected(run: Run, tasks: Sequence[str] = (), episodes: Sequence[str] = ()) -> list[EpisodeRecord]:
    """The record's episodes of some tasks and ids; of all for none.

    Raises:
        InputError: The record has no such task or episode.
    """
    played = dict.fromkeys(record.task for record in run.episodes)
    known = {record.id: record for record in run.episodes}
    for wanted, names in ((tasks, played), (episodes, known)):
        for name in wanted:
            if name not in names:
                raise InputError(f"{run.path} has no {name!r}.{nearest(name, names)}")
    return [record for record in run.episodes if record.task in (tasks or played) and record.id in (episodes or known)]


def check_protocol(run: Run, suite: Suite, tasks: list[str]) -> None:
    """Refuses a record of another protocol.

    Raises:
        InputError: Names what differs.
    """
    header: Header = run.header
    protocol = suite.protocol([suite.spec(task, header.sim) for task in tasks])
    if protocol_hash(protocol) == header.protocol_hash:
        return
    there, here = _flat(header.protocol), _flat(protocol)
    names = sorted(name for name in there.keys() | here.keys() if there.get(name) != here.get(name))
    differing = [f"{name}: there {there.get(name)}, here {here.get(name)}" for name in names]
    if names == ["options.demos"]:
        raise InputError(f"{run.path} started from other demonstrations than these: add --demos DIR.")
    if "latency" in header.protocol:
        raise InputError(
            f"{run.path} was played with a latency: play it again with its policy and "
            f"python -m envs.run --latency trace:{run.path}."
        )
    raise InputError(
        f"{run.path} was recorded under protocol {header.protocol_hash}, and here it is {protocol_hash(protocol)} "
        f"({'; '.join(differing)}). Play it again with the versions and settings of then (git {header.git_sha})."
    )


def _flat(protocol: dict[str, Any]) -> dict[str, str]:
    """Every leaf as "path to it" -> its JSON."""
    flat: dict[str, str] = {}
    for name, value in protocol.items():
        if isinstance(value, dict):
            flat |= _flat({f"{name}.{key}": inner for key, inner in value.items()})
        else:
            flat[name] = json.dumps(value)
    return flat
