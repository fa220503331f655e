"""Differences, intervals and p-values as short texts."""

from results.tables import percent


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
