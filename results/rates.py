"""Success rates of recorded episodes. Errors count as failures."""

from collections.abc import Iterable

from results.records import EpisodeRecord
from results.stats import Rate


def rate_of(episodes: Iterable[EpisodeRecord]) -> Rate:
    """The rate of some episodes, which also knows from how many initial states they began.

    Raises:
        ValueError: There are none.
    """
    records = list(episodes)
    states = {(record.task, record.variation, record.seed) for record in records}
    return Rate(sum(record.outcome == "success" for record in records), len(records), len(states))


def rates_by_task(episodes: Iterable[EpisodeRecord]) -> dict[str, Rate]:
    """The rate of every task, in order of appearance."""
    by_task: dict[str, list[EpisodeRecord]] = {}
    for record in episodes:
        by_task.setdefault(record.task, []).append(record)
    return {task: rate_of(records) for task, records in by_task.items()}
