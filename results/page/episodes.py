"""The list of episodes: compact data that the page's script shows, filters and sorts."""

import base64
import json
import os
import shlex
from pathlib import Path
from typing import Any
from urllib.parse import quote

from envs.suite import suite_names
from results.page.shown import Page, ShownRun
from results.page.tables import policy_name
from results.page.text import element, escape, table
from results.records import EpisodeRecord

EMBED_LIMIT = 1_000_000  # bytes of a video that is put into the page; a larger one stays a link
_OUTCOMES = ("success", "failure", "error")


def episode_section(page: Page, folder: Path, embed_videos: bool) -> tuple[str, int]:
    """The section's markup.

    Args:
        page: The runs.
        folder: Where the page will lie: links to videos start there.
        embed_videos: Put small videos into the page.

    Returns:
        Markup, and the number of videos that the records name but that are not there.
    """
    data, lost = _data(page, folder, embed_videos)
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    # Inside a script element "<" could end it; in JSON it may be written as an escape.
    text = text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    parts = [
        _without_script(page),
        '<form id="filters" hidden>',
        _select("by-run", "policy", [shown.label for shown in page.runs]),
        _select("by-task", "task", [task.replace("_", " ") for task in page.tasks]),
        _select("by-outcome", "outcome", [*_OUTCOMES, *(["policies disagree"] if len(page.runs) > 1 else [])]),
        _select("by-reason", "reason", page.reasons),
        '<label for="by-text">text <input id="by-text" type="search" placeholder="id, seed, reason"></label>',
        '<button type="reset">clear</button></form>',
        '<p id="count" role="status"></p>',
        '<div class="scroll" id="list" tabindex="0" hidden><table class="episodes">'
        "<caption>Episodes; a row opens to its replay command, and its video where there is one</caption>"
        "<thead></thead><tbody></tbody></table></div>",
        '<p id="further" hidden><button type="button" id="more">show 200 more</button></p>',
        f'<script type="application/json" id="episode-data">{text}</script>',
    ]
    return "\n".join(parts), lost


def replay_command(shown: ShownRun) -> str:
    """The command that plays an episode of a run again, up to the episode's id; empty where there is none."""
    if "latency" in shown.run.header.protocol:
        return ""
    words = ["python", "-m", "envs.replay", shown.path]
    if shown.run.header.suite not in suite_names():
        words += ["--suite", f"{shown.run.header.suite}.yaml"]
    return shlex.join([*words, "--episodes"])


def _data(page: Page, folder: Path, embed_videos: bool) -> tuple[dict[str, Any], int]:
    tasks = {task: k for k, task in enumerate(page.tasks)}
    reasons = {reason: k for k, reason in enumerate(page.reasons)}
    rows, lost = [], 0
    for shown in page.runs:
        for episode in shown.run.episodes:
            video = _video(shown, episode, folder, embed_videos)
            lost += episode.video is not None and video is None
            rows.append(_row(page, shown, episode, tasks, reasons, video))
    data = {
        "runs": [{"label": shown.label, "replay": replay_command(shown), "path": shown.path} for shown in page.runs],
        "tasks": page.tasks,
        "outcomes": _OUTCOMES,
        "reasons": page.reasons,
        "columns": [
            "run",
            "task",
            "variation",
            "seed",
            "outcome",
            "reason",
            "steps",
            "p50",
            "id",
            "text",
            "wall",
            "video",
        ],
        "rows": rows,
    }
    return data, lost


def _row(
    page: Page,
    shown: ShownRun,
    episode: EpisodeRecord,
    tasks: dict[str, int],
    reasons: dict[str, int],
    video: str | None,
) -> list[Any]:
    reason = page.reason(shown, episode)
    text = shown.detail(episode)
    return [
        shown.index,
        tasks[episode.task],
        episode.variation,
        episode.seed,
        _OUTCOMES.index(episode.outcome),
        -1 if reason is None else reasons[reason],
        episode.steps,
        episode.latency.total.get("p50"),
        episode.id,
        0 if text == reason else text,  # 0: nothing beyond the reason
        episode.wall_s,
        video or 0,
    ]


def _video(shown: ShownRun, episode: EpisodeRecord, folder: Path, embed: bool) -> str | None:
    """Link to an episode's video, or the video itself; None without a file."""
    if episode.video is None:
        return None
    path = shown.run.path.parent / episode.video
    if not path.is_file():
        return None
    if embed and path.stat().st_size <= EMBED_LIMIT:
        return f"data:video/mp4;base64,{base64.b64encode(path.read_bytes()).decode()}"
    return quote(Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix())


def _select(ident: str, label: str, options: list[str]) -> str:
    choices = [element("option", "all", value="")]
    choices += [element("option", escape(text), value=str(k)) for k, text in enumerate(options)]
    return f'<label for="{ident}">{label} <select id="{ident}">{"".join(choices)}</select></label>'


def _without_script(page: Page) -> str:
    rows = [
        [policy_name(shown), str(len(shown.run.episodes)), *(str(shown.count(outcome)) for outcome in _OUTCOMES)]
        for shown in page.runs
    ]
    counts = table("Episodes by outcome", ["policy", "episodes", *_OUTCOMES], rows)
    said = "The list needs JavaScript. Its rows are the lines of the records named under Runs."
    return element("noscript", element("p", said), counts)
