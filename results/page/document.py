"""The page: one HTML file that needs no other. The same runs give the same bytes."""

from pathlib import Path

from results.page.charts import latency_cards, task_cards
from results.page.episodes import episode_section
from results.page.pairs import paired_section
from results.page.shown import Page
from results.page.svg import drawing_css, theme_css
from results.page.tables import (
    failure_table,
    run_details,
    runs_table,
    summary_table,
    task_table,
)
from results.page.text import element, escape
from results.pareto import pareto_svg, point_of
from results.tables import hardware_text

_HERE = Path(__file__).parent


def build_page(page: Page, folder: Path, embed_videos: bool = False) -> str:
    """The whole document.

    Args:
        page: Its runs.
        folder: Where it will lie, for links to videos.
        embed_videos: Put videos of at most 1 MB into it.
    """
    episodes, lost = episode_section(page, folder, embed_videos)
    title = f"{page.runs[0].run.header.suite}: {', '.join(shown.label for shown in page.runs)}"
    sections = [
        ("summary", "Summary", f"{summary_table(page)}{_notes(page, lost)}"),
        (
            "tasks",
            "Success by task",
            f"{_TASKS_NOTE}{task_cards(page)}{_folded('The same as a table', task_table(page))}",
        ),
        ("pareto", "Success against latency", _pareto(page)),
        ("paired", "Paired comparisons", paired_section(page)),
        ("latency", "Latency", _latency(page)),
        ("failures", "Failures", failure_table(page) if page.reasons else ""),
        ("episodes", "Episodes", episodes),
        ("runs", "Runs", f"{runs_table(page)}{run_details(page)}"),
    ]
    shown = [section for section in sections if section[2]]
    links = "".join(f'<a href="#{ident}">{heading}</a>' for ident, heading, _ in shown)
    body = "\n".join(
        f'<section id="{ident}"><h2>{heading}</h2>\n{content}\n</section>' for ident, heading, content in shown
    )
    style = theme_css() + drawing_css() + (_HERE / "page.css").read_text()
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f"<header><h1>{escape(title)}</h1>\n{_protocol_line(page)}\n<nav>{links}</nav></header>\n"
        f"<main>\n{body}\n</main>\n{_FOOTER}\n<script>\n{(_HERE / 'page.js').read_text()}</script>\n</body>\n</html>\n"
    )


_TASKS_NOTE = (
    '<p class="quiet">Percent of episodes; the line over a bar is the 95 % Wilson interval. Errors count as failures.'
    "</p>\n"
)
_FOOTER = (
    "<footer>Made by <code>python -m results.report</code> from the records alone. Every interval is for these "
    "episodes on these tasks; none covers other tasks, or training again.</footer>"
)


def _protocol_line(page: Page) -> str:
    header = page.runs[0].run.header
    facts = header.protocol.get("task_facts") or {}
    seeds = [episode.seed for shown in page.runs for episode in shown.run.episodes]
    words = [
        f"{len(page.tasks)} of {header.full_task_count} tasks",
        f"{header.seed_block['name']} seeds {min(seeds)} to {max(seeds)}",
        f"simulator {facts.get('simulator', header.sim)} {facts.get('simulator_version', '')}".rstrip(),
    ]
    if "max_steps" in facts:
        words.append(f"at most {facts['max_steps']} actions")
    if "success_rule" in facts:
        words.append(f"{facts['success_rule'].replace('_', ' ')}")
    line = " · ".join(map(escape, words))
    if "latency" in header.config:
        line += f" · latency {escape(header.config['latency'])}"
    return f'<p class="quiet">{line} · protocol <code>{escape(header.protocol_hash)}</code></p>'


def _notes(page: Page, lost: int) -> str:
    """What a reader must know before comparing rows."""
    notes = []
    if len(page.same_episodes) < len(page.runs):
        notes.append("These runs do not hold the same episodes: compare them by task, not by their overall rates.")
    for shown in page.runs:
        if shown.stopped:
            notes.append(
                f"{shown.label} could be stopped by its results (--until): its interval, made for a fixed number of "
                "episodes, is too narrow; see the paired comparison."
            )
            continue
        missing, planned = len(shown.run.missing), len(shown.run.header.planned)
        if missing:
            notes.append(f"{shown.label} is incomplete: {missing} of {planned} planned episodes are missing.")
    if any(not shown.is_mean for shown in page.runs):
        notes.append("* Tasks have different numbers of episodes: all episodes are pooled.")
    if len({hardware_text(shown.run.header.hardware) for shown in page.runs}) > 1:
        notes.append("The runs were timed on different hardware: their latencies cannot be compared (see Runs).")
    privileged = [shown.label for shown in page.runs if shown.run.header.policy.privileged]
    if privileged:
        notes.append(f"† sees simulator state that a robot would not have: {', '.join(privileged)}.")
    dirty = [shown.label for shown in page.runs if (shown.run.header.git_sha or "").endswith("-dirty")]
    if dirty:
        notes.append(f"Run from a checkout with changes that are not committed: {', '.join(dirty)}.")
    if lost:
        notes.append(f"{lost} videos that the records name are not beside them.")
    return "".join(element("p", escape(note), class_="note") for note in notes)


def _pareto(page: Page) -> str:
    """The plot twice, for wide and for narrow screens: text that shrinks with a picture cannot be read."""
    points = [point_of(shown.run, shown.overall, shown.index, shown.label) for shown in page.same_episodes]
    wide = pareto_svg(points, 760, standalone=False)
    if not wide:
        return ""
    left_out = [shown.label for shown in page.runs if shown not in page.same_episodes]
    note = (
        "Marker: success rate over all episodes with its 95 % Wilson interval, against the median time of a call on "
        "a logarithmic axis. Policies that no other one beats in both are joined; the others are hollow. Dashed: "
        "reference policies, which do no inference worth timing."
    )
    if left_out:
        note += f" Not shown, since not run on the same episodes: {escape(', '.join(left_out))}."
    return (
        f'<p class="quiet">{note}</p>\n<figure class="wide">{wide}</figure>\n'
        f'<figure class="narrow">{pareto_svg(points, 340, standalone=False)}</figure>'
    )


def _latency(page: Page) -> str:
    cards = latency_cards(page)
    if not cards:
        return ""
    note = (
        "Time of one call of the policy, end to end, batch 1, in milliseconds on a logarithmic axis. The first call of "
        "an episode is left out. Bars are shares of the policy's own calls."
    )
    return f'<p class="quiet">{note}</p>\n{cards}'


def _folded(summary: str, content: str) -> str:
    return element("details", f"<summary>{summary}</summary>", content)
