"""The runs that stand on one page: read, checked to belong together, and named apart."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from envs.spec import InputError
from results.labels import labels_of
from results.locate import find_record
from results.page.diagnosis import Explanation, explanations
from results.rates import rates_by_task
from results.records import INVALID_ACTION, RECORDS_DIR, EpisodeRecord, Run, percentiles, read_run
from results.stats import Rate, pooled, task_mean

_MAX_REASONS = 20
_ROOT = RECORDS_DIR.resolve().parents[1]
_OTHER = "other reasons"
_TUPLE = re.compile(r"\([^()]*\d[^()]*\)")
_NUMBER = re.compile(r"(?<![A-Za-z_])[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


@dataclass(frozen=True)
class ShownRun:
    """A run on the page.

    Attributes:
        run: The record.
        label: The policy's name, made unique on the page.
        index: Position on the page, from 0; it gives the colour and the marker.
        explained: Why episodes failed, where `envs.diagnose` has said so.
    """

    run: Run
    label: str
    index: int
    explained: Mapping[str, Explanation] = field(default_factory=dict)

    def plain_reason(self, episode: EpisodeRecord) -> str | None:
        """Why an episode did not succeed: the category of the mistake, else the record's words; None for a success."""
        explanation = self.explained.get(episode.id)
        return explanation.category if explanation else plain_reason(episode)

    def detail(self, episode: EpisodeRecord) -> str:
        """The same in full."""
        said = episode.failure or episode.error or ""
        explanation = self.explained.get(episode.id)
        return f"{explanation.detail} ({said})" if explanation and said else explanation.detail if explanation else said

    @cached_property
    def rates(self) -> dict[str, Rate]:
        """Success rate by task; errors count as failures."""
        return rates_by_task(self.run.episodes)

    @cached_property
    def overall(self) -> Rate:
        """The mean over tasks; the pooled rate where tasks have different numbers of episodes (`is_mean` is False)."""
        if self.is_mean:
            return task_mean(self.rates.values())
        return pooled(self.rates.values())

    @property
    def is_mean(self) -> bool:
        """Every task has the same number of episodes."""
        return len({rate.n for rate in self.rates.values()}) == 1

    @cached_property
    def calls_ms(self) -> tuple[float, ...]:
        """All warm calls of the policy, milliseconds."""
        return tuple(ms for episode in self.run.episodes for ms in episode.latency.ms)

    @cached_property
    def latency(self) -> dict[str, float]:
        """p50, p95 and p99 of the warm calls; empty without any."""
        return percentiles(self.calls_ms)

    @property
    def path(self) -> str:
        """Where the record lies: from the checkout's root for one inside it, else as it was named."""
        resolved = self.run.path.resolve()
        return str(resolved.relative_to(_ROOT) if resolved.is_relative_to(_ROOT) else self.run.path)

    @property
    def stopped(self) -> bool:
        """The run could stop by its results: what it did not play was not to be played."""
        return bool(self.run.header.config.get("until"))

    def count(self, outcome: str) -> int:
        """Number of episodes with an outcome."""
        return sum(episode.outcome == outcome for episode in self.run.episodes)


@dataclass(frozen=True)
class Page:
    """All runs of a page, under one protocol.

    Attributes:
        runs: In the order in which they were named.
    """

    runs: tuple[ShownRun, ...]

    @cached_property
    def tasks(self) -> list[str]:
        """Tasks that any run played, in planned order."""
        return list(dict.fromkeys(episode.task for shown in self.runs for episode in shown.run.episodes))

    @cached_property
    def reasons(self) -> list[str]:
        """Why episodes did not succeed, the most frequent first; the rare ones, if many, are one."""
        found: Counter[str] = Counter()
        for shown in self.runs:
            reasons = (shown.plain_reason(episode) for episode in shown.run.episodes)
            found.update(reason for reason in reasons if reason is not None)
        ordered = sorted(found, key=lambda reason: (-found[reason], reason))
        return ordered if len(ordered) <= _MAX_REASONS else [*ordered[: _MAX_REASONS - 1], _OTHER]

    def reason(self, shown: ShownRun, episode: EpisodeRecord) -> str | None:
        """Which of `reasons` a run's episode has; None for a success."""
        reason = shown.plain_reason(episode)
        return reason if reason is None or reason in self.reasons else _OTHER

    @cached_property
    def same_episodes(self) -> tuple[ShownRun, ...]:
        """Runs that hold exactly the first run's episodes, itself included: their overall rates can be compared."""
        return tuple(shown for shown in self.runs if _ids(shown.run) == _ids(self.runs[0].run))


def plain_reason(episode: EpisodeRecord) -> str | None:
    """Why an episode did not succeed, without the numbers that differ from one to the next; None for a success."""
    if episode.outcome == "success":
        return None
    if episode.outcome == "error":
        lines = (episode.error or "").splitlines() or ["no message"]
        text = f"error: {lines[0]}"
    else:
        text = episode.failure or "no reason recorded"
        if text.startswith(INVALID_ACTION):
            return INVALID_ACTION.rstrip(": ")
    return _NUMBER.sub("…", _TUPLE.sub("(…)", text))


def load_page(names: Sequence[str], partial: bool = False) -> Page:
    """Reads the runs of a page.

    Args:
        names: Records, committed ones as suite/policy, and folders, of which every record below enters.
        partial: Take runs too of which planned episodes are missing.

    Raises:
        InputError: No record, one named twice, an incomplete one, records that do not belong on one page, or
            explanations of another run.
        RecordError: A file is missing or damaged.
    """
    runs: list[Run] = []
    seen: set[Path] = set()
    for path in _records(names):
        if path.resolve() in seen:
            raise InputError(f"{path} is named twice: name each record once.")
        seen.add(path.resolve())
        run = read_run(path)
        _check(run, runs[0] if runs else run, partial)
        runs.append(run)
    labelled = enumerate(zip(runs, labels_of(runs), strict=True))
    return Page(tuple(ShownRun(run, label, k, explanations(run)) for k, (run, label) in labelled))


def _records(names: Sequence[str]) -> list[Path]:
    if not names:
        raise InputError("name at least one record, such as rlbench18/drifting.")
    found: list[Path] = []
    for name in names:
        path = Path(name)
        if not path.is_dir():
            found.append(find_record(name))
            continue
        below = sorted(path.rglob("*.jsonl"))
        if not below:
            raise InputError(f"there is no record (*.jsonl) below the folder {path}: check the path.")
        found += below
    return found


def _check(run: Run, first: Run, partial: bool) -> None:
    header, other = run.header, first.header
    if (header.suite, header.protocol_hash) != (other.suite, other.protocol_hash):
        raise InputError(
            f"{first.path} and {run.path} were run under different protocols ({other.suite} {other.protocol_hash}, "
            f"{header.suite} {header.protocol_hash}): their numbers cannot be compared. Make a report of each."
        )
    if header.seed_block["name"] != other.seed_block["name"]:
        raise InputError(
            f"{first.path} was played on {other.seed_block['name']} seeds, {run.path} on {header.seed_block['name']} "
            "seeds: their numbers cannot be compared. Make a report of each."
        )
    if not run.episodes:
        raise InputError(f"{run.path} holds no finished episode: let the run go on first.")
    if run.missing and not partial and not header.config.get("until"):
        raise InputError(
            f"{run.path}: {len(run.missing)} of {len(header.planned)} planned episodes are missing, as after an "
            "interruption or a torn write. Let the run go on (python -m envs.run ... --resume), or add --partial to "
            "show what is there."
        )


def _ids(run: Run) -> frozenset[str]:
    return frozenset(episode.id for episode in run.episodes)
