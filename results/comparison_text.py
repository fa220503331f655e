"""A comparison of policies as text for a person, and as data for a machine."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from results.comparison import Comparison, Side, side
from results.paired import Paired
from results.power import POWER
from results.records import Run
from results.tables import percent
from results.verdict import sentence
from results.wording import p_text, points, points_interval


def as_text(named: Sequence[tuple[str, Run]], comparisons: Sequence[Comparison], margin: float) -> str:
    """Everything for a person; `margin` is a difference of rates, 0 .. 1."""
    header = named[0][1].header
    lines = [f"{header.suite} ({header.sim}), protocol {header.protocol_hash}", ""]
    width = max(len(name) for name, _ in named)
    lines += [_side_line(side(name, run), width) for name, run in named]
    for comparison in comparisons:
        lines += ["", *_pair_lines(comparison), f"  verdict: {sentence(comparison, margin)}"]
    return "\n".join(lines)


def as_data(named: Sequence[tuple[str, Run]], comparisons: Sequence[Comparison], margin: float) -> dict[str, Any]:
    """Everything for a machine. Rates and differences 0 .. 1, `margin` too."""
    header = named[0][1].header
    return {
        "suite": header.suite,
        "sim": header.sim,
        "protocol_hash": header.protocol_hash,
        "margin": margin,
        "policies": [
            _side_data(side(name, run)) | {"record": str(run.path), "checkpoint": run.header.policy.checkpoint_sha256}
            for name, run in named
        ],
        "comparisons": [_pair_data(comparison, margin) for comparison in comparisons],
    }


def _side_line(part: Side, width: int) -> str:
    low, high = part.rate.interval()
    text = f"{part.name:<{width}}  {part.rate.successes}/{part.rate.n} = {percent(part.rate.value, 1)} %"
    text += f" [{percent(low, 1)}, {percent(high, 1)}] on these tasks"
    if part.over_tasks is not None:
        text += f", [{percent(part.over_tasks[0], 1)}, {percent(part.over_tasks[1], 1)}] for tasks like these"
    errors = part.coverage.attempted - part.coverage.scored
    return text + (f"; {errors} of them errors, counted as failures" if errors else "")


def _pair_lines(comparison: Comparison) -> list[str]:
    paired, one, other = comparison.paired, comparison.first.name, comparison.second.name
    width = max(len(one), len(other)) + len(" succeeds")
    tasks = len(paired.by_task)
    lines = [
        f"{one} and {other}: {paired.n} paired episodes of {tasks} task{'' if tasks == 1 else 's'}",
        f"  {'':<{width}}  {f'{other} succeeds':>{width}}  {f'{other} fails':>{width}}",
        f"  {f'{one} succeeds':<{width}}  {paired.both:>{width}}  {paired.only_first:>{width}}",
        f"  {f'{one} fails':<{width}}  {paired.only_second:>{width}}  {paired.neither:>{width}}",
        f"  difference: {points(paired.difference)} points ({one} less {other})",
    ]
    decision = comparison.decision
    kind = "Newcombe" if decision is None else "whenever the run stopped"
    lines.append(f"    on these tasks, 95 %: {points_interval(comparison.interval())} ({kind})")
    over = [
        (comparison.over_tasks, "bootstrap of tasks"),
        (paired.task_interval(), "Student's, a task one observation"),
    ]
    texts = [f"{points_interval(interval)} ({kind})" for interval, kind in over if interval is not None]
    if texts:
        lines.append(f"    for tasks like these, 95 %: {', '.join(texts)}")
    corrected = f"; {p_text(comparison.adjusted_p)} after Holm over {comparison.pairs}" if comparison.pairs > 1 else ""
    if decision is not None:
        evidence = decision.evidence
        return [
            *lines,
            f"  stopped by its results: {decision.state} after {decision.rounds} of at most {decision.cap} rounds",
            f"  E {evidence.e_value:.3g}, anytime-valid p {p_text(comparison.p_value)}{corrected}",
        ]
    detectable = comparison.detectable
    least = "none" if detectable is None else f"{percent(detectable, 1)} points"
    return [
        *lines,
        f"  {_test(paired)} p {p_text(comparison.p_value)}{corrected}",
        f"  smallest difference that these episodes show with {percent(POWER)} % power, at the observed "
        f"{percent(comparison.discordance, 1)} % discordant: {least}",
    ]


def _test(paired: Paired) -> str:
    if paired.states is None:
        return "exact McNemar"
    states, first, second = paired.states
    return f"{states} initial states, {first} in favour of the first, {second} of the second: exact sign test"


def _side_data(part: Side) -> dict[str, Any]:
    return {
        "name": part.name,
        "successes": part.rate.successes,
        "n": part.rate.n,
        "rate": part.rate.value,
        "interval": part.rate.interval(),
        "interval_over_tasks": part.over_tasks,
        "scored": part.coverage.scored,
        "attempted": part.coverage.attempted,
    }


def _pair_data(comparison: Comparison, margin: float) -> dict[str, Any]:
    paired, decision = comparison.paired, comparison.decision
    first_within, second_within = comparison.within(margin)
    return {
        "first": _side_data(comparison.first),
        "second": _side_data(comparison.second),
        "n": paired.n,
        "both": paired.both,
        "only_first": paired.only_first,
        "only_second": paired.only_second,
        "neither": paired.neither,
        "initial_states": paired.observations,
        "difference": paired.difference,
        "interval": comparison.interval(),
        "interval_over_tasks_bootstrap": comparison.over_tasks,
        "interval_over_tasks_student": paired.task_interval(),
        "p_value": comparison.p_value,
        "adjusted_p": comparison.adjusted_p,
        "alpha": comparison.alpha,
        "detectable_difference": comparison.detectable,
        "episodes_still_needed": comparison.still_needed,
        "first_not_worse_by_margin": first_within,
        "second_not_worse_by_margin": second_within,
        "sequential": None if decision is None else asdict(decision) | {"log_e": decision.evidence.log_e},
        "outcome": comparison.outcome,
        "verdict": sentence(comparison, margin),
    }
