"""The leaderboard's section of paired comparisons: every trained policy against one, episode by episode."""

from results.comparison import coverage_of
from results.entries import Entry
from results.paired import Paired, PairingError, holm, pair
from results.tables import NONE, markdown_table
from results.wording import p_text, points, points_interval

BASELINE = "drifting"  # what every other trained policy is compared with

_PAIRED_TEXT = f"""\
Both policies start every episode from the same state, so they are compared episode by episode; errors are failures. The
difference is the success rate of {BASELINE} less that of the other policy, in percentage points. First bracket: 95 %
interval on these tasks (Newcombe's score interval for paired proportions). Second bracket: 95 % interval for tasks like
these, each task one observation (Student's). p: exact two-sided McNemar test, and after Holm's correction over this
table. A policy is called better where that is below 0.05; "on these tasks" is added where the second bracket holds 0.
No verdict is given where more than 5 % of either policy's episodes ended in an error. Nothing of this says how a policy
would do when trained again.
"""


def paired_section(entries: list[Entry]) -> str:
    """Every trained policy against `BASELINE`; empty without two trained policies, of which that is one."""
    trained = {entry.name: entry for entry in entries if entry.run.header.policy.objective is not None}
    baseline = trained.pop(BASELINE, None)
    if baseline is None or not trained:
        return ""
    comparisons: list[tuple[str, Paired]] = []
    left_out = []
    for name, entry in trained.items():
        try:
            comparisons.append((name, pair(baseline.run, entry.run)))
        except PairingError:
            left_out.append(name)
    adjusted = holm([paired.p_value for _, paired in comparisons])
    scored = coverage_of(baseline.run).enough
    rows = []
    for (name, paired), p in zip(comparisons, adjusted, strict=True):
        counts = (paired.n, paired.both, paired.only_first, paired.only_second, paired.neither)
        carries = paired.task_interval()
        difference = f"{points(paired.difference)} {points_interval(paired.interval())}"
        rows.append(
            [
                name,
                *map(str, counts),
                difference,
                points_interval(carries) if carries else NONE,
                p_text(paired.p_value),
                p_text(p),
                paired.verdict(BASELINE, name, p) if scored and coverage_of(trained[name].run).enough else "withheld",
            ]
        )
    header = ["policy", "n", "both", f"only {BASELINE}", "only other", "neither", "difference [95 %]"]
    header += ["[95 %] over tasks", "McNemar p", "Holm p", "verdict"]
    text = f"\n### Paired comparisons\n\n{_PAIRED_TEXT}"
    if rows:
        text += "\n" + markdown_table(header, rows)
    if left_out:
        text += f"\nNot compared, since not run on the same episodes as {BASELINE}: {', '.join(left_out)}.\n"
    return text
