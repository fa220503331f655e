"""Numbers and facts as short texts, and HTML elements. Rates in percent, times in milliseconds."""

import html
from collections.abc import Iterable, Sequence

from results.stats import Rate
from results.tables import NONE, percent
from results.wording import interval_text


def escape(text: object) -> str:
    """Text made safe inside HTML and inside quoted attributes."""
    return html.escape(str(text), quote=True)


def element(name: str, *children: str, **attributes: object) -> str:
    """An HTML or SVG element around markup.

    Args:
        name: Tag.
        children: Markup, already escaped.
        attributes: `class_` is `class`, other underscores are hyphens. None leaves an attribute out, True gives one
            without a value. Numbers are written with at most two decimals.
    """
    parts = []
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        written = key.rstrip("_").replace("_", "-")
        if value is True:
            parts.append(f" {written}")
        else:
            shown = number(value) if isinstance(value, int | float) else escape(value)
            parts.append(f' {written}="{shown}"')
    opening = f"{name}{''.join(parts)}"
    if not children and name in ("path", "line", "rect", "circle"):
        return f"<{opening}/>"
    return f"<{opening}>{''.join(children)}</{name}>"


def number(value: float) -> str:
    """A coordinate: at most two decimals, no trailing zeros, so that the same picture is the same bytes."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def table(
    caption: str,
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    left: int = 1,
    row_heads: bool = True,
    class_: str | None = None,
) -> str:
    """A table that scrolls by itself where the page is narrow.

    Args:
        caption: What it shows, markup.
        header: Column titles, markup.
        rows: Cells, markup.
        left: The first this many columns are aligned to the left, the others to the right.
        row_heads: Whether the first cell of a row names it.
        class_: CSS class of the table.
    """

    def aligned(column: int) -> str | None:
        return None if column < left else "num"

    head = "".join(element("th", title, scope="col", class_=aligned(k)) for k, title in enumerate(header))
    body = []
    for row in rows:
        cells = [
            element("th", cell, scope="row") if k == 0 and row_heads else element("td", cell, class_=aligned(k))
            for k, cell in enumerate(row)
        ]
        body.append(element("tr", *cells))
    inner = (
        f"<caption><span>{caption}</span></caption><thead><tr>{head}</tr></thead>\n<tbody>{chr(10).join(body)}</tbody>"
    )
    # A scrolling box must be reachable by keyboard.
    return element("div", element("table", inner, class_=class_), class_="scroll", tabindex="0") + "\n"


def rate_text(rate: Rate, digits: int = 1) -> str:
    """A rate with its interval and its counts, such as "44 % [27, 63], 11 of 25"."""
    return f"{percent(rate.value, digits)} % {interval_text(rate, digits)}, {rate.successes} of {rate.n}"


def ms_text(value: float | None) -> str:
    """Milliseconds with about three digits; a dash for None."""
    if value is None:
        return NONE
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.3f}"


def breakable(path: str) -> str:
    """A path as markup that may break after a slash."""
    return escape(path).replace("/", "/<wbr>")
