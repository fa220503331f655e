"""Tables as Markdown text."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

NONE = "–"  # a cell without a value


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """A GitHub table, ending in a newline.

    Args:
        header: Column titles.
        rows: Cells, as many as columns in each row.
        left: The first this many columns are aligned to the left, the others to the right.

    Raises:
        ValueError: A row has too few or too many cells.
    """
    for row in rows:
        if len(row) != len(header):
            raise ValueError(f"a row has {len(row)} cells, the table {len(header)} columns: {row}")
    rule = [":--" if column < left else "--:" for column in range(len(header))]
    lines = [_line(map(_escape, header)), _line(rule), *(_line(map(_escape, row)) for row in rows)]
    return "\n".join(lines) + "\n"


def percent(value: float, digits: int = 0) -> str:
    """A rate 0 .. 1 as a percentage without the sign, rounded half up: Python's own rounding goes to even."""
    scale = 10**digits
    rounded = int(100 * value * scale + 0.5 + 1e-9) / scale
    return f"{rounded:.{digits}f}"


def hardware_text(hardware: Mapping[str, Any]) -> str:
    """A record's `hardware` in words."""
    device = hardware.get("device", "cpu")
    cores = hardware.get("cores", "?")
    cpu = f"{hardware.get('cpu', 'unknown CPU')}, {cores} core{'' if cores == 1 else 's'}"
    return cpu if device == "cpu" else f"{device} ({cpu})"


def _escape(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"
