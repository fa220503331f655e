"""The page's tables: summary, every task, failure reasons, runs."""

import json
from collections import Counter

from results.page.shown import Page, ShownRun
from results.page.svg import colour_class, legend_marker
from results.page.text import breakable, element, escape, ms_text, table
from results.tables import NONE, hardware_text, percent
from results.wording import interval_text, short_sha, words


def summary_table(page: Page) -> str:
    """A row a policy: success, what became of the rest, latency."""
    header = ["policy", "success, % [95&nbsp;%]", "p50 ms", "p95 ms", "episodes", "failures", "errors", "passes (NFE)"]
    rows = []
    for shown in page.runs:
        rate = shown.overall
        rows.append(
            [
                policy_name(shown),
                f"<strong>{percent(rate.value, 1)}</strong> {interval_text(rate)}{'' if shown.is_mean else ' *'}",
                ms_text(shown.latency.get("p50")),
                ms_text(shown.latency.get("p95")),
                f"{rate.n:,}",
                f"{shown.count('failure'):,}",
                f"{shown.count('error'):,}",
                str(shown.run.header.policy.nfe or NONE),
            ]
        )
    caption = "Success rate with its Wilson interval, and the time of one call of the policy (warm calls, batch 1)"
    return table(caption, header, rows)


def task_table(page: Page) -> str:
    """Success of every policy on every task, as numbers."""
    rows = []
    for task in page.tasks:
        rates = [shown.rates.get(task) for shown in page.runs]
        cells = [
            f"{percent(rate.value)} {interval_text(rate, 0)} {rate.successes}/{rate.n}" if rate else NONE
            for rate in rates
        ]
        rows.append([escape(words(task)), *cells])
    caption = "Success by task: percent, 95 % Wilson interval, successes of episodes"
    return table(caption, ["task", *(policy_name(shown) for shown in page.runs)], rows)


def failure_table(page: Page) -> str:
    """How often each reason ended an episode; a count leads to its episodes in the list."""
    counts = [Counter(page.reason(shown, episode) for episode in shown.run.episodes) for shown in page.runs]
    most = max((count[reason] for count in counts for reason in page.reasons), default=0)
    rows = []
    for k, reason in enumerate(page.reasons):
        cells = [_count_cell(shown, count[reason], most, k) for shown, count in zip(page.runs, counts, strict=True)]
        rows.append([escape(reason), *cells])
    planner = [sum(episode.planner_failures > 0 for episode in shown.run.episodes) for shown in page.runs]
    failed = [f"{len(shown.run.episodes) - shown.count('success')} of {len(shown.run.episodes)}" for shown in page.runs]
    rows.append(["<strong>all that did not succeed</strong>", *failed])
    rows.append(
        [
            "of all episodes, those in which the planner found no path",
            *(f"{n} of {len(shown.run.episodes)}" for n, shown in zip(planner, page.runs, strict=True)),
        ]
    )
    caption = "Episodes that did not succeed, by what ended them; numbers within a reason are left out"
    if explained := [shown.label for shown in page.runs if shown.explained]:
        caption += f". Of {', '.join(explained)}: by the first mistake, as envs.diagnose explains it"
    return table(caption, ["reason", *(policy_name(shown) for shown in page.runs)], rows, class_="failures")


def runs_table(page: Page) -> str:
    """What was run, where and with what: a column a run."""
    rows = [
        ["objective", *(escape(shown.run.header.policy.objective or NONE) for shown in page.runs)],
        ["passes (NFE)", *(str(shown.run.header.policy.nfe or NONE) for shown in page.runs)],
        ["parameters", *(f"{shown.run.header.policy.parameters or 0:,}" for shown in page.runs)],
        ["checkpoint, SHA-256", *(_code((s.run.header.policy.checkpoint_sha256 or "")[:12]) for s in page.runs)],
        ["sees simulator state", *("yes" if s.run.header.policy.privileged else "no" for s in page.runs)],
        ["policy seed", *(str(shown.run.header.policy_seed) for shown in page.runs)],
        ["warm calls timed", *(f"{len(shown.calls_ms):,}" for shown in page.runs)],
        *(
            [f"call {name}, ms", *(ms_text(shown.latency.get(name)) for shown in page.runs)]
            for name in ("p50", "p95", "p99")
        ),
        ["hardware", *(escape(hardware_text(shown.run.header.hardware)) for shown in page.runs)],
        ["commit", *(_commits(shown) for shown in page.runs)],
        [
            "started",
            *(escape(shown.run.header.created.replace("T", " ").replace("+00:00", " UTC")) for shown in page.runs),
        ],
        ["Python", *(escape(shown.run.header.python) for shown in page.runs)],
        ["record", *(element("code", breakable(shown.path)) for shown in page.runs)],
    ]
    caption = "The runs: policy, timing, origin"
    return table(caption, ["", *(policy_name(shown) for shown in page.runs)], rows, left=99, class_="facts")


def run_details(page: Page) -> str:
    """Packages and configuration of each run, folded."""
    parts = []
    for shown in page.runs:
        header = shown.run.header
        text = json.dumps({"packages": header.packages, "configuration": header.config}, indent=1, ensure_ascii=False)
        folded = f"<summary>Packages and configuration of {escape(shown.label)}</summary><pre>{escape(text)}</pre>"
        parts.append(element("details", folded))
    text = json.dumps(page.runs[0].run.header.protocol, indent=1, ensure_ascii=False)
    parts.append(element("details", f"<summary>The protocol, in full</summary><pre>{escape(text)}</pre>"))
    return "\n".join(parts)


def policy_name(shown: ShownRun) -> str:
    """Marker and name; a dagger for a policy that sees the simulator's state."""
    dagger = " †" if shown.run.header.policy.privileged else ""
    return element("span", legend_marker(shown.index), f"{escape(shown.label)}{dagger}", class_="policy")


def _count_cell(shown: ShownRun, count: int, most: int, reason: int) -> str:
    if not count:
        return "0"
    bar = element("rect", x=0, y=0, width=100 * count / most, height=6, class_=f"{colour_class(shown.index)} bar")
    drawing = element("svg", bar, viewBox="0 0 100 6", class_="inline", preserveAspectRatio="none", aria_hidden="true")
    link = element(
        "a", f"{count} of {len(shown.run.episodes)}", href="#episodes", data_run=shown.index, data_reason=reason
    )
    return f"{link}{drawing}"


def _code(text: str) -> str:
    return element("code", escape(text)) if text else NONE


def _commits(shown: ShownRun) -> str:
    run = shown.run
    shas = dict.fromkeys([run.header.git_sha, *(part.get("git_sha") for part in run.resumed)])
    return ", ".join(_code(short_sha(sha)) for sha in shas)
