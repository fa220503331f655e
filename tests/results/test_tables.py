import pytest

from results.tables import markdown_table, percent


def test_table_escapes_bars_and_aligns_numbers_right():
    assert markdown_table(["a", "b"], [["x|y", "1"]]) == "| a | b |\n| :-- | --: |\n| x\\|y | 1 |\n"


def test_ragged_rows_are_refused():
    with pytest.raises(ValueError, match="1 cells"):
        markdown_table(["a", "b"], [["x"]])


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(0.125, 0, "13"), (0.135, 0, "14"), (1.0, 0, "100"), (0.0, 1, "0.0"), (2 / 3, 1, "66.7"), (0.29, 0, "29")],
)
def test_percent_rounds_half_up(value, digits, text):
    assert percent(value, digits) == text
