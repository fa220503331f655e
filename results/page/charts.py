"""Small charts, one a card: success by task, latency by policy. Cards flow, so texts keep their size on a phone."""

from collections.abc import Sequence

from results.page.shown import Page, ShownRun
from results.page.svg import LogAxis, colour_class, marker, nice_range, text_width
from results.page.text import element, escape, ms_text, number, rate_text
from results.pareto import is_reference
from results.stats import Rate
from results.tables import percent
from results.wording import interval_text, words

_WIDTH = 320.0
_ROW, _BAR = 32.0, 9.0
_BINS = 40


def task_cards(page: Page) -> str:
    """A card for all tasks together and one for each: a bar a policy, with its interval."""
    cards = []
    if len(page.same_episodes) == len(page.runs) and len(page.tasks) > 1:
        cards.append(_bar_card("all tasks", [(shown, shown.overall) for shown in page.runs]))
    for task in page.tasks:
        cards.append(_bar_card(words(task), [(shown, shown.rates.get(task)) for shown in page.runs]))
    return element("div", *cards, class_="cards")


def latency_cards(page: Page) -> str:
    """A histogram of each policy's warm calls on one logarithmic axis, with p50, p95 and p99.

    Reference policies are left out beside others: they do no inference, and would squeeze the axis.
    """
    timed = [shown for shown in page.runs if shown.latency and min(shown.calls_ms) > 0]
    chosen = [shown for shown in timed if not is_reference(shown.run)] or timed
    if not chosen:
        return ""
    lows, highs = [min(shown.calls_ms) for shown in chosen], [max(shown.calls_ms) for shown in chosen]
    low, high = nice_range(min(lows), max(highs))
    return element("div", *(_histogram_card(shown, low, high) for shown in chosen), class_="cards")


def _card(title: str, drawing: str) -> str:
    return element("figure", element("figcaption", title), drawing, class_="card")


def _bar_card(title: str, rows: Sequence[tuple[ShownRun, Rate | None]]) -> str:
    parts = []
    bottom = len(rows) * _ROW + 2
    left, right = 1.0, _WIDTH - 1
    for value in (0, 25, 50, 75, 100):
        at = left + value / 100 * (right - left)
        parts.append(element("line", x1=at, y1=0, x2=at, y2=bottom, class_="grid"))
        anchor = {0: "start", 100: "end"}.get(value, "middle")
        parts.append(element("text", str(value), x=at, y=bottom + 14, text_anchor=anchor, class_="quiet"))
    spoken = []
    for k, (shown, rate) in enumerate(rows):
        told = f"{shown.label}: {rate_text(rate)}" if rate else f"{shown.label}: not run"
        spoken.append(told)
        parts.append(element("g", element("title", escape(told)), _bar(shown, rate, k * _ROW, left, right)))
    drawing = element(
        "svg",
        *parts,
        viewBox=f"0 0 {number(_WIDTH)} {number(bottom + 20)}",
        role="img",
        aria_label=f"Success in percent, {title}. {'; '.join(spoken)}",
    )
    return _card(escape(title), drawing)


def _bar(shown: ShownRun, rate: Rate | None, top: float, left: float, right: float) -> str:
    """Name and number above, bar and interval below."""
    base, over = top + 14, top + 19
    value = "not run" if rate is None else f"{percent(rate.value)} % {interval_text(rate, 0)} {rate.successes}/{rate.n}"
    room = int((right - left - 18 - text_width(value)) / text_width("x"))
    name = shown.label if len(shown.label) <= room else f"{shown.label[: max(room - 1, 1)]}…"
    middle = over + _BAR / 2
    parts = [
        # What is drawn behind texts hides the grid there.
        element("rect", x=left - 1, y=top, width=right - left + 2, height=_ROW - 14, class_="veil"),
        marker(shown.index, left + 5, base - 4, 4.5),
        element("text", escape(name), x=left + 15, y=base),
        element("text", value, x=right, y=base, text_anchor="end", class_="quiet"),
    ]
    if rate is not None:
        low, high = (left + bound * (right - left) for bound in rate.interval())
        colour = colour_class(shown.index)
        length = rate.value * (right - left)
        whisker = f"M{number(low)} {number(middle)}H{number(high)}"
        whisker += "".join(f"M{number(at)} {number(middle - 3.5)}v7" for at in (low, high))
        parts += [
            element("rect", x=left, y=over, width=right - left, height=_BAR, class_="track"),
            element("rect", x=left, y=over, width=length, height=_BAR, class_=f"{colour} bar"),
            element("path", d=whisker, class_="over"),
        ]
    return "".join(parts)


def _histogram_card(shown: ShownRun, low: float, high: float) -> str:
    left, right, top, bottom = 1.0, _WIDTH - 1, 48.0, 138.0
    axis = LogAxis(low, high, left, right)
    counts = [0] * _BINS
    for ms in shown.calls_ms:
        counts[min(_BINS - 1, max(0, int((axis(ms) - left) / (right - left) * _BINS)))] += 1
    edges = [low * (high / low) ** (k / _BINS) for k in range(_BINS + 1)]
    n, wide = len(shown.calls_ms), (right - left) / _BINS
    parts = []
    for tick in axis.ticks():
        anchor = "start" if axis(tick) < 12 else "end" if axis(tick) > right - 12 else "middle"
        parts.append(element("line", x1=axis(tick), y1=bottom, x2=axis(tick), y2=bottom + 4, class_="axis"))
        parts.append(element("text", f"{tick:g}", x=axis(tick), y=bottom + 16, text_anchor=anchor, class_="quiet"))
    for k, count in enumerate(counts):
        if count:
            tall = count / max(counts) * (bottom - top)
            told = f"{ms_text(edges[k])} to {ms_text(edges[k + 1])} ms: {count} of {n} calls"
            bar = element(
                "rect",
                element("title", told),
                x=left + k * wide,
                y=bottom - tall,
                width=wide - 0.5,
                height=tall,
                class_=f"{colour_class(shown.index)} bar",
            )
            parts.append(bar)
    for k, (name, value) in enumerate(shown.latency.items()):
        at, base = axis(value), 12 + 15 * k
        text = f"{name} {ms_text(value)}"
        side = 4 if at + 4 + text_width(text) <= right else -4
        parts.append(element("line", x1=at, y1=base - 9, x2=at, y2=bottom, class_="over"))
        anchor = "start" if side > 0 else "end"
        parts.append(element("text", text, x=at + side, y=base, text_anchor=anchor))
    parts.append(element("line", x1=left, y1=bottom, x2=right, y2=bottom, class_="axis"))
    spoken = ", ".join(f"{name} {ms_text(value)} ms" for name, value in shown.latency.items())
    drawing = element(
        "svg",
        *parts,
        viewBox=f"0 0 {number(_WIDTH)} 160",
        role="img",
        aria_label=f"Latency of {shown.label}, {n} calls: {spoken}",
    )
    title = f"{escape(shown.label)} <small>{n:,} calls, tallest bar {percent(max(counts) / n)} %</small>"
    return _card(title, drawing)
