"""A comparison in one sentence."""

from math import ceil

from results.comparison import Comparison, Outcome, Side
from results.power import MAX_EPISODES
from results.stats import MIN_COVERAGE
from results.tables import percent
from results.wording import p_equation, points_interval

MARGIN = 0.05  # difference of success rates that would hardly matter


def sentence(comparison: Comparison, margin: float) -> str:
    """What a comparison shows, in words for somebody who does not read tables.

    Args:
        comparison: The comparison.
        margin: A difference of success rates (0 .. 1) that would not matter; an undecided sentence says what is shown
            to be smaller.
    """
    if comparison.outcome is Outcome.WITHHELD:
        return _withheld(comparison)
    sides = [comparison.first, comparison.second]
    interval, difference = comparison.interval(), comparison.paired.difference
    within = list(comparison.within(margin))
    if difference < 0:
        sides.reverse()
        within.reverse()
        interval, difference = (-interval[1], -interval[0]), -difference
    ahead, behind = (part.name for part in sides)
    by = f"by {percent(difference, 1)} points {points_interval(interval)} {_evidence(comparison)}"
    if comparison.outcome is not Outcome.UNDECIDED:
        text = f"{ahead} is better than {behind} {by}"
        if comparison.decision is None and not comparison.paired.carries_over:
            text += "; whether it is on other tasks like these is open"
        return text + "."
    if difference == 0:
        text = f"undecided: {ahead} and {behind} succeed equally often {_evidence(comparison)}"
    else:
        text = f"undecided: {ahead} is ahead of {behind} {by}"
    return text + _needed(comparison) + _shown_small(ahead, behind, within, margin) + "."


def _withheld(comparison: Comparison) -> str:
    parts = [part for part in (comparison.first, comparison.second) if not part.coverage.enough]
    return (
        f"withheld: only {' and '.join(map(_coverage, parts))} were scored, the others ended in an error, and a "
        f"verdict needs {percent(MIN_COVERAGE)} %: remove the cause and run them again."
    )


def _coverage(part: Side) -> str:
    # Rounded down: 94.96 % must not read as the 95 % that it lacks.
    share = percent(int(1000 * part.coverage.value) / 1000, 1)
    scored, attempted = part.coverage.scored, part.coverage.attempted
    return f"{share} % of the attempted episodes of {part.name} ({scored} of {attempted})"


def _evidence(comparison: Comparison) -> str:
    p = p_equation(comparison.adjusted_p)
    corrected = f" after Holm's correction over {comparison.pairs} comparisons" if comparison.pairs > 1 else ""
    decision = comparison.decision
    if decision is None:
        return f"on these {comparison.paired.n} paired episodes ({p}{corrected})"
    rounds = f"{decision.rounds} of at most {decision.cap} rounds"
    return f"on these {comparison.paired.n} paired episodes ({rounds}; anytime-valid {p}{corrected})"


def _needed(comparison: Comparison) -> str:
    if comparison.decision is not None:
        return "" if comparison.decision.over else "; the run is not at its end"
    if comparison.paired.difference == 0:
        return ""
    more = comparison.still_needed
    if comparison.paired.states is not None:
        return "; only further initial states could show a difference of that size"
    if more is None:
        return f"; not even {MAX_EPISODES:,} episodes would show a difference of that size"
    tasks = len(comparison.paired.by_task)
    per_task = ceil(more / tasks)
    return (
        f"; about {per_task * tasks:,} more paired episodes a policy ({per_task:,} a task) would be needed to show a "
        "difference of that size"
    )


def _shown_small(ahead: str, behind: str, within: list[bool], margin: float) -> str:
    size = f"by more than {100 * margin:g} points"
    if all(within):
        return f"; neither is worse than the other {size}"
    if not any(within):
        return ""
    better, worse = (ahead, behind) if within[0] else (behind, ahead)
    return f"; {better} is not worse than {worse} {size}"
