"""What the drawings share: colours, markers, a logarithmic axis. The same input gives the same bytes."""

import math
from dataclasses import dataclass

from results.page.text import element, number

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'

# Six colours that stay apart for colour-blind readers and reach 4.5 : 1 on their background; after Okabe and Ito,
# darkened or lightened. Five markers: policies 0 to 29 differ in colour or marker, neighbours in both.
COLOURS = {
    "light": ("#0067a8", "#b8480a", "#00735a", "#99407f", "#7d6200", "#555f6b"),
    "dark": ("#63b4ee", "#ff9e62", "#45cfa5", "#e79fd3", "#dcc152", "#b4bdc8"),
}
_SURFACE = {
    "light": {"page": "#ffffff", "raised": "#f6f7f8", "text": "#16191d", "quiet": "#5a626c", "line": "#d5d9de"},
    "dark": {"page": "#14171a", "raised": "#1c2024", "text": "#e8eaed", "quiet": "#a2abb5", "line": "#3a4149"},
}
MARKERS = ("circle", "square", "triangle", "diamond", "cross")


def theme_css() -> str:
    """Style sheet of the colours: light, and dark on a screen that asks for it. Paper is always light."""
    blocks = {mode: _variables(mode) for mode in COLOURS}
    return (
        f":root{{color-scheme:light dark;{blocks['light']}}}\n"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{blocks['dark']}}}}}\n"
    )


def _variables(mode: str) -> str:
    colours = {f"c{k}": value for k, value in enumerate(COLOURS[mode])} | _SURFACE[mode]
    return "".join(f"--{name}:{value};" for name, value in colours.items())


def drawing_css() -> str:
    """Style sheet of the drawings, for the page and for a file of its own."""
    policies = "".join(f".c{k}{{fill:var(--c{k});stroke:var(--c{k})}}" for k in range(len(COLOURS["light"])))
    return (
        f"svg text{{font-family:{FONT};font-size:12px;fill:var(--text);stroke:none}}\n"
        "svg .quiet{fill:var(--quiet)}svg .strong{font-weight:600}\n"
        "svg .grid{stroke:var(--line);stroke-width:1}svg .axis{stroke:var(--quiet);stroke-width:1}\n"
        f"{policies}\n"
        "svg .whisker,svg .front{fill:none}svg .whisker{stroke-width:1.5}\n"
        "svg .over{stroke:var(--text);stroke-width:1.25;fill:none}\n"
        "svg .front{stroke:var(--quiet);stroke-width:1.25}svg .reference{stroke-dasharray:5 4;stroke-width:1.25}\n"
        "svg .bar{stroke:none;fill-opacity:.55}svg .track{fill:var(--line);stroke:none;fill-opacity:.45}\n"
        "svg .hollow{fill:var(--page);stroke-width:1.75}\n"
    )


def colour_class(index: int) -> str:
    """CSS class that fills and strokes in the colour of the policy at a position on the page."""
    return f"c{index % len(COLOURS['light'])}"


def marker(index: int, x: float, y: float, radius: float = 5, hollow: bool = False) -> str:
    """The marker of the policy at a position on the page, of about equal area in every shape."""
    kind = MARKERS[index % len(MARKERS)]
    class_ = f"{colour_class(index)}{' hollow' if hollow else ''}"
    if kind == "circle":
        return element("circle", cx=x, cy=y, r=radius, class_=class_)
    half = 0.9 * radius
    if kind == "square":
        return element("rect", x=x - half, y=y - half, width=2 * half, height=2 * half, class_=class_)
    tip, wide, thick = 1.3 * radius, 1.2 * radius, 0.4 * radius
    outlines = {
        "triangle": [(0, -tip), (wide, 0.8 * radius), (-wide, 0.8 * radius)],
        "diamond": [(0, -tip), (tip, 0), (0, tip), (-tip, 0)],
        "cross": [
            *[(-thick, -wide), (thick, -wide), (thick, -thick), (wide, -thick), (wide, thick), (thick, thick)],
            *[(thick, wide), (-thick, wide), (-thick, thick), (-wide, thick), (-wide, -thick), (-thick, -thick)],
        ],
    }
    path = "L".join(f"{number(x + dx)} {number(y + dy)}" for dx, dy in outlines[kind])
    return element("path", d=f"M{path}Z", class_=class_)


def legend_marker(index: int) -> str:
    """A policy's marker as a picture beside its name."""
    return element("svg", marker(index, 7, 7), viewBox="0 0 14 14", class_="key", aria_hidden="true")


def text_width(text: str, size: float = 12) -> float:
    """About how wide a text is in a sans-serif font; no browser is asked."""
    return 0.56 * size * len(text)


@dataclass(frozen=True)
class LogAxis:
    """A logarithmic axis from a value at one end to a value at the other.

    Attributes:
        low: Value at `start`, more than 0.
        high: Value at `stop`, more than `low`.
        start: Coordinate of `low`.
        stop: Coordinate of `high`.
    """

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        """The coordinate of a value."""
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return self.start + share * (self.stop - self.start)

    def ticks(self, most: int = 8) -> list[float]:
        """Values 1, 2, 5 of each decade, or of wider steps where these are more than `most`."""
        ticks: list[float] = []
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        for steps, stride in (((1, 2, 5), 1), ((1, 3), 1), ((1,), 1), ((1,), 2), ((1,), 4)):
            values = [float(f"{step}e{decade}") for decade in range(first, last + 1, stride) for step in steps]
            ticks = [value for value in values if self.low * 0.999 <= value <= self.high * 1.001]
            if len(ticks) <= most:
                break
        return ticks


def nice_range(low: float, high: float) -> tuple[float, float]:
    """The 1-2-5 values around two positive ones, at least a factor of 5 apart."""
    if high < 5 * low:
        middle = math.sqrt(low * high)
        low, high = min(low, middle / 2.3), max(high, middle * 2.3)
    decade = math.floor(math.log10(low))
    steps = [float(f"{step}e{k}") for k in range(decade - 1, math.ceil(math.log10(high)) + 2) for step in (1, 2, 5)]
    return max(v for v in steps if v <= low * 1.001), min(v for v in steps if v >= high * 0.999)
