"""The page's paired comparisons: the numbers and sentences of `python -m results.compare`, as a table."""

from collections.abc import Sequence

from results.comparison import Comparison, compare
from results.page.shown import Page, ShownRun
from results.page.tables import policy_name
from results.page.text import element, escape, table
from results.paired import PairingError
from results.pareto import is_reference
from results.tables import NONE
from results.verdict import sentence
from results.wording import p_text, points, points_interval

MARGIN = 0.05  # a difference of success rates that a verdict calls small, as in results.compare
_NOTE = (
    "Every episode starts from the same state for all policies, so they are compared episode by episode; errors are "
    "failures. The difference is the success rate of the first less that of the second, in percentage points, with its "
    "95 % interval on these tasks (Newcombe's score interval for paired proportions), and for tasks like these, each "
    "task one observation (Student's). p: exact two-sided McNemar test, and after Holm's correction over all pairs of "
    "this page. None of it says how a policy would do when trained again."
)
_STOPPED_NOTE = (
    " A run that was stopped by its results is judged by evidence that may stop at any time: its p and its interval on "
    "these tasks hold whenever it stopped."
)


def paired_section(page: Page) -> str:
    """Every two runs of the same episodes, and why the others are left out; empty for a single run.

    Reference policies are left out where two others remain: whether these beat them is not in question, and each
    comparison more makes the others' p-values larger.
    """
    competing = [shown for shown in page.runs if not is_reference(shown.run)]
    runs = competing if len(competing) > 1 else list(page.runs)
    if len(runs) < 2:
        return ""
    chosen, comparisons, refused = _comparable(runs)
    if len(runs) < len(page.runs):
        names = ", ".join(shown.label for shown in page.runs if shown not in runs)
        refused.append(f"Reference policies are left out: {names}. Any two: python -m results.compare.")
    left_out = "".join(element("p", escape(text), class_="quiet") for text in refused)
    if not comparisons:
        return left_out
    by_label = {shown.label: shown for shown in chosen}
    rows = []
    for one in comparisons:
        paired, tasks = one.paired, one.paired.task_interval()
        counts = (paired.n, paired.both, paired.only_first, paired.only_second, paired.neither)
        rows.append(
            [
                policy_name(by_label[one.first.name]),
                policy_name(by_label[one.second.name]),
                *map(str, counts),
                f"{points(paired.difference)} {points_interval(one.interval())}",
                NONE if tasks is None else points_interval(tasks),
                escape(p_text(one.p_value)),
                escape(p_text(one.adjusted_p)),
            ]
        )
    header = ["first", "second", "n", "both", "only first", "only second", "neither", "difference [95&nbsp;%]"]
    header += ["[95&nbsp;%] over tasks", "p", "Holm p"]
    verdicts = "".join(element("li", escape(sentence(one, MARGIN))) for one in comparisons)
    note = _NOTE + (_STOPPED_NOTE if any(one.decision is not None for one in comparisons) else "")
    return (
        table("Episodes that both policies solve, one of them, neither; and what that shows", header, rows, left=2)
        + element("ul", verdicts, class_="verdicts")
        + left_out
        + element("p", note, class_="quiet")
    )


def _comparable(runs: Sequence[ShownRun]) -> tuple[Sequence[ShownRun], list[Comparison], list[str]]:
    """Runs that can all be compared with the first, their comparisons, and why others cannot."""
    try:
        return runs, compare([(shown.label, shown.run) for shown in runs]), []
    except PairingError:
        pass
    first, *others = runs
    chosen, refused = [first], []
    for other in others:
        try:
            compare([(first.label, first.run), (other.label, other.run)])
            chosen.append(other)
        except PairingError as error:
            refused.append(f"Not compared with {first.label}: {other.label}. {error}")
    if len(chosen) < 2:
        return chosen, [], refused
    return chosen, compare([(shown.label, shown.run) for shown in chosen]), refused
