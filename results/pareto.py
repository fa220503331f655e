"""Success against latency, as SVG: which policies no other one beats in both.

    y   success rate with its 95 % Wilson interval
    x   median time of a policy's call, milliseconds, logarithmic: as measured in the run or, of a run with a latency,
        as played on the virtual clock

A policy is dominated when another one of the same panel is at least as successful and at least as fast, and better in
one of the two. The others are joined by a line. Times of different hardware are never compared: each has a panel of
its own. Reference policies (zero, random, and whoever sees the simulator's state) do no inference worth timing: they
are lines across, and dominate nobody. The drawing is a function of its points, to the last byte.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from results.entries import REFERENCES
from results.page.svg import (
    LogAxis,
    colour_class,
    drawing_css,
    marker,
    nice_range,
    text_width,
    theme_css,
)
from results.page.text import element, escape, ms_text, number
from results.records import Run, percentiles
from results.stats import Rate
from results.tables import hardware_text, percent
from results.wording import interval_text, words

_LEFT, _RIGHT, _TOP, _BOTTOM = 34.0, 12.0, 46.0, 44.0
_LABEL_HEIGHT = 15.0

Box = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True)
class Point:
    """A policy in the plot.

    Attributes:
        label: Its name.
        index: Its position in the table or page: gives colour and marker.
        rate: Success rate over all episodes.
        p50_ms: Median of its calls: of the warm ones, or as they were played on the virtual clock; None without any.
        calls: Number of these calls.
        hardware: Where it was timed.
        reference: A reference policy.
    """

    label: str
    index: int
    rate: Rate
    p50_ms: float | None
    calls: int
    hardware: str
    reference: bool


def is_reference(run: Run) -> bool:
    """Whether a run is of a policy that shows a limit of the tasks rather than competes."""
    policy = run.header.policy
    return policy.privileged or policy.name in REFERENCES


def played_ms(run: Run) -> list[float]:
    """Times of all calls on the virtual clock, ms; none where the simulator waited."""
    return [1000 * seconds for episode in run.episodes for seconds in episode.delays_s or ()]


def point_of(run: Run, rate: Rate, index: int, label: str | None = None) -> Point:
    """The point of a run.

    Args:
        run: The record.
        rate: Its success rate over all episodes.
        index: Position among the policies.
        label: Name to show; by default the policy's.
    """
    calls = played_ms(run) or [ms for episode in run.episodes for ms in episode.latency.ms]
    machine = run.header.protocol.get("latency", {}).get("hardware", run.header.hardware)
    return Point(
        label=label or run.header.policy.name,
        index=index,
        rate=rate,
        p50_ms=percentiles(calls).get("p50"),
        calls=len(calls),
        hardware=hardware_text(machine),
        reference=is_reference(run),
    )


def non_dominated(points: Sequence[Point]) -> list[Point]:
    """Timed policies that no other one beats, the fastest first."""
    timed = [(point, point.p50_ms) for point in points if point.p50_ms is not None]
    kept = [
        (p50, point)
        for point, p50 in timed
        if not any(
            ms <= p50 and other.rate.value >= point.rate.value and (ms < p50 or other.rate.value > point.rate.value)
            for other, ms in timed
        )
    ]
    return [point for _, point in sorted(kept, key=lambda entry: (entry[0], entry[1].index))]


def points_of(rated: Sequence[tuple[Run, Rate]]) -> list[Point]:
    """Points of runs and their rates over all episodes; those that compete get the first colours."""
    ordered = sorted(rated, key=lambda entry: is_reference(entry[0]))
    return [point_of(run, rate, index) for index, (run, rate) in enumerate(ordered)]


def pareto_svg(points: Sequence[Point], width: float = 720, standalone: bool = True) -> str:
    """The plot, one panel for each hardware; empty without a policy that was timed and is no reference.

    Args:
        points: Policies of one protocol, all on the same episodes.
        width: Pixels; from 320.
        standalone: Make an image file with colours of its own, for light and dark; else part of a page that has them.
    """
    timed = [point for point in points if point.p50_ms and not point.reference]
    references = [point for point in points if point.reference]
    machines = list(dict.fromkeys(point.hardware for point in timed))
    if not machines:
        return ""
    height = 420.0 if width >= 560 else 340.0
    panels = [
        element(
            "g",
            _panel([point for point in timed if point.hardware == hardware], references, hardware, width, height),
            transform=f"translate(0 {number(k * height)})",
        )
        for k, hardware in enumerate(machines)
    ]
    spoken = "; ".join(
        f"{point.label} {percent(point.rate.value, 1)} % at {ms_text(point.p50_ms)} ms" for point in timed
    )
    size = {"viewBox": f"0 0 {number(width)} {number(len(machines) * height)}"}
    frame = {"xmlns": "http://www.w3.org/2000/svg", "width": number(width), "height": number(len(machines) * height)}
    style = element("style", theme_css(), drawing_css(), "svg{background:var(--page)}")
    return element(
        "svg",
        *([style] if standalone else []),
        *panels,
        **(frame if standalone else {}),
        **size,
        role="img",
        aria_label=f"Success against latency of a call: {spoken}",
    ) + ("\n" if standalone else "")


def _panel(points: list[Point], references: list[Point], hardware: str, width: float, height: float) -> str:
    times = [point.p50_ms for point in points if point.p50_ms is not None]
    left, right, top, bottom = _LEFT, width - _RIGHT, _TOP, height - _BOTTOM
    x = LogAxis(*nice_range(min(times) * 0.8, max(times) * 1.25), left, right)

    def y(rate: float) -> float:
        return bottom - rate * (bottom - top)

    parts = [
        element("text", "success, %", x=0, y=14, class_="strong"),
        element("text", escape(f"timed on {hardware}"), x=right, y=14, text_anchor="end", class_="quiet"),
        element("text", "median time of a call, ms", x=right, y=height - 8, text_anchor="end", class_="strong"),
    ]
    for value in range(0, 101, 20):
        at = y(value / 100)
        parts.append(element("line", x1=left, y1=at, x2=right, y2=at, class_="grid"))
        parts.append(element("text", str(value), x=left - 6, y=at + 4, text_anchor="end", class_="quiet"))
    for tick in x.ticks(10 if width >= 560 else 6):
        parts.append(element("line", x1=x(tick), y1=bottom, x2=x(tick), y2=bottom + 5, class_="axis"))
        anchor = "end" if x(tick) > right - 8 else "middle"
        parts.append(element("text", f"{tick:g}", x=x(tick), y=bottom + 18, text_anchor=anchor, class_="quiet"))
    parts.append(element("line", x1=left, y1=bottom, x2=right, y2=bottom, class_="axis"))
    lines, taken = _reference_lines(references, y, left, right, (top, bottom))
    parts += lines
    front = non_dominated(points)
    if len(front) > 1:
        path = "L".join(f"{number(x(point.p50_ms or 0))} {number(y(point.rate.value))}" for point in front)
        parts.append(element("path", d=f"M{path}", class_="front"))
        ends = [(x(point.p50_ms or 0), y(point.rate.value)) for point in front]
        taken += [box for one, other in pairwise(ends) for box in _along(one, other)]
    spots = [(point, x(point.p50_ms or 0), [y(rate) for rate in point.rate.interval()]) for point in points]
    taken += [(at - 7, high - 2, at + 7, low + 2) for _, at, (low, high) in spots]
    for point, at, (low, high) in spots:
        parts.append(_spot(point, at, y(point.rate.value), low, high, point in front))
        text = f"{percent(point.rate.value, 1)} %, {ms_text(point.p50_ms)} ms"
        size = max(text_width(point.label, 12.5), text_width(text))
        box, anchor = _place(at, y(point.rate.value), low, high, size, taken, (left + 2, top - 12, right, bottom))
        taken.append(box)
        at_x = {"start": box[0], "middle": (box[0] + box[2]) / 2, "end": box[2]}[anchor]
        parts.append(
            element("text", escape(point.label), x=at_x, y=box[1] + 12, text_anchor=anchor, class_="strong")
            + element("text", text, x=at_x, y=box[1] + 12 + _LABEL_HEIGHT, text_anchor=anchor, class_="quiet")
        )
    return "\n".join(parts)


def _spot(point: Point, x: float, y: float, low: float, high: float, best: bool) -> str:
    """Interval and marker; a dominated policy's marker is hollow."""
    colour = colour_class(point.index)
    told = (
        f"{words(point.label)}: {percent(point.rate.value, 1)} % {interval_text(point.rate)}, "
        f"{point.rate.successes} of {point.rate.n} episodes; p50 {ms_text(point.p50_ms)} ms over {point.calls} calls; "
        f"{'not dominated' if best else 'dominated'}"
    )
    whisker = (
        f"M{number(x)} {number(low)}V{number(high)}M{number(x - 4)} {number(low)}h8M{number(x - 4)} {number(high)}h8"
    )
    return element(
        "g",
        element("title", escape(told)),
        element("path", d=whisker, class_=f"{colour} whisker"),
        marker(point.index, x, y, 6, hollow=not best),
    )


def _reference_lines(
    references: Sequence[Point], y: Callable[[float], float], left: float, right: float, span: tuple[float, float]
) -> tuple[list[str], list[Box]]:
    """Lines across with their names at the right end; names of lines close to each other stand together."""
    parts: list[str] = []
    groups: list[list[Point]] = []
    for point in sorted(references, key=lambda point: (-point.rate.value, point.index)):
        at = y(point.rate.value)
        told = f"{point.label}: {percent(point.rate.value, 1)} % {interval_text(point.rate)}, n = {point.rate.n}"
        line = element("line", x1=left, y1=at, x2=right, y2=at, class_=f"{colour_class(point.index)} reference")
        parts.append(element("g", element("title", escape(told)), line))
        if groups and at - y(groups[-1][-1].rate.value) < _LABEL_HEIGHT:
            groups[-1].append(point)
        else:
            groups.append([point])
    taken: list[Box] = []
    for group in groups:
        text = ", ".join(f"{point.label} {percent(point.rate.value, 1)} %" for point in group)
        upper, lower = y(group[0].rate.value), y(group[-1].rate.value)
        base = lower + 14 if upper - span[0] < _LABEL_HEIGHT else upper - 5
        parts.append(element("text", escape(text), x=right - 2, y=base, text_anchor="end", class_="quiet"))
        taken.append((right - 2 - text_width(text), base - 11, right - 2, base + 3))
    return parts, taken


def _place(
    x: float, y: float, low: float, high: float, width: float, taken: Sequence[Box], bounds: Box
) -> tuple[Box, str]:
    """Where a label of two lines goes: the first of four places that is free, else the one that covers least."""
    tall = 2 * _LABEL_HEIGHT + 2
    candidates: list[tuple[Box, str]] = [
        ((x + 12, y - tall / 2, x + 12 + width, y + tall / 2), "start"),
        ((x - 12 - width, y - tall / 2, x - 12, y + tall / 2), "end"),
        ((x - width / 2, high - 4 - tall, x + width / 2, high - 4), "middle"),
        ((x - width / 2, low + 4, x + width / 2, low + 4 + tall), "middle"),
    ]

    def covered(box: Box) -> float:
        outside = sum(max(0.0, excess) for excess in (bounds[0] - box[0], bounds[1] - box[1], box[2] - bounds[2]))
        outside += max(0.0, box[3] - bounds[3])
        return 100 * outside + sum(_common(box, other) for other in taken)

    return min(candidates, key=lambda candidate: covered(candidate[0]))


def _along(one: tuple[float, float], other: tuple[float, float]) -> list[Box]:
    """Small boxes along a line, which labels should keep off."""
    steps = 40
    spots = [[(a * (steps - k) + b * k) / steps for a, b in zip(one, other, strict=True)] for k in range(steps + 1)]
    return [(x - 4, y - 2, x + 4, y + 2) for x, y in spots]


def _common(one: Box, other: Box) -> float:
    """Area that two boxes share."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    tall = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, wide) * max(0.0, tall)
