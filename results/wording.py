"""Rates, differences, intervals, p-values and names as short texts."""

from results.stats import Rate
from results.tables import NONE, percent


def points(value: float) -> str:
    """A difference of rates (-1 .. 1) in percentage points, signed: "+2.9"."""
    size = percent(abs(value), 1)
    return size if size == "0.0" else f"{'-' if value < 0 else '+'}{size}"


def points_interval(interval: tuple[float, float]) -> str:
    """An interval of a difference in percentage points: "[-0.1, +5.8]"."""
    return f"[{', '.join(map(points, interval))}]"


def p_text(p: float) -> str:
    """A p-value: "0.0725", "< 0.0001"."""
    return "< 0.0001" if p < 0.0001 else f"{p:.4f}"


def p_equation(p: float) -> str:
    """A p-value with its sign: "p = 0.0725", "p < 0.0001"."""
    text = p_text(p)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def words(task: str) -> str:
    """A task's name as words."""
    return task.replace("_", " ")


def interval_text(rate: Rate, digits: int = 1) -> str:
    """The 95 % Wilson interval of a rate, such as "[50.7, 59.9]"."""
    low, high = rate.interval()
    return f"[{percent(low, digits)}, {percent(high, digits)}]"


def short_sha(sha: str | None) -> str:
    """The first ten digits of a commit, with `-dirty` kept."""
    commit, _, dirty = (sha or NONE).partition("-")
    return commit[:10] + (f"-{dirty}" if dirty else "")
