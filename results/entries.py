"""Which records enter the leaderboard: complete runs of the full protocol, one a policy and protocol."""

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from envs.spec import InputError
from envs.suite import Suite, load_suite
from results.rates import rates_by_task
from results.records import Run, read_run, timed_as
from results.stats import Rate, task_mean

LATENCIES = ("none", "fixed", "timing")  # sources of which several policies can share one protocol
REFERENCES = ("zero", "random", "nearest", "chase", "expert")


@dataclass(frozen=True)
class Entry:
    """A complete run of one policy: a row of a table."""

    run: Run
    suite: Suite

    @property
    def name(self) -> str:
        """Policy name."""
        return self.run.header.policy.name

    @cached_property
    def rates(self) -> dict[str, Rate]:
        """Success rate by task, in the suite's order."""
        rates = rates_by_task(self.run.episodes)
        return {task: rates[task] for task in self.suite.tasks if task in rates}

    @cached_property
    def mean(self) -> Rate | None:
        """Mean over the suite's tasks; None when one of them was not run."""
        return task_mean(self.rates.values()) if set(self.rates) == set(self.suite.tasks) else None

    @property
    def rank(self) -> tuple[Any, ...]:
        """Sort key: reference policies first, then by mean, those without one last."""
        if self.name in REFERENCES:
            return 0, REFERENCES.index(self.name), self.name
        return 1, -self.mean.value if self.mean else 1.0, self.name


def load_entries(records: Path) -> list[Entry]:
    """Reads every record below a folder.

    Raises:
        InputError: A record is not a complete run of the full protocol, or a second one of the same policy.
        RecordError: A file is damaged.
    """
    if not records.is_dir():
        raise InputError(f"there is no folder {records}: check --records.")
    entries: list[Entry] = []
    seen: dict[tuple[str, str, str], Path] = {}
    for path in sorted(records.rglob("*.jsonl")):
        run = read_run(path)
        header = run.header
        suite = load_suite(header.suite)
        _check_complete(run, suite)
        key = header.suite, header.protocol_hash, header.policy.name
        if key in seen:
            raise InputError(
                f"{seen[key]} and {path} are two records of policy {header.policy.name!r} under protocol "
                f"{header.protocol_hash}. Keep one, or give the policies different names."
            )
        seen[key] = path
        entries.append(Entry(run, suite))
    return entries


def _check_complete(run: Run, suite: Suite) -> None:
    """Raises InputError for a run that is not a complete run of the full protocol."""
    remedy = "Only complete runs of the full protocol belong in the records; move it elsewhere"
    if run.header.config.get("until"):  # first: the episodes that it lacks are not to be played
        raise InputError(f"{run.path} was stopped by its results (--until). {remedy}.")
    if run.missing:
        raise InputError(
            f"{run.path}: {len(run.missing)} of {len(run.header.planned)} episodes are missing. "
            f"{remedy}, or let the run go on."
        )
    if run.header.seed_block["name"] != "test":
        raise InputError(f"{run.path} was played on {run.header.seed_block['name']} seeds. {remedy}.")
    latency = run.header.protocol.get("latency", {"source": "none"})["source"]
    if latency not in LATENCIES:
        raise InputError(
            f"{run.path} was played with a latency of its own ({latency}), under which no other policy can be played. "
            f"{remedy}."
        )
    if timed_as(run.header) not in (None, run.header.policy.name):
        raise InputError(f"{run.path} was played with the times of {timed_as(run.header)!r}, not its own. {remedy}.")
    played = defaultdict(set)
    for episode in run.episodes:
        played[episode.task].add(episode.id)
    suite.check_tasks(played)
    for task, ids in played.items():
        full = {episode.id for episode in suite.episodes(task)}
        if ids != full:
            raise InputError(
                f"{run.path}: {len(ids & full)} of the {len(full)} test episodes of {task}, and {len(ids - full)} "
                f"others. {remedy}."
            )
